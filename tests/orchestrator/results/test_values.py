"""Values that their types allow and this program never writes: one sentence that names the file."""

import math
import os
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import UserError
from orchestrator.results.generations import adopt
from orchestrator.results.store import Store
from tests.answers import GREEDY, a_unit, answered, keep, prompts
from tests.builders import a_result, a_spec, filled, launched

RESULT = a_result(a_spec())
UNIT = a_unit(RESULT, decoding=replace(GREEDY, temperature=0.5, samples=2, seed=3))
SWEEP = """
name: s
model: m
grid: {condition: [sft-only], seed: [1]}
"""


@pytest.fixture
def store(tmp_path) -> Store:
    found = filled(tmp_path / "results" / "s", RESULT)
    keep(found, answered(UNIT))
    return found


def put(store: Store, table: str, rows: list[dict]) -> Path:
    """Put rows in the place of the only file of a table."""
    (path,) = (store.folder / table).glob("*.arrow")
    store.write(table, path.stem, rows)
    return path


NO_FILE = {"name": None, "bytes": 1, "sha256": ""}
OF_CELLS = {
    "a file that is none": {"files": [None]},
    "a file without a name": {"files": [NO_FILE]},
    "a behaviour that is none": {"contrast_behaviors": [None]},
    "a word": {"status": "weird"},
    "no number": {"rho_weight": math.nan},
    "an infinite number": {"wall_s": math.inf},
    "more than can be squared": {"neutral_ce": 1.7e308},
}


@pytest.mark.parametrize("change", OF_CELLS.values(), ids=OF_CELLS)
def test_an_odd_value_of_a_cell_is_refused_by_name(store, change):
    (row,) = store.rows("cells")
    path = put(store, "cells", [row | change])
    with pytest.raises(UserError, match=rf"{path}: .*({next(iter(change))}|status)") as error:
        store.rows("cells")
    assert "launch again" in error.value.advice


OF_ANSWERS = {
    "a place outside": [{"generation_id": "../../../../x/ev"}] * 6,
    "an absolute place": [{}, {"generation_id": "/tmp/ev"}, {}, {}, {}, {}],
    "a way to end": [{"status": "weird"}] * 6,
    "a part": [{"set": "weird"}] * 6,
    "an answer without a text": [{"response": None}, {}, {}, {}, {}, {}],
    "an answer without tokens": [{"n_tokens": None}, {}, {}, {}, {}, {}],
    "one of six": [{}],
    "one of each prompt": [{}, None, {}, None, {}, None],
    "another text": [{"prompt": "something else"}] * 2 + [{}] * 4,
    "a decoding": [{"decoding": "[" * 20_000}] * 6,
    "half a failure": [{"status": "failed"}] + [{}] * 5,
    "no number": [{"least_lead": math.nan}] * 6,
}


@pytest.mark.parametrize("changes", OF_ANSWERS.values(), ids=OF_ANSWERS)
def test_a_file_that_is_no_whole_unit_of_answers_is_refused_by_name(store, changes):
    rows = zip(store.rows("generations"), changes, strict=False)
    path = put(store, "generations", [row | c for row, c in rows if c is not None])
    with pytest.raises(UserError, match=str(path)) as error:
        store.rows("generations")
    assert "delete it and run rho-sweep stress again" in error.value.advice


FOREIGN = {
    "one answer of six": lambda rows: rows[:1],
    "to other prompts": lambda rows: [r | {"prompt": f"not {r['prompt']}"} for r in rows],
    "with a place for the later ones": lambda rows: [
        rows[0],
        *(r | {"generation_id": "/tmp/ev"} for r in rows[1:]),
    ],
    "of another adapter": lambda rows: [r | {"adapter_sha256": "0" * 64} for r in rows],
    "that are not those of their digests": lambda rows: [r | {"response": "No."} for r in rows],
}


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN)
def test_answers_of_a_neighbour_are_taken_over_whole_or_passed_over_by_name(
    store, tmp_path, change
):
    path = put(store, "generations", change(store.rows("generations")))
    own = filled(tmp_path / "results" / "own", RESULT)
    found, (note,) = adopt(own, [UNIT])
    assert found == 0
    assert note.startswith(f"passed over: {path}: ")
    assert own.rows("generations") == []


@pytest.mark.parametrize("key", ["../x", "/tmp/x", "a" * 16 + "/../b", ""])
@pytest.mark.parametrize("table", ["cells", "generations", "judgements", "scores"])
def test_no_key_leads_out_of_its_folder(store, table, key):
    with pytest.raises(ValueError, match="no name of a file"):
        store.write(table, key, [])


@pytest.mark.slow
def test_no_command_writes_where_a_table_says(tmp_path, rho_sweep):
    store, expansion = launched(tmp_path / "results/s", SWEEP)
    for cell in expansion.all:
        store.commit(a_result(cell), attempts=1, ray=None)
    unit = a_unit(a_result(expansion.all[0]), asked=prompts())
    keep(store, answered(unit))
    rows = store.rows("generations")
    path = put(store, "generations", [r | {"generation_id": f"{tmp_path}/ev"} for r in rows])
    for words in (["judge", "run"], ["check"], ["status"], ["analyze"], ["report"]):
        said = rho_sweep(*words, store.folder)
        assert said.code in (0, 1, 2)
        assert path.name in said.out + said.err or words[0] not in ("judge", "check")
    assert os.listdir(tmp_path) == ["results"]  # noqa: PTH208 - names only
