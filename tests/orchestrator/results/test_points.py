"""Scores and adapters from within a training lie beside those of its end, and never among them."""

import shutil
from dataclasses import replace

import pyarrow as pa
import pytest

from orchestrator import open_results
from orchestrator.analysis.load import load_frame
from orchestrator.cluster.trust.listing import is_ours
from orchestrator.inspection.check import check
from orchestrator.inspection.compare_results import compare
from orchestrator.results.folder import kept_step, passed_over
from orchestrator.results.schema import TABLES, fitted, versioned
from tasks.contract.cell import Adapter, Point, Status
from tests.builders import WEIGHTS, a_result, a_score, a_spec, filled

FINAL = {("factual", "heldout"): 0.5}
SPEC = replace(a_spec(), eval_steps=(1,), keep_steps=(1,))


def with_points(spec=SPEC, *, rho=-0.25, status=Status.OK):
    result = a_result(spec, FINAL, status=status)
    earlier = a_result(spec, {("factual", "heldout"): rho})
    point = Point(
        step=1,
        scores=earlier.scores,
        probe_scores=earlier.probe_scores,
        adapter=Adapter(weights=WEIGHTS, config={"rank": 8}),
        passes=1,
    )
    return replace(result, points=(point,))


def test_rows_of_a_point_have_its_step_and_those_of_the_end_have_none(tmp_path):
    store = filled(tmp_path, with_points())
    assert [(r["step"], r["rho"]) for r in store.rows("scores")] == [(None, 0.5), (1, -0.25)]
    assert [(r["step"], r["gap"]) for r in store.rows("probe_scores")] == [(None, 0.5), (1, -0.25)]
    store = filled(tmp_path / "diverged", with_points(status=Status.DIVERGED))
    assert [r["step"] for r in store.rows("scores")] == [1]


def test_an_analysis_of_the_end_sees_no_point(tmp_path):
    frame = load_frame([filled(tmp_path, with_points())])
    (evidence,) = frame.evidence()
    results = open_results(tmp_path)
    for end, every in ((results.scores(), "scores"), (results.probe_scores(), "probe_scores")):
        assert end["step"].to_pylist() == [None]
        assert results.table(every).num_rows == 2
    assert evidence.scores == {1: 0.5}
    assert frame.probes(SPEC.arm_id, "factual", "heldout").gaps.tolist() == [[0.5]]


def test_a_kept_adapter_is_promised_checked_linked_and_cleared(tmp_path):
    store = filled(tmp_path / "a", with_points())
    kept = store.adapter_folder(SPEC.cell_id, 1)
    assert kept.name == f"{SPEC.cell_id}.1"
    assert (kept / "adapters.safetensors").read_bytes() == WEIGHTS
    assert passed_over(store.folder) == []
    other = filled(tmp_path / "b")
    other.link_from(store, SPEC.cell_id)
    assert other.is_done(SPEC.cell_id)
    weights = other.adapter_folder(SPEC.cell_id, 1) / "adapters.safetensors"
    weights.unlink()  # the link, not the file of the other results
    weights.write_bytes(WEIGHTS[:-1] + b"x")
    changed = [p.path for p in check(other).problems]
    assert f"adapters/{SPEC.cell_id}.1/adapters.safetensors" in changed
    shutil.rmtree(kept)
    assert not store.is_done(SPEC.cell_id)
    store.commit(with_points(), attempts=2, ray=None)
    assert store.is_done(SPEC.cell_id)
    store.commit(replace(with_points(), points=()), attempts=3, ray=None)
    assert not [*kept.iterdir()]


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("adapters/{}.12/adapters.safetensors", 12),
        ("adapters/{}/adapters.safetensors", None),
        ("adapters/{}.0/adapters.safetensors", None),
        ("adapters/{}.1x/adapters.safetensors", None),
        ("adapters/{}.12/other", None),
        ("adapters/{}.12/../adapters.safetensors", None),
        ("scores/{}.12", None),
    ],
)
def test_only_names_that_we_give_are_kept_adapters(name, step):
    name = name.format(SPEC.cell_id)
    assert kept_step(name, SPEC.cell_id) == step
    assert kept_step(name, "0" * 16) is None
    if step:
        assert is_ours(name)


def test_results_that_were_made_without_steps_are_read():
    for table in ("scores", "probe_scores"):
        today = versioned(table)
        before = pa.schema([f for f in today if f.name != "step"], today.metadata)
        row = a_score("factual", "heldout", 0.5) if table == "scores" else None
        known = {"cell_id": "c", "behavior": "factual", "split": "heldout", "status": "ok"}
        known |= {"probe_id": "p"} if row is None else {
            "n_pairs": 1, "n_valid": 1, "n_completion": 0
        }  # fmt: skip
        found = fitted(pa.Table.from_pylist([known], schema=before), table)
        assert found.schema.names == TABLES[table].names
        assert found["step"].to_pylist() == [None]


def test_compare_looks_at_points_too(tmp_path):
    a = filled(tmp_path / "a", with_points())
    b = filled(tmp_path / "b", with_points(rho=-0.5))
    found = compare(a, b)
    assert found.differing == {SPEC.cell_id: ["scores", "probe_scores"]}
    assert found.max_difference == 0.25
    assert compare(a, filled(tmp_path / "c", with_points())).same == 1
