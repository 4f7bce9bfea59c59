"""Tables of one's own sweeps: any arms, any behaviours, any splits."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.analysis.tables import build
from orchestrator.analysis.tables.arms import Arms
from orchestrator.analysis.tables.build import Material, tables
from orchestrator.analysis.tables.design.claims import joint
from orchestrator.analysis.tables.design.components import Component
from orchestrator.analysis.tables.invariants import check
from orchestrator.analysis.tables.scores.variance import variance
from orchestrator.analysis.tables.verdicts import OF_CLAIMS
from orchestrator.analysis.tables.view import Missing, View
from orchestrator.config.contrast_kinds import Kind
from orchestrator.stats.crossed import crossed
from orchestrator.stats.multiplicity import holm
from tests.orchestrator.analysis.arms import a_row, an_arm

SFT = [0.1, 0.25, 0.15, 0.3, 0.2, 0.05]
SEEDS = range(1, 7)


def shifted(by: float, noise: float = 0.02) -> dict[int, float]:
    """SFT's scores moved by that much on average, each seed a little differently."""
    found = np.sin([7.0 * seed + 31.0 * by for seed in SEEDS])
    moves = by + noise * (found - found.mean())
    return {s: SFT[s - 1] + float(moves[s - 1]) for s in SEEDS}


def doses(behavior: str = "bias", **more):
    """An sft-only arm and three weights."""
    return [
        an_arm("sft-only", SFT, behavior=behavior, **more),
        *(
            an_arm(scores=shifted(w), rho_weight=w, behavior=behavior, **more)
            for w in (0.1, 0.2, 0.5)
        ),
    ]


def built(evidence, split=None, **material):
    return {v.name: v for v in tables(Material(evidence=evidence, **material), split)}


def test_a_sweep_with_one_arm_has_means_and_says_why_all_else_is_missing():
    found = built([an_arm(scores=SFT)])
    assert isinstance(found.pop("ablation_means"), View)
    assert all(isinstance(v, Missing) for v in found.values())
    reasons = {name: v.reason for name, v in found.items()}
    assert reasons["margin"] == "one margin only"
    assert reasons["refusal_buffer"] == "refusal was not evaluated"
    assert reasons["dose_response"] == "fewer than 3 weights"
    assert reasons["stress"] == "no judged answers to jailbreaks"


def test_nothing_at_all_is_missing_and_no_error():
    assert all(isinstance(v, Missing) for v in tables(Material(evidence=[])))


def test_behaviours_are_those_evaluated_under_their_own_names():
    found = built([*doses("honesty"), *doses("tact")])
    assert found["ablation_means"].fields[1:3] == ("honesty", "tact")
    assert found["dose_response"].fields[:6] == (
        "rho_weight",
        "honesty_mean",
        "honesty_sd",
        "tact_mean",
        "tact_sd",
        "n",
    )
    assert {r["behavior"] for r in found["effects"].rows} == {"honesty", "tact"}


def test_the_held_out_split_is_shown_unless_another_is_named():
    evidence = [*doses(split="train"), *doses(split="heldout")]
    assert "heldout split" in built(evidence)["ablation_means"].title
    found = built(evidence, "train")["ablation_means"]
    assert "train split (pairs that training could see)" in found.title
    assert {r["split"] for r in found.rows} == {"train"}


def test_several_weights_and_margins_of_a_condition_are_rows_of_their_own():
    arms = [
        an_arm("sft-only", SFT, behavior="refusal"),
        *(
            an_arm(scores=shifted(w + m), rho_weight=w, margin=m, behavior="refusal")
            for w in (0.1, 0.2)
            for m in (0.0, 0.1)
        ),
    ]
    found = built(arms)["refusal_buffer"]
    texts = [found.columns[0].text(r) for r in found.rows]
    assert texts == [
        "sft-only",
        "rho-guided w=0.1 m=0",
        "rho-guided w=0.1 m=0.1",
        "rho-guided w=0.2 m=0",
        "rho-guided w=0.2 m=0.1",
    ]
    assert {r["condition"] for r in found.rows} == {"sft-only", "rho-guided"}


def test_refusal_has_no_word_on_keeping_it_without_a_margin():
    arms = [an_arm("sft-only", SFT, behavior="refusal"), an_arm(scores=SFT, behavior="refusal")]
    found = built(arms)["refusal_buffer"]
    assert found.rows[1]["p_noninferior"] is found.rows[1]["p_tost"] is None
    assert "No margin was stated" in found.notes[0]
    stated = built(arms, sesoi=0.05)["refusal_buffer"].rows[1]
    assert stated["test"] == "paired"


def test_a_loss_beyond_the_stated_margin_has_the_verdict_of_its_claim():
    arms = [
        an_arm("sft-only", SFT, behavior="refusal"),
        an_arm(scores=shifted(-0.3), behavior="refusal"),
    ]
    asked = a_row(
        "contradicted",
        kind=Kind.NONINFERIORITY,
        behavior="refusal",
        arms=(arms[1].arm_id, arms[0].arm_id),
        sesoi=0.04,
    )
    wider = replace(asked, sesoi=0.5, verdict="supported")
    row = built(arms, sesoi=0.04, inference=(wider, asked))["refusal_buffer"].rows[1]
    assert (row["sesoi"], row["verdict"]) == (0.04, "contradicted")


def test_margins_are_compared_with_that_of_the_notes():
    arms = [an_arm(scores=shifted(m), margin=m, behavior="tact") for m in (0.0, 0.05, 0.1, 0.4)]
    found = built(arms)["margin"]
    assert [r["margin"] for r in found.rows] == [0.0, 0.05, 0.1, 0.4]
    assert [r["diff_text"] for r in found.rows] == [None, None, "ref", None]
    assert found.rows[0]["diff_vs_ref"] == pytest.approx(-0.1)
    assert found.rows[0]["diff_vs_sft_only"] is None
    without = built([a for a in arms if a.margin != 0.1])["margin"]
    assert [r["diff_text"] for r in without.rows] == [None, None, "ref"]


def test_arms_are_compared_only_where_their_settings_agree():
    evidence = [
        arm
        for epochs in (1, 2)
        for arm in (
            an_arm("sft-only", shifted(epochs), settings={"train.epochs": epochs}),
            an_arm(scores=shifted(epochs + 0.5), settings={"train.epochs": epochs}),
        )
    ]
    found = built(evidence)["effects"]
    assert len(found.rows) == 2
    assert [r["diff"] for r in found.rows] == pytest.approx([0.5, 0.5])
    ambiguous = [replace(e, settings={}) for e in evidence]
    assert isinstance(built(ambiguous)["effects"], Missing)


def test_arms_of_different_baselines_meet_in_no_row():
    arms = [an_arm("sft-only", SFT), an_arm(scores=shifted(1), baseline_key="other")]
    assert isinstance(built(arms)["effects"], Missing)


def test_spread_is_tested_by_what_the_number_of_seeds_allows():
    noisy = {s: 5 * v for s, v in shifted(0.3).items()}
    found = built([an_arm("sft-only", SFT), an_arm(scores=noisy)])["variance"].rows[0]
    assert (found["p_from"], found["n_arms_searched"]) == ("brown_forsythe", 1)
    assert found["p_adjusted"] == found["p_brown_forsythe"]
    assert found["reduction_pct"] < 0 < found["sd_ratio"] < 1
    assert (found["min_a"], found["max_a"]) == (0.05, 0.3)
    four = [
        an_arm(c, {s: x[s] for s in range(1, 5)})
        for c, x in (("sft-only", dict(enumerate(SFT, 1))), ("rho-guided", noisy))
    ]
    found = built(four)["variance"]
    assert found.rows[0]["p_from"] == "jackknife"
    text = next(c for c in found.columns if c.fields[0] == "p_brown_forsythe")
    assert text.text(found.rows[0]) == "n < 6"


def test_spread_of_three_seeds_is_described_and_not_tested():
    three = [
        an_arm(c, {s: x[s] for s in (1, 2, 3)})
        for c, x in (("sft-only", dict(enumerate(SFT, 1))), ("rho-guided", shifted(0.3)))
    ]
    found = built(three)["variance"]
    row = found.rows[0]
    assert (row["p_adjusted"], row["n_arms_searched"], row["verdict"]) == (None, 0, None)
    assert row["sd_ratio"] is not None
    assert found.notes == ("Nothing is tested: that takes 4 seeds in both arms, and a spread.",)


def test_the_last_slope_of_a_fall_that_slows_is_the_highest():
    falling = [
        an_arm("sft-only", SFT),
        *(an_arm(scores=shifted(-d), rho_weight=w) for w, d in ((0.1, 0.5), (0.2, 0.6))),
    ]
    assert built(falling)["dose_tests"].rows[0]["last_segment"] == "highest"


def test_weight_zero_is_sft_only_in_a_dose_response():
    found = built(doses())
    assert [r["rho_weight"] for r in found["dose_response"].rows] == [0.0, 0.1, 0.2, 0.5]
    row = found["dose_tests"].rows[0]
    assert (row["monotone"], row["linear"]) == (None, None)
    assert row["n_pairs"] == 6
    assert (row["trend_test"], row["trend_p"]) == ("page", row["page_p"])
    assert row["jt_p"] is not None


def test_a_dose_response_of_unpaired_seeds_is_tested_between_arms():
    row = built(doses(keys={}))["dose_tests"].rows[0]
    assert (row["trend_test"], row["page_p"], row["n_pairs"]) == ("jonckheere", None, None)


def test_a_table_shows_the_verdict_of_the_claim_or_none():
    evidence = doses()
    arms = tuple(e.arm_id for e in evidence)
    asked = [
        a_row("supported", kind=Kind.STRICT_MONOTONE, arms=arms, alternative="less"),
        a_row("contradicted", kind=Kind.STRICT_MONOTONE, arms=arms, alternative="greater"),
        a_row("inconclusive", kind=Kind.LINEARITY, arms=arms),
    ]
    row = built(evidence, inference=asked)["dose_tests"].rows[0]
    assert (row["monotone"], row["linear"]) == ("contradicted", "inconclusive")
    others = [replace(i, arms=arms[1:]) for i in asked]
    assert built(evidence, inference=others)["dose_tests"].rows[0]["monotone"] is None


def test_sds_and_margins_have_the_verdict_of_the_claim_with_their_number():
    noisy = an_arm(scores={s: 5 * v for s, v in shifted(0.3).items()})
    evidence = [an_arm("sft-only", SFT), noisy, an_arm(scores=shifted(0.1), margin=0.5)]
    first, other, far = (e.arm_id for e in evidence)
    plain = built(evidence)
    ratio = plain["variance"].rows[0]["sd_ratio"]
    diff = plain["margin"].rows[1]["diff_vs_ref"]
    assert plain["variance"].rows[0]["verdict"] is plain["margin"].rows[1]["verdict"] is None
    asked = [
        a_row("contradicted", kind=Kind.SD_RATIO, arms=(other, first), estimate=-math.log(ratio)),
        a_row("supported", contrast_id="c2", arms=(far, other), estimate=diff),
        a_row("inconclusive", contrast_id="c3", arms=(far, first), estimate=99.0),
    ]
    found = built(evidence, inference=asked)
    said = {r["claim"]: r["verdict"] for r in found["variance"].rows + found["margin"].rows}
    assert said == {"c1": "contradicted", "c2": "supported", None: None}
    assert [v.notes[-1] for v in (found["variance"], found["margin"])] == [OF_CLAIMS] * 2


def test_what_nobody_asked_has_no_verdict():
    (row,) = built([an_arm("sft-only", SFT), an_arm(scores=shifted(3.0))])["effects"].rows
    assert (row["p_bh"] < 1e-3, row.get("verdict")) == (True, None)


def test_no_table_decides():
    folder = Path(build.__file__).parent
    texts = {
        p: p.read_text() for f in (folder, folder.parent / "published") for p in f.rglob("*.py")
    }
    assert len(texts) > 20
    assert [p.name for p, text in texts.items() if "decide(" in text] == []


def _scores(scores):
    fresh = an_arm(scores=scores)
    return {"scores": fresh.scores, "score": fresh.score, "delta": fresh.delta}


def test_condition_without_sft_has_no_weight_zero():
    arms = [
        an_arm("sft-only", SFT),
        *(an_arm("contrastive-only", shifted(w), rho_weight=w) for w in (0.1, 0.2)),
    ]
    assert isinstance(built(arms)["dose_response"], Missing)


def test_effects_show_what_was_asked_first_and_what_nobody_asked_apart():
    arms = doses()
    asked = a_row(arms=(arms[2].arm_id, arms[0].arm_id), p=0.01, p_adjusted=0.02, adjust="holm")
    found = built(arms, inference=[asked])["effects"]
    assert found.rows[0]["comparison"] == "rho-guided w=0.2 m=0.1 vs sft-only"
    assert [r["family"] for r in found.rows] == ["primary", "exploratory", "exploratory"]
    assert [r["p_holm"] for r in found.rows] == [0.02, None, None]
    assert [r["p_bh"] is None for r in found.rows] == [True, False, False]
    assert {r["rho_weight_a"] for r in found.rows[1:]} == {0.1, 0.5}


def test_a_p_adjusted_another_way_is_not_called_holm():
    arms = doses()
    asked = a_row(arms=(arms[2].arm_id, arms[0].arm_id), p=0.01, p_adjusted=0.02, adjust="bh")
    row = built(arms, inference=[asked])["effects"].rows[0]
    assert (row["p_holm"], row["p_bh"]) == (None, 0.02)


def test_n_varies_is_said_where_it_does():
    arms = [an_arm("sft-only", SFT), an_arm(scores={s: shifted(1)[s] for s in (1, 2, 3)})]
    assert built(arms)["ablation_means"].title.endswith("n varies")
    assert built(doses())["ablation_means"].title.endswith("n = 6")


def test_pairing_names_the_reason_and_the_batches():
    arms = [an_arm("sft-only", SFT), an_arm(scores=shifted(1), keys={})]
    (row,) = built(arms)["pairing"].rows
    assert (row["n_paired"], row["reason_if_unpaired"]) == (0, "no pairing key")
    assert row["batch_versions"] == "code 1, data d, base float32"
    (row,) = built([arms[0], an_arm(scores=shifted(1))])["pairing"].rows
    assert (row["n_paired"], row["reason_if_unpaired"]) == (6, None)
    assert row["r_pair"] == pytest.approx(0.99, abs=0.02)


def test_components_of_one_arm_give_means_their_wider_interval():
    rng = np.random.default_rng(0)
    arm = an_arm(scores=SFT)
    found = crossed(rng.normal(size=(6, 1)) + rng.normal(size=(1, 9)) + rng.normal(size=(6, 9)))
    component = Component(arm_a=arm, crossed=found)
    both = Component(arm_a=arm, arm_b=an_arm("sft-only", SFT), crossed=found)
    views = built([arm], components=[component, both])
    assert views["ablation_means"].rows[0]["bias_ci_low_both"] == found.both.low
    rows = views["components"].rows
    assert [r["arm_b"] for r in rows] == [None, "sft-only"]
    assert (rows[0]["n_seeds"], rows[0]["n_probes"]) == (6, 9)
    assert rows[0]["best_next"] in ("seeds", "probes")


def test_a_manifest_becomes_settings():
    manifest = {
        "name": "s",
        "settings": {"train.epochs": 1, "model": "tiny"},
        "grids": [{"rho_weight": [0.1, 0.2]}],
        "run": {"retries": 2},
        "resolved": {"models": [{"name": "tiny", "digest": "abc"}], "git_revision": None},
        "cells": {"a": "x", "b": "y"},
    }
    found = built([], manifests=[manifest])["config"]
    values = {r["setting"]: r["value"] for r in found.rows}
    assert values == {
        "train.epochs": "1",
        "model": "tiny",
        "rho_weight": "[0.1, 0.2]",
        "run.retries": "2",
        "models.name": "tiny",
        "models.digest": "abc",
        "cells": "2",
        "optimizer": "AdamW",
    }


def test_settings_say_what_the_mix_is_made_of_and_what_cells_ran_on():
    shares = {"data.size": 1000, "data.trap_fraction": 0.2, "data.refusal_fraction": 0.0}
    manifest = {"name": "s", "settings": shares, "cells": {}}
    one = {"chip": "M2 Ultra", "backend": "metal", "mlx": "0.30", "mlx_lm": "0.30.7"}
    cells = [one, one, one | {"chip": "toy", "backend": "cpu"}, dict.fromkeys(one)]
    found = built([], manifests=[manifest], cells=cells)["config"]
    values = {r["setting"]: r["value"] for r in found.rows}
    assert values["data.mix"] == "200 traps + 800 instructions"
    assert values["hardware"] == "M2 Ultra (metal); toy (cpu)"
    assert values["framework"] == "mlx 0.30, mlx-lm 0.30.7"
    varied = {"name": "s", "settings": {"data.size": 1000}, "grids": [], "cells": {}}
    rows = built([], manifests=[varied])["config"].rows
    assert not {"data.mix", "hardware"} & {r["setting"] for r in rows}


def test_plan_has_numbers_for_every_inconclusive_contrast_or_says_there_are_none():
    rows = [
        a_row("inconclusive", mde_80=0.2, n_for_80=40, pairing="paired"),
        a_row("inconclusive", contrast_id="c2", kind=Kind.LINEARITY),
        a_row("supported", contrast_id="c3"),
    ]
    found = built(doses(), inference=rows)["plan"].rows
    assert [r["contrast_id"] for r in found] == ["c1", "c2"]
    assert found[0]["n_seeds_for_80"] == 40
    assert "paired" in found[0]["assumption"]
    assert "no formula" in found[1]["assumption"]


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        (["supported", "supported"], "supported"),
        (["supported", "inconclusive"], "inconclusive"),
        (["supported", "not_testable"], "inconclusive"),
        (["supported", "contradicted"], "contradicted"),
        (["not_testable", "not_testable"], "not_testable"),
    ],
)
def test_a_claim_stands_only_with_all_its_parts(parts, whole):
    assert joint(parts) == whole


def test_a_claim_names_its_parts_and_its_largest_p():
    rows = [
        a_row(p_adjusted=0.01, estimate=0.5),
        a_row("not_testable", behavior="tact", status="missing", notes=("no such arm",)),
    ]
    (row,) = built(doses(), inference=rows)["claims"].rows
    assert (row["verdict"], row["p_adjusted"]) == ("inconclusive", None)
    assert row["reason"] == ("bias supported (+0.500, p 0.010); tact not_testable (no such arm)")


VALUES = st.floats(-3, 3, width=32).map(lambda v: round(v, 3))
RUNS = st.dictionaries(st.integers(1, 8), VALUES, max_size=8)


@pytest.mark.slow
@given(sft=RUNS, low=RUNS, middle=RUNS, high=RUNS, keyed=st.booleans())
@settings(max_examples=30, deadline=None)
def test_no_number_in_any_table_is_ever_infinite_or_nan(sft, low, middle, high, keyed):
    keys = None if keyed else {}
    evidence = [
        an_arm(condition, scores, rho_weight=weight, margin=margin, behavior=behavior, keys=keys)
        for behavior in ("refusal", "bias")
        for condition, scores, weight, margin in (
            ("sft-only", sft, None, None),
            ("rho-guided", low, 0.1, 0.1),
            ("rho-guided", middle, 0.2, 0.1),
            ("rho-guided", high, 0.2, 0.0),
        )
    ]
    views = tables(Material(evidence=evidence, sesoi=0.02))
    check(views, evidence)  # looks at every number of every row
    assert Arms(evidence, "heldout").behaviors == ("bias", "refusal")


@pytest.mark.slow
@given(order=st.permutations(range(8)))
@settings(max_examples=12, deadline=None)
def test_the_order_of_evidence_does_not_matter(order):
    evidence = [*doses("bias"), *doses("refusal")]
    one = tables(Material(evidence=evidence))
    two = tables(Material(evidence=[evidence[i] for i in order]))
    assert one == two


def test_p_of_a_spread_is_adjusted_for_every_arm_and_behaviour_searched():
    wide = [(-1) ** i * (0.2 + 0.05 * i) for i in range(8)]
    narrow = [0.9 * v + 0.01 * (i % 3) for i, v in enumerate(wide)]
    found = variance(
        Arms(
            [
                an_arm("sft-only", wide),
                *(an_arm(scores=[0.3 * w * v for v in narrow], rho_weight=w) for w in (0.1, 0.2)),
            ],
            "heldout",
        )
    )
    raw = [r["p_brown_forsythe"] for r in found.rows]
    assert [r["p_adjusted"] for r in found.rows] == pytest.approx(holm(raw))
    assert max(raw) < 1
    assert [r["p_adjusted"] for r in found.rows] != pytest.approx(raw)
