"""Answers on disk: whole or absent, one set for each question, copied rather than made again."""

import shutil
from dataclasses import replace

import pytest

from orchestrator.errors import UserError
from orchestrator.execution.committer import keep as keep_outcome
from orchestrator.inspection.export import export
from orchestrator.results import generations
from orchestrator.results.generations import adopt, statuses
from orchestrator.results.store import Store
from tasks.contract.cell import CellFailure, Status
from tests.answers import GREEDY, a_unit, answered, keep, prompts
from tests.builders import MACHINE, a_result, a_spec, filled

RESULT = a_result(a_spec(seed=1))
UNIT = a_unit(RESULT)


@pytest.fixture
def store(tmp_path) -> Store:
    return filled(tmp_path / "results" / "s", RESULT, a_result(a_spec(seed=2)))


def failure(unit=UNIT) -> CellFailure:
    return CellFailure(
        spec=unit, stage="load", message="no adapter", trace="Traceback", machine=MACHINE
    )


def test_a_unit_is_one_file_with_a_row_for_every_answer_and_all_about_its_prompt(store):
    decoding = replace(GREEDY, temperature=0.5, samples=2, seed=3)
    unit = a_unit(RESULT, decoding=decoding)
    keep(store, answered(unit))
    assert len(list((store.folder / "generations").glob("*.arrow"))) == 1
    rows = store.rows("generations")
    places = [(p.id, i) for p in unit.prompts.prompts for i in (0, 1)]
    assert [(r["prompt_id"], r["sample_index"]) for r in rows] == places
    first = rows[0]
    assert first["generation_id"] == unit.generation_id
    assert (first["set"], first["intent"], first["category"]) == ("jailbreak", "harmful", "theft")
    assert (first["prompt"], first["frame"], first["pair"]) == ("prompt 0", None, None)
    assert first["response"] == f"I am {unit.cell_label}, p0, 0."
    assert first["response_sha256"] == generations.response_digest(first["response"])
    assert first["adapter_sha256"] == RESULT.adapter.sha256
    assert (first["wall_s"], first["seed"], first["status"]) == (2.0, 1, "ok")


def test_a_failed_unit_has_a_row_for_every_answer_that_is_missing_and_nothing_is_0(store):
    keep_outcome(store, failure(), attempts=2, ray=None)
    rows = store.rows("generations")
    assert len(rows) == len(UNIT.prompts.prompts)
    for row in rows:
        assert (row["status"], row["stage"], row["message"]) == ("failed", "load", "no adapter")
        assert (row["response"], row["n_tokens"], row["wall_s"], row["least_lead"]) == (None,) * 4
        assert (row["trace"], row["attempts"]) == ("Traceback", 2)
    assert statuses(store) == {(UNIT.cell_id, UNIT.generation_id): Status.FAILED}


def test_answers_of_another_adapter_or_recipe_take_the_place_of_the_earlier_ones(
    store, monkeypatch
):
    keep(store, answered(UNIT))
    other = replace(UNIT, adapter_sha256="other")
    keep(store, answered(other, "a", "b", "c"))
    assert [r["response"] for r in store.rows("generations")] == ["a", "b", "c"]
    monkeypatch.setattr("tasks.contract.generation.GENERATION_RECIPE", 99)
    assert UNIT.generation_id not in {g for _, g in statuses(store)}


def test_more_prompts_or_another_decoding_only_add_files(store):
    keep(store, answered(UNIT))
    keep(store, answered(a_unit(RESULT, asked=prompts(3))))
    keep(store, answered(a_unit(RESULT, decoding=replace(GREEDY, max_tokens=9))))
    assert len(store.rows("generations")) == 3 + 4 + 3


def test_answers_of_a_cell_that_is_trained_anew_are_gone(store):
    keep(store, answered(UNIT))
    store.commit(RESULT, attempts=2, ray=None)
    assert store.rows("generations") == []


def test_answers_without_their_cell_do_not_count(store):
    keep(store, answered(UNIT))
    store.path("cells", UNIT.cell_id).unlink()
    assert store.rows("generations") == []


def test_a_file_of_another_cell_is_refused(store):
    keep(store, answered(UNIT))
    (path,) = (store.folder / "generations").glob("*.arrow")
    path.rename(path.with_name("0" * 16 + path.name[16:]))
    store.path("cells", UNIT.cell_id).rename(store.path("cells", "0" * 16))
    with pytest.raises(UserError, match="holds rows of another cell"):
        store.rows("generations")


def test_an_answer_that_is_there_twice_is_an_error_that_names_it(store):
    keep(store, answered(UNIT))
    (path,) = (store.folder / "generations").glob("*.arrow")
    shutil.copy(path, path.with_name(f"{UNIT.cell_id}.0123456789abcdef.arrow"))
    with pytest.raises(UserError, match=r"the key cell_id=.*prompt_id=p0.*more than once"):
        store.rows("generations")


def test_results_from_before_the_stress_test_load_and_export(store, tmp_path):
    for name in ("generations", "judgements"):
        (store.folder / name).rmdir()
    assert store.rows("generations") == store.rows("judgements") == []
    assert store.done() == {RESULT.spec.cell_id, a_spec(seed=2).cell_id}
    names = {p.stem for p in export(store, "csv", tmp_path / "out")}
    assert {"generations", "judgements"} < names


# taken over


def test_answers_of_an_equal_adapter_are_copied_and_say_whose_they_are_now(store):
    keep(store, answered(UNIT))
    twin = replace(UNIT, cell_id=a_spec(seed=2).cell_id, cell_label="twin", seed=2)
    assert twin.generation_id == UNIT.generation_id
    assert adopt(store, [twin], []) == 1
    rows = store.rows("generations")
    by_cell = {
        c: [r["response"] for r in rows if r["cell_id"] == c] for c in (UNIT.cell_id, twin.cell_id)
    }
    assert by_cell[UNIT.cell_id] == by_cell[twin.cell_id]
    assert {r["seed"] for r in rows if r["cell_id"] == twin.cell_id} == {2}


def test_answers_in_another_sweeps_results_are_copied_failures_are_not(store, tmp_path):
    sibling = filled(tmp_path / "results" / "other", RESULT)
    keep_outcome(sibling, failure(), attempts=1, ray=None)
    assert adopt(store, [UNIT], []) == 0
    keep(sibling, answered(UNIT))
    assert adopt(store, [UNIT], []) == 1
    assert store.rows("generations") == sibling.rows("generations")
    other = a_unit(RESULT, asked=prompts(5))
    assert adopt(store, [other], []) == 0


def test_damaged_answers_in_another_sweeps_results_are_named_and_passed_over(store, tmp_path):
    for name in ("a", "b"):
        keep(filled(tmp_path / "results" / name, RESULT), answered(UNIT))
    (damaged,) = (tmp_path / "results/a/generations").iterdir()
    damaged.write_bytes(b"ARROW1")
    notes: list[str] = []
    assert adopt(store, [UNIT], notes) == 1
    assert notes == [f"{damaged}: corrupted (Not an Arrow file); passed over"]
