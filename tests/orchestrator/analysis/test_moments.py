"""Contrasts about moments of a training: planned and tested by one rule, the seed as the unit."""

from dataclasses import replace

import numpy as np
import pytest
import yaml

from orchestrator.analysis.analyze import analyze_frame
from orchestrator.errors import SweepError
from tasks.contract.cell import Point
from tests.builders import a_result, expanded, parsed
from tests.orchestrator.analysis.test_axes import (
    GUIDED,
    PLAIN,
    difference,
    effect_of,
    finished,
    planned,
    registered,
    sweep,
)
from tests.orchestrator.analysis.test_frame import frame_of

RISE = {0.5: 0.0, 1: 0.1, 2: 0.3, 4: 0.2}
"""Epochs -> what guided training adds: it rises, and then falls."""


def text_of(*contrasts, eval_at=(0.5, 1, 2), **axes):
    raw = yaml.safe_load(sweep(list(contrasts), **axes))
    return yaml.safe_dump(raw | {"train": {"epochs": 4, "eval_at": eval_at and list(eval_at)}})


def curve(spec):
    """A finished cell with a point for every step at which it is scored."""
    if not spec.eval_steps:
        return finished(spec)
    noise = np.random.default_rng(int(spec.cell_id[:8], 16)).normal(scale=0.01, size=4)
    steps = (*spec.eval_steps, spec.last_step)
    rhos = {
        step: effect_of(spec) + noise[i] + (rise if spec.hinge else 0.0)
        for i, (step, rise) in enumerate(zip(steps, RISE.values(), strict=True))
    }
    result = finished(spec, lambda _: rhos[spec.last_step])
    points = []
    for step in spec.eval_steps:
        scores = {(s.behavior, s.split): rhos[step] for s in result.scores}
        at = a_result(spec, scores)
        points.append(Point(step=step, scores=at.scores, probe_scores=at.probe_scores))
    return replace(result, points=tuple(points))


def analyzed(text):
    return analyze_frame(frame_of(*map(curve, expanded(text).all)), registered(text))


def asked(**contrast):
    return {"id": "q", "a": GUIDED, "behaviors": ["bias"]} | contrast


def test_two_moments_of_one_training_are_paired_by_its_seed():
    text = text_of(difference(GUIDED | {"epoch": 4}, GUIDED | {"epoch": 2}))
    (row,) = analyzed(text).inference
    assert row.estimate == pytest.approx(-0.1, abs=0.02)
    assert (row.pairing, row.n_pairs, row.registered) == ("paired", 6, True)
    assert row.arm_a.endswith("step=50")  # 100 texts, 2 to a micro-step, 4 of these to a step
    assert row.arm_b.endswith("step=25")
    (power,) = planned(text)
    assert (power.problem, power.n) == (None, 6)


def test_a_step_names_the_same_moment_as_an_epoch():
    by = [
        difference(GUIDED | {field: a}, GUIDED | {field: b}, id=field)
        for field, a, b in (("epoch", 1, 0.5), ("step", 13, 7))
    ]
    one, other = analyzed(text_of(*by)).inference
    assert one.estimate == other.estimate == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("named", ["a", "b"])
def test_a_moment_that_one_side_names_holds_for_both(named):
    sides = {"a": GUIDED, "b": PLAIN}
    sides[named] = sides[named] | {"epoch": 1}
    (row,) = analyzed(text_of(difference(sides["a"], sides["b"]))).inference
    assert row.estimate == pytest.approx(0.6, abs=0.03)


def test_the_end_is_a_moment_and_without_one_only_the_end_is_asked_about():
    plain = difference(GUIDED, PLAIN, id="plain")
    named = difference(GUIDED | {"epoch": 4}, PLAIN, id="named")
    rows = {r.contrast_id: r for r in analyzed(text_of(plain, named)).inference}
    assert rows["plain"].estimate == rows["named"].estimate
    assert "step=" not in rows["plain"].arm_a


def test_effects_at_two_moments_are_compared():
    between = asked(kind="interaction", b=PLAIN, between={"epoch": [2, 0.5]})
    (row,) = analyzed(text_of(between)).inference
    assert row.estimate == pytest.approx(0.3, abs=0.03)
    assert row.status == "ok"


def test_a_trend_over_steps_is_one_slope_a_seed():
    trend = asked(kind="trend", over="step", alternative="greater")
    (row,) = analyzed(text_of(trend)).inference
    assert (row.test, row.n_pairs, row.pairing) == ("slopes_within", 6, "paired")
    steps, rises = np.array([7, 13, 25, 50]), [*RISE.values()]
    assert row.estimate == pytest.approx(np.polyfit(steps, rises, 1)[0] * 43, abs=0.02)
    assert row.ci_low < row.estimate < row.ci_high
    assert row.verdict == "supported"
    (power,) = planned(text_of(trend))
    assert power.unit == "sd of the difference"


def test_every_step_and_the_best_one_are_asked_over_steps():
    monotone = asked(id="all", kind="strict_monotone", over="step", alternative="greater")
    best = asked(id="best", kind="best_of", over="step", b=PLAIN | {"epoch": 4})
    rows = {r.contrast_id: r for r in analyzed(text_of(monotone, best)).inference}
    assert rows["all"].estimate == pytest.approx(-0.1, abs=0.02)
    assert "weakest step, 25 to 50" in rows["all"].notes[0]
    assert "the best of 4 doses is step=25" in rows["best"].notes[0]


def test_an_arm_at_a_moment_is_compared_with_the_untrained_model_and_over_probes():
    alone = asked(a=GUIDED | {"epoch": 0.5}, kind="one_sample")
    (row,) = analyzed(text_of(alone)).inference
    text = text_of(alone)
    guided = next(s for s in expanded(text).all if s.hinge)
    base = next(s for s in expanded(text).all if not s.condition.trains)
    assert row.estimate == pytest.approx(effect_of(guided) - effect_of(base), abs=0.05)
    frame = frame_of(*map(curve, expanded(text).all))
    gaps = frame.probes(guided.arm_id, "bias", "heldout", 7).gaps
    assert gaps.mean() == pytest.approx(row.estimate + effect_of(base), abs=1e-6)


def test_tables_and_evidence_are_of_the_end_alone():
    text = text_of(difference(GUIDED, PLAIN))
    without = text_of(difference(GUIDED, PLAIN), eval_at=(4,))
    found, other = (
        analyze_frame(frame_of(*map(curve, expanded(t).all)), registered(t))
        for t in (text, without)
    )
    assert len(found.evidence) == len(other.evidence)
    assert [(v.key, len(v.rows)) for v in found.views] == [
        (v.key, len(v.rows)) for v in other.views
    ]
    assert {e.step for e in found.evidence} == {None}


REFUSED = {
    "train.eval_at names none": (difference(GUIDED | {"epoch": 4}, PLAIN), {"eval_at": None}),
    "nothing is scored after 3 epochs; train.eval_at and the end are 0.5, 1, 2, 4": (
        difference(GUIDED | {"epoch": 3}, PLAIN),
        {},
    ),
    "names a moment, as epoch does": (difference(GUIDED | {"epoch": 1, "step": 9}, PLAIN), {}),
    "linearity takes doses as independent": (asked(kind="linearity", over="step"), {}),
    "is about answers": (asked(kind="prop_diff", a=GUIDED | {"epoch": 1}), {}),
}


@pytest.mark.parametrize(("message", "given"), REFUSED.items(), ids=REFUSED)
def test_what_has_no_moment_or_no_test_is_refused(message, given):
    contrast, more = given
    if contrast["kind"] == "prop_diff":
        del contrast["behaviors"]
    with pytest.raises(SweepError) as caught:
        parsed(text_of(contrast, **{"eval_at": (0.5, 1, 2)} | more))
    assert message in str(caught.value)
