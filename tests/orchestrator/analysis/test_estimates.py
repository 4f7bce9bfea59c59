"""T14: estimates stand beside the tests, agree with their model, and decide nothing."""

import numpy as np
import pytest

from orchestrator.analysis.tables.build import Material, tables
from orchestrator.analysis.tables.design.estimates import MOST_ARMS
from orchestrator.analysis.tables.view import Missing, View
from orchestrator.report import analysed, render
from orchestrator.results.store import Store
from orchestrator.stats.beside.estimates import hierarchy, share
from tests.orchestrator.analysis.arms import an_arm, answers
from tests.orchestrator.analysis.test_registered import launch, run, sweep

BEHAVIORS = ("bias", "factual", "toxicity")
NOISE = np.array([[0.02, -0.01, 0.03, 0.0], [0.05, -0.04, 0.0, 0.01], [-0.02, 0.02, 0.01, -0.03]])
EFFECTS = (0.5, 0.1, -0.05)


def two_arms(behaviors=BEHAVIORS):
    found = []
    for behavior, noise, effect in zip(behaviors, NOISE, EFFECTS, strict=False):
        base = np.array([0.1, 0.3, 0.2, 0.4])
        found.append(an_arm("sft-only", base.tolist(), behavior=behavior))
        found.append(an_arm(scores=(base + effect + noise).tolist(), behavior=behavior))
    return found


def made(name: str, **material) -> View | Missing:
    (found,) = [v for v in tables(Material(**{"evidence": ()} | material)) if v.name == name]
    return found


def test_the_estimates_are_those_of_the_model_for_the_tested_differences():
    view = made("estimates", evidence=two_arms())
    diffs, ses = (NOISE.mean(axis=1) + EFFECTS), NOISE.std(axis=1, ddof=1) / 2
    order = [BEHAVIORS.index(r["behavior"]) for r in view.rows[:-1]]
    whole = hierarchy(diffs[order], ses[order], [3] * 3)
    for row, one in zip(view.rows, whole.effects, strict=False):
        found = (row["measured"], row["estimate"], row["low"], row["high"], row["above"])
        expected = (one.raw, one.estimate, one.interval.low, one.interval.high, one.above)
        assert found == pytest.approx(expected, rel=1e-6)
        assert row["above"] + row["below"] == pytest.approx(1)
        assert (row["arm"], row["reference"], row["n"]) == ("rho-guided", "sft-only", 4)
    last = view.rows[-1]
    assert (last["estimate"], last["tau"]) == pytest.approx((whole.mean, whole.tau), rel=1e-6)


def test_no_estimate_is_a_verdict():
    for name in ("estimates", "refusal_estimates"):
        view = made(
            name, evidence=two_arms(), refusals=answers("baseline", [True, False], seed=None)
        )
        assert "never verdicts" in view.title
        assert not {"verdict", "status", "p"} & {*view.fields}
        assert "no verdict rests on them" in view.notes[0]


def test_where_there_is_nothing_to_shrink_the_reason_stands():
    one = two_arms(("bias",))
    assert "spread over seeds on two behaviors" in made("estimates", evidence=one).reason
    assert "no judged answers" in made("refusal_estimates").reason
    many = [an_arm(scores=[0.1, 0.2], rho_weight=w / 100) for w in range(1, MOST_ARMS + 2)]
    assert "estimates stop at 24" in made("estimates", evidence=many).reason


def test_a_share_is_of_one_cell_and_its_interval_is_jeffreyss():
    asked = [
        *answers("baseline", [True, False, None], seed=None),
        *answers("sft-only", [True, True, True], seed=1),
        *answers("sft-only", [False, False, True], seed=2),
    ]
    rows = made("refusal_estimates", refusals=asked).rows
    found = [(r["condition"], r["seed"], r["refused"], r["judged"]) for r in rows]
    assert found == [("baseline", None, 1, 2), ("sft-only", 1, 3, 3), ("sft-only", 2, 1, 3)]
    for row in rows:
        one = share(row["refused"], row["judged"])
        assert (row["low"], row["high"]) == (one.interval.low, one.interval.high)


@pytest.mark.slow
def test_a_report_has_them_in_a_section_of_their_own(tmp_path):
    run(tmp_path, launch(tmp_path, sweep()))
    text = render(analysed(Store(tmp_path)), markdown=True)
    places = [text.index(f"## {name}") for name in ("Tables", "Estimates, never verdicts", "Cells")]
    assert places == sorted(places)
    assert text.index("T14 estimates") > places[1]
    assert "Estimates, never verdicts" in render(analysed(Store(tmp_path)), markdown=False)
