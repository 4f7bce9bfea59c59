"""Cells and settings in a report: every cell once, what failed and why, what was run."""

from dataclasses import replace

from orchestrator.report.blocks import Facts, Note, Table
from orchestrator.report.sections.cells import cells_section, counts_text
from orchestrator.report.sections.setup import models_of, plain, setup_section
from tests.orchestrator.report.contents import MANIFEST, a_cell, a_content, a_view


def tables(section) -> dict[str, list[list[str]]]:
    """Title -> rows of texts."""
    views = [b.view for b in section.blocks if isinstance(b, Table)]
    return {v.title: [[c.text(row) for c in v.columns] for row in v.rows] for v in views}


def test_every_cell_is_on_the_map_at_its_arm_and_seed():
    assert tables(cells_section(a_content()))["Cells by arm and seed"] == [
        ["baseline", "ok", "", "", ""],
        ["sft-only", "", "ok", "failed", "open"],
    ]


def test_two_cells_in_one_place_are_both_named():
    twice = (a_cell(cell_id="one"), a_cell(cell_id="two", status="failed"))
    rows = tables(cells_section(a_content(cells=twice)))["Cells by arm and seed"]
    assert rows == [["sft-only", "ok, failed"]]


def test_what_has_no_scores_is_listed_with_its_message():
    rows = tables(cells_section(a_content()))["Cells without scores"]
    assert [r[0] for r in rows] == ["sft-only seed=123"]
    assert rows[0][2:] == ["failed", "studio", "1", "out of memory"]
    assert "Cells without scores" not in tables(cells_section(a_content(cells=(a_cell(),))))


def test_counts_name_what_occurred():
    assert counts_text(a_content().cells) == "2 of 4 cells scored, 1 failed, 1 open"
    assert counts_text((a_cell(),)) == "1 of 1 cells scored"


def test_cells_of_an_earlier_launch_are_told_apart():
    section = cells_section(a_content(cells=(a_cell(), a_cell("baseline", named=False))))
    texts = [b.text for b in section.blocks if isinstance(b, Note)]
    assert texts[0] == "1 of 1 cells scored."
    assert texts[1].startswith("1 more in this folder are of an earlier launch")


def test_hosts_have_their_cells_attempts_and_time():
    cells = (
        a_cell(),
        a_cell(cell_id="b", attempts=3),
        a_cell(cell_id="c", host="mini", wall_s=None),
    )
    assert tables(cells_section(a_content(cells=cells)))["Hosts"] == [
        ["mini", "M4 Max", "1", "1", ""],
        ["studio", "M4 Max", "2", "4", "2:02"],
    ]


def test_the_grid_settings_and_digests_are_there():
    found = tables(setup_section(a_content()))
    assert ["1", "rho_weight", "0.1, 0.5"] in found["Grid"]
    assert ["train.lora_keys", "k_proj, q_proj"] in found["Settings of every cell"]
    assert ["data.size", "none"] in found["Settings of every cell"]
    contents = found["Models, probes and data, by content"]
    assert ["SFT data", "starter", "0f4445a1", "size 96"] in contents
    assert ["probes", "starter", "94fd2259", "heldout 0.25"] in contents
    assert models_of(MANIFEST) == "tiny"


def test_settings_stand_once_where_a_table_has_them():
    section = setup_section(a_content(views=(replace(a_view("T9"), name="config"),)))
    assert "Settings of every cell" not in tables(section)
    assert "Every setting is in the table config." in [
        b.text for b in section.blocks if isinstance(b, Note)
    ]


def test_versions_and_times_are_facts():
    (facts,) = [b for b in setup_section(a_content()).blocks if isinstance(b, Facts)]
    assert ("Resolved by rho-sweep", "0.1.0") in facts.pairs
    assert ("MLX", "0.32") in facts.pairs


def test_values_are_written_as_people_write_them():
    values = {None: "none", True: "yes", 2e-4: "0.0002", (0.1, 2): "0.1, 2", "a": "a"}
    assert [plain(v) for v in values] == list(values.values())
