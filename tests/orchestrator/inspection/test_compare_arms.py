"""`rho-sweep compare --arms`: two sweeps arm by arm."""

import json

import numpy as np
import pytest
from scipy import stats

from orchestrator.results.store import Store
from tests.builders import a_result, a_spec, filled

RHOS = {"a": [1.0, 1.3, 1.1, 1.6], "b": [0.4, 0.1, 0.5]}
ZERO = {"a": 0.5, "b": 0.25}


def results(place, digest: str) -> Store:
    """An arm of its own numbers; the baselines differ, so that only changes can be compared."""
    cells = [a_result(a_spec("baseline", digest=digest), {("bias", "train"): ZERO[digest]})]
    for seed, rho in enumerate(RHOS[digest]):
        spec = a_spec("rho-guided", seed=seed, digest=digest)
        cells.append(a_result(spec, {("bias", "train"): rho, ("bias", "heldout"): -rho}))
    if digest == "b":
        cells.append(a_result(a_spec("sft-only", digest=digest), {("bias", "train"): 0.0}))
    return filled(place, *cells)


@pytest.fixture
def two(tmp_path):
    return [results(tmp_path / name, name).folder for name in ("a", "b")]


def test_changes_of_the_same_arm_are_compared_with_an_interval(two, rho_sweep):
    ran = rho_sweep("compare", *two, "--arms", "--split", "train", "--json")
    (base, row) = json.loads(ran.out)["rows"]
    a, b = (np.array(RHOS[k]) - ZERO[k] for k in ("a", "b"))
    ci = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert row["difference"] == pytest.approx(a.mean() - b.mean())
    assert (row["low"], row["high"]) == (pytest.approx(ci.low), pytest.approx(ci.high))
    assert (row["n_a"], row["n_b"]) == (4, 3)
    assert (base["arm"], base["difference"], base["low"]) == ("baseline", 0.25, None)
    said = rho_sweep("compare", *two, "--arms", "--split", "train")
    assert said.code == 0
    assert f"Only in {two[1]}: sft-only." in " ".join(said.out.split())


def test_held_out_pairs_are_compared_where_there_are_any(two, rho_sweep):
    (row,) = json.loads(rho_sweep("compare", *two, "--arms", "--json").out)["rows"]
    assert row["mean_a"] == pytest.approx(-np.mean(RHOS["a"]))


def test_one_training_seen_twice_has_no_interval(two, rho_sweep):
    found = json.loads(rho_sweep("compare", two[0], two[0], "--arms", "--json").out)["rows"]
    assert [(r["difference"], r["low"]) for r in found] == [(0.0, None)]


def test_what_cannot_be_compared_is_one_sentence(two, rho_sweep, tmp_path):
    other = filled(tmp_path / "c", a_result(a_spec("sft-only"), {("factual", "train"): 0.0}))
    ran = rho_sweep("compare", two[0], other.folder, "--arms")
    assert ran.code == 2
    assert "have no arm and behaviour of the split" in ran.err
    assert rho_sweep("compare", *two, "--split", "train").code == 2
    ran = rho_sweep("compare", *two, "--arms", "--split", "trian")
    assert ran.code == 2
