"""Tables to evidence: every seed in its arm, nothing invented, nothing counted twice."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.analysis.evidence.frame import Frame
from orchestrator.analysis.load import load_frame
from orchestrator.errors import UserError
from orchestrator.results.schema import result_row, result_rows, to_arrow
from orchestrator.results.store import Store
from tasks.contract.cell import CellResult, ProbeScoreRow, Status
from tests.builders import a_failure, a_result, a_spec, filled

TRAIN = ("factual", "train")


def scored(condition: str, rho: float | None, **spec: object) -> CellResult:
    return a_result(a_spec(condition, **spec), {TRAIN: rho})


def frame_of(*results: CellResult, **columns: object) -> Frame:
    """A frame without files; `columns` overwrite those of every cell."""
    return Frame(*tables_of(*results, **columns))


def tables_of(*results: CellResult, **columns: object) -> tuple[pa.Table, pa.Table, pa.Table]:
    """What a frame is made of: cells, scores, probe scores."""
    more = {"attempts": 1, "finished_at": None, "ray": None} | columns
    cells = [result_row(r) | more for r in results]
    rows = [result_rows(r) for r in results]
    schema = to_arrow("cells", []).schema
    filled_in = [
        {**{f.name: None for f in schema}, **c, "finished_at": 0, "cell_id": r.spec.cell_id}
        for c, r in zip(cells, results, strict=True)
    ]
    return (
        to_arrow("cells", filled_in),
        to_arrow("scores", [x for r in rows for x in r["scores"]]),
        to_arrow("probe_scores", [x for r in rows for x in r["probe_scores"]]),
    )


def redrawn(tables: tuple[pa.Table, ...], rhos: list[float]) -> Frame:
    """A frame of the same cells with other scores, one a row of `scores`: simulations are made so.

    To make the rows of the cells takes longer than to test them.
    """
    cells, scores, probes = tables
    place = scores.schema.get_field_index("rho")
    column = pa.array(rhos, pa.float64())
    return Frame(cells, scores.set_column(place, scores.schema.field("rho"), column), probes)


def test_an_arm_keeps_every_seed_and_its_baseline():
    frame = frame_of(
        scored("baseline", 0.25), scored("rho-guided", 1.0, seed=7), scored("rho-guided", 2.0)
    )
    arm = next(e for e in frame.evidence() if e.condition == "rho-guided")
    assert arm.scores == {7: 1.0, a_spec().seed: 2.0}
    assert arm.deltas[7] == 0.75
    assert (arm.score.n, arm.delta.mean, arm.baseline) == (2, 1.25, 0.25)


def test_a_missing_score_is_a_missing_seed_and_never_0():
    frame = frame_of(scored("rho-guided", 1.0, seed=1), scored("rho-guided", None, seed=2))
    (arm,) = frame.evidence()
    assert (arm.scores, arm.n, arm.delta) == ({1: 1.0}, 1, None)


def test_cells_that_diverged_or_failed_are_told_apart(tmp_path):
    store = filled(
        tmp_path / "r",
        scored("rho-guided", 1.0, seed=1),
        a_result(a_spec(seed=2), status=Status.DIVERGED),
        a_failure(a_spec(seed=3)),
    )
    frame = load_frame([store])
    assert sorted(r["status"] for r in frame.unscored) == ["diverged", "failed"]
    assert [e.n for e in frame.evidence()] == [1]


@settings(max_examples=25)
@given(st.permutations(range(6)))
def test_the_order_of_cells_does_not_matter(order):
    results = [scored("baseline", 0.5)]
    results += [scored("rho-guided", 1.0 + s, seed=s) for s in range(1, 4)]
    results += [scored("sft-only", float(s), seed=s) for s in range(1, 3)]
    by_arm = {e.arm_id: e for e in frame_of(*results).evidence()}
    assert by_arm == {e.arm_id: e for e in frame_of(*(results[i] for i in order)).evidence()}


@pytest.mark.parametrize("column", ["code_version", "base_precision"])
def test_a_batch_split_inside_an_arm_is_an_error(column):
    one, two = scored("rho-guided", 1.0, seed=1), scored("rho-guided", 2.0, seed=2)
    frame = frame_of(one, two)
    frame.cells[two.spec.cell_id][column] = "other"
    with pytest.raises(UserError, match=f"mixes batches: {column} is .*other"):
        frame.evidence()


def test_a_cell_that_two_results_have_counts_once(tmp_path):
    cell = scored("rho-guided", 1.0, seed=1)
    stores = [
        filled(tmp_path / "a", cell, scored("rho-guided", 3.0, seed=2)),
        filled(tmp_path / "b", cell, scored("sft-only", 2.0, seed=1)),
    ]
    found = {str(e.condition): e.scores for e in load_frame(stores).evidence()}
    assert found == {"rho-guided": {1: 1.0, 2: 3.0}, "sft-only": {1: 2.0}}


def test_one_cell_with_two_scores_is_an_error(tmp_path):
    stores = [
        filled(tmp_path / name, scored("rho-guided", rho, seed=1))
        for name, rho in (("a", 1.0), ("b", 1.5))
    ]
    with pytest.raises(UserError, match=r"has different scores in .*rho-sweep compare"):
        load_frame(stores)


def test_gaps_are_those_of_pairs_that_every_seed_has():
    def with_gaps(seed: int, gaps: dict[str, float | None]) -> CellResult:
        rows = tuple(
            ProbeScoreRow(
                behavior="factual",
                split="train",
                probe_id=p,
                status="ok" if g is not None else "too_long",
                gap=g,
            )
            for p, g in gaps.items()
        )
        return replace(scored("rho-guided", 1.0, seed=seed), probe_scores=rows)

    one = with_gaps(2, {"c": 3.0, "a": 1.0, "b": 2.0})
    two = with_gaps(1, {"a": 5.0, "b": None, "c": 7.0})
    frame = frame_of(one, two)
    probes = frame.probes(one.spec.arm_id, "factual", "train")
    assert (probes.seeds, probes.probe_ids) == ((1, 2), ("a", "c"))
    assert np.array_equal(probes.gaps, [[5.0, 7.0], [1.0, 3.0]])
    assert frame.probes(one.spec.arm_id, "factual", "heldout").gaps.size == 0
    assert frame.probes("nowhere", "factual", "train").seeds == ()


def test_arms_of_other_settings_are_told_apart_by_them():
    frame = frame_of(scored("rho-guided", 1.0, seed=1), scored("rho-guided", 2.0, seed=1, epochs=3))
    assert sorted(e.differs for e in frame.evidence()) == ["train.epochs=1", "train.epochs=3"]


def test_arms_that_differ_in_no_setting_are_told_apart_by_their_ids():
    plain = scored("rho-guided", 1.0)
    often = replace(plain, spec=replace(plain.spec, eval_steps=(1,)))
    found = frame_of(plain, often, scored("sft-only", 1.0)).evidence()
    arms = {plain.spec.arm_id[:8], often.spec.arm_id[:8]}
    assert {e.differs for e in found} == {"", *arms}


def test_no_results_give_no_evidence(tmp_path):
    store = Store(tmp_path / "r")
    store.create()
    assert load_frame([store]).evidence() == []
