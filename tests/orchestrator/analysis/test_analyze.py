"""Means over seeds against numbers made by hand."""

import json
import math
from dataclasses import replace

import pytest

from orchestrator.analysis.analyze import Analysis, ArmScore, analyze
from tasks.contract.cell import Status
from tests.builders import a_failure, a_result, a_spec, filled

TRAIN = ("factual", "train")


def scored(condition: str, rho: float | None, **spec: object):
    return a_result(a_spec(condition, **spec), {TRAIN: rho})


def arm(found: Analysis, condition: str, behavior: str = "factual") -> ArmScore:
    (row,) = [a for a in found.arms if (a.condition, a.behavior) == (condition, behavior)]
    return row


def test_mean_sd_and_delta_are_those_made_by_hand(tmp_path):
    store = filled(
        tmp_path / "r",
        scored("baseline", 0.25),
        scored("rho-guided", 1.0, seed=1),
        scored("rho-guided", 2.0, seed=2),
        scored("rho-guided", 6.0, seed=3),
    )
    found = arm(analyze([store]), "rho-guided")
    assert (found.n, found.mean, found.baseline) == (3, 3.0, 0.25)
    assert found.sd == pytest.approx(math.sqrt(7.0))
    assert found.delta_mean == pytest.approx(2.75)
    assert found.delta_sd == pytest.approx(math.sqrt(7.0))
    assert (found.rho_weight, found.margin, found.accuracy) == (0.2, 0.1, 1.0)


def test_the_baseline_itself_has_a_score_but_no_delta(tmp_path):
    found = arm(analyze([filled(tmp_path / "r", scored("baseline", 0.25))]), "baseline")
    assert (found.n, found.mean, found.sd) == (1, 0.25, None)
    assert (found.delta_mean, found.delta_sd) == (None, None)


def test_n_counts_only_cells_with_a_score(tmp_path):
    store = filled(
        tmp_path / "r",
        scored("baseline", 0.0),
        scored("rho-guided", 1.0, seed=1),
        scored("rho-guided", None, seed=2),
        scored("rho-guided", 3.0, seed=3),
        a_result(a_spec(seed=4), status=Status.DIVERGED),
        a_failure(a_spec(seed=5)),
    )
    found = arm(analyze([store]), "rho-guided")
    assert (found.n, found.mean, found.delta_mean) == (2, 2.0, 2.0)


def test_an_arm_without_any_score_has_no_mean_and_not_0(tmp_path):
    store = filled(tmp_path / "r", scored("baseline", 0.5), scored("rho-guided", None))
    found = arm(analyze([store]), "rho-guided")
    assert found.n == 0
    assert found.mean is found.sd is found.delta_mean is found.delta_sd is found.accuracy is None
    assert found.baseline == 0.5


def test_one_seed_has_a_mean_but_no_sd(tmp_path):
    store = filled(tmp_path / "r", scored("baseline", 0.0), scored("rho-guided", 1.5))
    found = arm(analyze([store]), "rho-guided")
    assert (found.mean, found.sd, found.delta_mean, found.delta_sd) == (1.5, None, 1.5, None)


def test_without_a_baseline_there_is_no_delta(tmp_path):
    found = arm(analyze([filled(tmp_path / "r", scored("sft-only", 1.0))]), "sft-only")
    assert (found.baseline, found.delta_mean, found.delta_sd) == (None, None, None)


@pytest.mark.parametrize("lacking", [None, {}])
def test_a_baseline_without_that_score_gives_no_delta(tmp_path, lacking):
    baseline = a_result(a_spec("baseline"), {TRAIN: None} if lacking is None else lacking)
    found = arm(analyze([filled(tmp_path / "r", baseline, scored("sft-only", 1.0))]), "sft-only")
    assert (found.mean, found.baseline, found.delta_mean) == (1.0, None, None)


def test_every_model_is_compared_with_its_own_baseline(tmp_path):
    store = filled(
        tmp_path / "r",
        scored("baseline", 1.0, digest="m"),
        scored("baseline", 10.0, digest="n"),
        scored("sft-only", 2.0, digest="m"),
        scored("sft-only", 20.0, digest="n"),
    )
    found = [a for a in analyze([store]).arms if a.condition == "sft-only"]
    assert sorted((a.baseline, a.delta_mean) for a in found) == [(1.0, 1.0), (10.0, 10.0)]


def test_behaviours_and_splits_are_kept_apart(tmp_path):
    rho = {("factual", "train"): 0.5, ("factual", "heldout"): 1.5, ("bias", "heldout"): -0.25}
    before = dict.fromkeys(rho, 0.25)
    store = filled(tmp_path / "r", a_result(a_spec("baseline"), before), a_result(a_spec(), rho))
    found = [a for a in analyze([store]).arms if a.condition == "rho-guided"]
    assert {(a.behavior, a.split): a.mean for a in found} == rho
    assert {a.baseline for a in found} == {0.25}


def test_arms_differ_by_weight_margin_and_named_settings(tmp_path):
    store = filled(
        tmp_path / "r",
        scored("rho-guided", 1.0, rho_weight=0.1),
        scored("rho-guided", 2.0, rho_weight=0.2),
        scored("rho-guided", 3.0, rho_weight=0.2, lora_rank=4),
        scored("contrastive-only", 4.0),
    )
    found = analyze([store]).arms
    assert [(a.condition, a.rho_weight, a.differs, a.mean) for a in found] == [
        ("rho-guided", 0.1, "train.lora_rank=8", 1.0),
        ("rho-guided", 0.2, "train.lora_rank=4", 3.0),
        ("rho-guided", 0.2, "train.lora_rank=8", 2.0),
        ("contrastive-only", 0.2, "train.lora_rank=8", 4.0),
    ]


def test_a_setting_that_one_arm_leaves_open_tells_it_from_the_others(tmp_path):
    spec, bare = a_spec("sft-only"), a_spec("contrastive-only")
    whole = replace(spec, data=replace(spec.data, size=None, digest="all"), sft_records=20)
    long = replace(bare, sft_records=20)
    store = filled(tmp_path / "r", *(a_result(s) for s in (spec, whole, bare, long)))
    assert {(a.condition, a.differs) for a in analyze([store]).arms} == {
        ("sft-only", "data.size=10"),
        ("sft-only", "data.size=None"),
        ("contrastive-only", "sft_records=10"),
        ("contrastive-only", "sft_records=20"),
    }


def test_a_cell_that_failed_is_named_and_counts_nowhere(tmp_path):
    store = filled(
        tmp_path / "r",
        scored("rho-guided", 1.0, seed=1),
        a_failure(a_spec(seed=2), "no memory"),
        a_result(a_spec(seed=3), status=Status.DIVERGED),
    )
    found = analyze([store])
    assert {(u["seed"], u["status"], u["message"]) for u in found.unscored} == {
        (2, "failed", "no memory"),
        (3, "diverged", "step 2: the loss is nan"),
    }
    assert [a.n for a in found.arms] == [1]


def test_json_holds_every_number_and_null_where_there_is_none(tmp_path):
    store = filled(tmp_path / "r", scored("rho-guided", None), a_failure(a_spec(seed=2)))
    body = json.loads(analyze([store]).to_json())
    assert {"arms", "unscored"} <= set(body)
    assert set(body["arms"][0]) == set(ArmScore.__dataclass_fields__)
    assert body["arms"][0]["mean"] is None
    assert body["unscored"][0]["cell_id"] == a_spec(seed=2).cell_id


def test_an_empty_store_has_an_empty_analysis(tmp_path):
    found = analyze([filled(tmp_path / "r")])
    assert (found.arms, found.unscored) == ((), ())
