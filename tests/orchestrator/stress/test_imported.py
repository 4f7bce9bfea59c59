"""Result files of other tools: whose they are, what they hold, and what is made of them."""

import json
import os
import time
import zipfile
from contextlib import suppress

import pytest

from orchestrator.analysis.analyze import Asked, analyze
from orchestrator.config.contrasts import parse_questions
from orchestrator.config.yaml_lines import parse_yaml
from orchestrator.errors import UserError
from orchestrator.stress import imported
from orchestrator.stress.imported import import_file
from tasks.contract.cell import NodeError
from tests.builders import a_result, launched
from tests.orchestrator.stress.layouts import inspect_log, lm_eval

SWEEP = """\
name: s
model: tiny
grid: {condition: [sft-only, rho-guided], rho_weight: [0.2], margin: [0.1], seed: [1, 2, 3]}
probes: {train: [factual], evaluate: [factual]}
"""
QUESTION = """
analysis:
  contrasts:
    - {id: E1, claim: keeps it, kind: noninferiority, a: {condition: rho-guided},
       b: {condition: sft-only}, behaviors: ["arc_easy:acc"], sesoi: 0.1}
"""


@pytest.fixture
def store(tmp_path):
    store, expansion = launched(tmp_path / "s", SWEEP)
    for spec in expansion.all:
        result = a_result(spec, {("factual", "heldout"): 0.5}, weights=spec.cell_id.encode())
        store.commit(result, attempts=1, ray=None)
    return store


def trained(store) -> list[dict]:
    return [row for row in store.rows("cells") if row["seed"] is not None]


def put(folder, value, name="found.json"):
    path = folder / name
    path.write_text(json.dumps(value))
    return path


def test_numbers_of_lm_eval_come_to_the_cell_whose_adapter_the_file_names(store, tmp_path):
    first, second, third, *_ = trained(store)
    named = [
        f"/elsewhere/s/adapters/{first['cell_id']}",
        second["adapter_sha256"],
        str(tmp_path / "copied"),
    ]
    (tmp_path / "copied").mkdir()
    for file in store.adapter_folder(third["cell_id"]).iterdir():
        (tmp_path / "copied" / file.name).write_bytes(file.read_bytes())
    for cell, name in zip((first, second, third), named, strict=True):
        import_file(store, "lm-eval", put(tmp_path, lm_eval(name)), None)
        rows = {
            r["measurement"]: r for r in store.rows("imported") if r["cell_id"] == cell["cell_id"]
        }
        assert rows.keys() == {
            "arc_easy:acc",
            "arc_easy:acc_norm",
            "gsm8k:exact_match,strict-match",
        }
        acc = rows["arc_easy:acc"]
        assert [acc[k] for k in ("value", "stderr", "n", "higher_is_better", "task_version")] == [
            0.5, 0.01, 100, True, "1.0",
        ]  # fmt: skip
        assert rows["arc_easy:acc_norm"]["stderr"] is None
        assert [acc[k] for k in ("tool", "tool_version", "file")] == [
            "lm-eval", "0.4.9", "found.json",
        ]  # fmt: skip


def test_the_same_file_again_changes_nothing_and_another_one_is_refused(store, tmp_path):
    cell = trained(store)[0]["cell_id"]
    for _ in range(2):
        import_file(store, "lm-eval", put(tmp_path, lm_eval(f"adapters/{cell}")), None)
        assert len(store.rows("imported")) == 3
    with pytest.raises(UserError, match=rf"cell {cell} has arc_easy:acc from found.json; to repl"):
        import_file(store, "lm-eval", put(tmp_path, lm_eval(f"adapters/{cell}", 0.75)), None)


def test_tasks_alone_are_read_for_a_named_cell(store, tmp_path):
    cell = trained(store)[0]["cell_id"]
    path = put(tmp_path, lm_eval("")["results"])
    with pytest.raises(UserError, match=r"names no adapter of .*; say whose numbers they are"):
        import_file(store, "lm-eval", path, None)
    found = import_file(store, "lm-eval", path, cell)
    assert found.names[0] == "arc_easy:acc"
    assert found.cell.startswith("sft-only")


@pytest.mark.parametrize("zipped", [False, True])
def test_a_log_of_inspect_is_read_as_json_and_as_eval(store, tmp_path, zipped):
    cell = trained(store)[0]["cell_id"]
    log = inspect_log(f"/x/adapters/{cell}", scorers=2)
    path = put(tmp_path, log)
    if zipped:
        path = tmp_path / "log.eval"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("header.json", json.dumps(log))
    found = import_file(store, "inspect", path, None)
    assert found.names == ("arc:choice/accuracy", "arc:match/accuracy")
    row = store.rows("imported")[0]
    assert [row[k] for k in ("value", "stderr", "n", "task_version", "tool_version")] == [
        0.75, 0.05, 40, "3", "0.3.9",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_damaged_log_is_one_sentence_wherever_the_damage_is(store, tmp_path, kind):
    cell = trained(store)[0]["cell_id"]
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("header.json", json.dumps(inspect_log(f"/x/adapters/{cell}", scorers=2)))
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(
            whole[:place] + bytes(b ^ 0xA5 for b in whole[place : place + 3]) + whole[place + 3 :]
        )
        with suppress(UserError, NodeError):  # damage that nothing reads is none
            import_file(store, "inspect", path, None)


def test_a_pipe_in_the_place_of_a_log_is_called_one(store, tmp_path):
    os.mkfifo(tmp_path / "log.eval")
    with pytest.raises(NodeError, match="a pipe or a device"):
        import_file(store, "inspect", tmp_path / "log.eval", None)


def test_a_header_that_lies_of_its_length_is_not_read_to_its_end(store, tmp_path, monkeypatch):
    monkeypatch.setattr(imported, "MOST_HEADER", 1000)
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", b" " * 5000)
    path.write_bytes(path.read_bytes().replace((5000).to_bytes(4, "little"), b"d\0\0\0"))
    with pytest.raises(UserError):
        import_file(store, "inspect", path, None)


@pytest.mark.parametrize(
    "text",
    [
        "data:image/png;base64," + "iVBORw0KGgo/" * 700,
        "abcd/" * 1000,
        "a/\0/b",
        "/no/such/" + "x" * 300,
    ],
    ids=["a picture", "a long path", "a null", "a long name"],
)
@pytest.mark.parametrize("tool", ["lm-eval", "inspect"])
def test_a_text_that_is_no_path_is_no_adapter(store, tmp_path, tool, text):
    cell = trained(store)[0]["cell_id"]
    found = lm_eval(text) if tool == "lm-eval" else inspect_log(text)
    assert import_file(store, tool, put(tmp_path, found), cell).names


def test_a_text_of_many_parts_is_read_in_one_pass(store, tmp_path):
    cell = trained(store)[0]["cell_id"]
    text, began = "a/" * 100_000 + f"adapters/{cell}", time.process_time()
    assert import_file(store, "lm-eval", put(tmp_path, lm_eval(text)), None).names
    assert time.process_time() - began < 1


def test_files_that_are_something_else_are_refused_in_a_sentence(store, tmp_path):
    one, two, *_ = (row["cell_id"] for row in trained(store))
    with zipfile.ZipFile(tmp_path / "none.eval", "w") as archive:
        archive.writestr("start.json", "{}")
    for tool, value, cell, said in (
        ("lm-eval", {"results": [1]}, None, "no result file of lm-evaluation-harness"),
        ("lm-eval", {"results": {}}, None, "holds no numbers of lm-eval"),
        ("lm-eval", lm_eval(f"adapters/{one}"), two, "is about several cells"),
        ("lm-eval", lm_eval(f"adapters/{one}.3"), None, "an adapter from within a training"),
        ("lm-eval", lm_eval(""), "0" * 16, f"no finished cell {'0' * 16}"),
        ("inspect", lm_eval(""), None, "no log of Inspect"),
        ("inspect", inspect_log("", "error"), None, "ended with status 'error'"),
        ("inspect", tmp_path / "none.eval", None, "inspect log convert"),
    ):
        path = value if not isinstance(value, dict) else put(tmp_path, value)
        with pytest.raises(UserError, match=said):
            import_file(store, tool, path, cell)
    assert store.rows("imported") == []


def test_what_was_imported_is_shown_and_can_be_asked_about_as_exploratory(store, tmp_path):
    for row in store.rows("cells"):
        guided, seed = row["condition"] == "rho-guided", row["seed"] or 0
        acc = 0.6 if row["seed"] is None else 0.55 - 0.02 * guided + 0.001 * seed * (1 + guided)
        path = put(tmp_path, lm_eval("", acc))
        import_file(store, "lm-eval", path, row["cell_id"])
    asked = Asked(questions=parse_questions(parse_yaml(QUESTION, "q", tmp_path)))
    found = analyze([store], asked)
    row = next(r for r in found.inference if r.contrast_id == "E1")
    assert (row.registered, row.family, row.behavior) == (False, "exploratory", "arc_easy:acc")
    assert row.estimate == pytest.approx(-0.018)
    assert row.unit == "in its own unit"
    view = next(v for v in found.views if v.key == "T15")
    one = next(r for r in view.rows if r["condition"] == "sft-only")
    assert one["arc_easy:acc_value"] == pytest.approx(0.552)
    assert one["arc_easy:acc_untrained"] == 0.6
    assert one["arc_easy:acc"] == pytest.approx(-0.048)
    assert {a.behavior for a in found.arms} == {"factual"}


def test_without_the_untrained_model_arms_are_compared_as_they_are(store, tmp_path):
    for row in trained(store):
        acc = 0.5 + 0.01 * row["seed"] + 0.1 * (row["condition"] == "rho-guided")
        import_file(store, "lm-eval", put(tmp_path, lm_eval("", acc)), row["cell_id"])
    asked = Asked(questions=parse_questions(parse_yaml(QUESTION, "q", tmp_path)))
    found = analyze([store], asked)
    row = next(r for r in found.inference if r.contrast_id == "E1")
    assert row.estimate == pytest.approx(0.1)
    view = next(v for v in found.views if v.key == "T15")
    assert [r["arc_easy:acc"] for r in view.rows] == [None, None]


def test_the_command_names_the_cell_and_what_it_has_now(store, tmp_path, rho_sweep):
    cell = trained(store)[0]["cell_id"]
    path = put(tmp_path, lm_eval(f"adapters/{cell}"))
    ran = rho_sweep("import", "lm-eval", path, store.folder)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("sft-only")
    assert "arc_easy:acc, arc_easy:acc_norm" in ran.out


def places(value, at=()):
    yield at
    items = value.items() if isinstance(value, dict) else ()
    for key, inner in (*items, *(enumerate(value) if isinstance(value, list) else ())):
        yield from places(inner, (*at, key))


@pytest.mark.slow
@pytest.mark.parametrize(
    "odd",
    ["a\x1b[31m", [], pytest.param(10**400, id="400 digits"), -1, True, None, {}, [None]],
)
def test_a_value_of_another_kind_is_a_sentence_or_no_number(store, tmp_path, odd):
    cell = trained(store)[0]["cell_id"]
    for tool, layout in (("lm-eval", lm_eval), ("inspect", inspect_log)):
        for place in [*places(layout("x"))][1:]:
            content = inner = layout("x")
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = odd
            for old in (store.folder / "imported").glob("*"):
                old.unlink()
            with suppress(UserError):
                import_file(store, tool, put(tmp_path, content), cell)
                assert store.rows("imported")
