"""Ways to make a claim true by asking again: each ends exploratory, interim or refused.

`docs/analysis.md` lists them, with the tests of other files.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from orchestrator.cells.choose import arms_of
from orchestrator.errors import UserError
from orchestrator.results.manifest import write_manifest
from orchestrator.results.registration import begin
from orchestrator.results.store import Store
from tasks.contract.cell import CellSpec, Status
from tests import ROOT
from tests.builders import a_result, expanded, parsed
from tests.orchestrator.analysis.test_registered import (
    FIRST,
    LOOKS,
    THEN,
    launch,
    one,
    rows,
    run,
    sweep,
)

MORE = """\
    - {id: also, claim: it differs, kind: mean_diff, a: {condition: rho-guided},
       b: {condition: sft-only}, behaviors: [bias]}
"""


def anew(folder: Path, text: str, seen: Sequence[str]) -> tuple[list[str], tuple[CellSpec, ...]]:
    """Launch into a folder of its own, beside results that exist; (what is said, cells)."""
    store, expansion = Store(folder), expanded(text)
    store.create()
    asked = begin(None, parsed(text).questions, arms_of(expansion.all), seen=seen, now=THEN)
    write_manifest(folder, parsed(text), expansion, asked)
    return asked.news(THEN), expansion.all


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        sweep(behaviors="factual"),
        sweep(behaviors="bias, factual").replace("kind:", "family: small, kind:"),
    ],
    ids=["behaviours-dropped", "family-renamed"],
)
def test_a_family_cannot_be_made_smaller_after_the_results(tmp_path, text):
    run(tmp_path, launch(tmp_path, sweep(behaviors="bias, factual")))
    before = [r for r in rows(tmp_path) if r.registered]
    launch(tmp_path, text, THEN)
    found = rows(tmp_path)
    assert [r for r in found if r.registered] == before
    assert {r.family_size for r in before} == {2}
    assert all(r.family == "exploratory" for r in found if r not in before)


def test_a_new_name_for_the_same_cells_registers_nothing(tmp_path):
    run(tmp_path / "a", launch(tmp_path / "a", sweep(seeds=range(1, 6))), effect=0.01)
    done = Store(tmp_path / "a").done()
    said, cells = anew(tmp_path / "b", sweep(seeds=range(1, 9)), done)
    run(tmp_path / "b", cells)
    assert said == ["up is exploratory: every arm of it has results already (10 cells)"]
    assert not any(r.registered for r in rows(tmp_path / "b"))


def test_an_exploratory_contrast_that_the_file_drops_stays_and_is_named(tmp_path):
    run(tmp_path, launch(tmp_path, sweep()))
    launch(tmp_path, sweep() + MORE, THEN)
    before = rows(tmp_path)
    later = THEN.replace(month=3)
    earlier = yaml.safe_load((tmp_path / "sweep.yaml").read_text())
    cells = expanded(sweep()).all
    found = begin(earlier, parsed(sweep()).questions, arms_of(cells), seen=(), now=later)
    assert found.news(later) == ["also is not asked any more, and stays as exploratory"]
    assert found.dropped_at(later) == []
    launch(tmp_path, sweep(), later)
    assert rows(tmp_path) == before


def test_an_exploratory_contrast_that_is_taken_out_by_hand_is_missed(tmp_path):
    run(tmp_path, launch(tmp_path, sweep()))
    launch(tmp_path, sweep() + MORE, THEN)
    path = tmp_path / "sweep.yaml"
    manifest = yaml.safe_load(path.read_text())
    kept = [c for c in manifest["analysis"]["contrasts"] if c["id"] != "also"]
    assert len(kept) == 1
    manifest["analysis"]["contrasts"] = kept
    path.write_text(yaml.safe_dump(manifest))
    with pytest.raises(UserError, match="a contrast that was taken out"):
        rows(tmp_path)


def test_an_exploratory_contrast_is_not_registered_by_hand(tmp_path):
    run(tmp_path, launch(tmp_path, sweep()))
    launch(tmp_path, sweep() + MORE, THEN)
    path = tmp_path / "sweep.yaml"
    manifest = yaml.safe_load(path.read_text())
    for contrast in manifest["analysis"]["contrasts"]:
        contrast["registered_at"] = FIRST.isoformat()
    path.write_text(yaml.safe_dump(manifest))
    with pytest.raises(UserError, match="edited after it was registered"):
        rows(tmp_path)


@pytest.mark.slow
def test_between_two_looks_the_row_of_the_first_stands(tmp_path):
    text = sweep(seeds=range(1, 9)).replace("analysis:\n", LOOKS)
    cells = launch(tmp_path, text)
    found = []
    for n in range(4, 8):
        run(tmp_path, cells, lambda s, n=n: s.seed in (None, *range(1, n + 1)), effect=0.01)
        found.append(one(rows(tmp_path)))
    assert found == [found[0]] * 4
    assert found[0].verdict == "interim"


@pytest.mark.slow
def test_an_arm_without_scores_at_the_first_look_takes_no_other_arms_place(tmp_path):
    text = sweep(seeds=range(1, 9), weights="0.2, 0.4").replace("analysis:\n", LOOKS)
    cells = launch(tmp_path, text)
    lost = [s for s in cells if s.hinge and s.hinge.rho_weight == 0.4 and (s.seed or 0) < 5]
    for spec in lost:
        Store(tmp_path).commit(a_result(spec, status=Status.DIVERGED), attempts=1, ray=None)
    run(tmp_path, cells, lambda s: s.seed in (None, 1, 2, 3, 4))
    early = rows(tmp_path)
    assert [(r.which, r.verdict) for r in early] == [
        ("rho_weight=0.2", "supported"),
        ("rho_weight=0.4", "interim"),
    ]
    run(tmp_path, cells)
    late = rows(tmp_path)
    assert [(r.arm_a, r.n_pairs) for r in late] == [
        ("rho-guided w=0.2 m=0.1", 8),
        ("rho-guided w=0.4 m=0.1", 4),
    ]
    assert "p is of the looks at 4 and 8 of 8 seeds" in " ".join(late[0].notes)


def test_a_result_that_is_taken_away_leaves_the_look_interim(tmp_path):
    cells = launch(tmp_path, sweep(seeds=range(1, 9)).replace("analysis:\n", LOOKS))
    run(tmp_path, cells, effect=0.01)
    first = next(s for s in cells if s.hinge and s.seed == 1)
    Store(tmp_path).path("cells", first.cell_id).unlink()
    assert one(rows(tmp_path)).verdict == "interim"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["trend", "strict_monotone, alternative: greater", "linearity"])
def test_a_dose_that_diverged_wholly_is_named_beside_the_verdict(tmp_path, kind):
    text = sweep(weights="0.1, 0.2, 0.4") + (
        f"    - {{id: dose, claim: more is more, kind: {kind}, a: {{condition: rho-guided}},\n"
        "       over: rho_weight, behaviors: [factual]}\n"
    )
    cells = launch(tmp_path, text)
    for spec in cells:
        if spec.hinge and spec.hinge.rho_weight == 0.4:
            Store(tmp_path).commit(a_result(spec, status=Status.DIVERGED), attempts=1, ray=None)
    run(tmp_path, cells)
    for row in (r for r in rows(tmp_path) if r.kind == kind.partition(",")[0]):
        assert row.verdict != "interim"
        assert "seeds lost: 6 of 6 of rho-guided w=0.4 m=0.1 (6 diverged)" in row.notes


def test_the_documents_list_of_attacks_names_tests_that_exist():
    text = (ROOT / "docs" / "analysis.md").read_text(encoding="utf-8")
    table = text.partition("## Attacks")[2].partition("\n## ")[0]
    named = re.findall(r"`(test_\w+)\.(\w+)`", table)
    assert len(named) >= 8
    folder = Path(__file__).parent
    for file, name in named:
        (path,) = [*folder.glob(f"{file}.py"), *folder.parent.glob(f"*/{file}.py")][:1]
        assert f"def test_{name}(" in path.read_text(encoding="utf-8"), (file, name)
