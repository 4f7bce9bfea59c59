"""Estimates against published numbers and direct integration, and how often they hold the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from orchestrator.stats.beside.estimates import hierarchy, share

SCHOOLS = ([28, 8, -3, 7, -1, 1, 18, 12], [15, 10, 16, 11, 9, 11, 10, 18])


def test_eight_schools_are_those_of_the_textbook():
    """Gelman et al., Bayesian Data Analysis, 5.5: a flat prior of the sd between schools."""
    found = hierarchy(*SCHOOLS, flat=True)
    assert [e.estimate for e in found.effects] == pytest.approx([11, 8, 6, 8, 5, 6, 11, 8], abs=0.6)
    assert found.mean == pytest.approx(8, abs=0.3)
    assert found.tau == pytest.approx(6.6, abs=0.5)
    assert found.tau_interval.high == pytest.approx(20.5, abs=1.5)


@pytest.mark.slow
def test_two_behaviours_agree_with_direct_integration():
    y, s, df, scale = [0.1, 0.4], [0.05, 0.1], [4, 5], 0.2

    mus = 0.25 + np.sinh(np.linspace(-4, 4, 81))[:, None, None] * 0.08
    taus = (np.linspace(1e-3, 1, 60) ** 2 * 3)[:, None]
    places = np.linspace(-10, 10, 301)

    def total(of) -> float:
        """Of the first true effect; all that is not the posterior's integrated out."""
        theta = mus + taus * places
        found = stats.t.pdf(taus[:, 0] / scale, 4)
        for i, factor in ((0, of(theta)), (1, 1.0)):
            inside = stats.t.pdf((y[i] - theta) / s[i], df[i]) * stats.norm.pdf(places) * factor
            found = found * integrate.trapezoid(inside, places, axis=2)
        return integrate.trapezoid(
            integrate.trapezoid(found, taus[:, 0], axis=1), mus[:, 0, 0], axis=0
        )

    found = hierarchy(y, s, df, tau_scale=scale)
    norm = total(lambda _: 1.0)
    assert found.effects[0].estimate == pytest.approx(total(lambda v: v) / norm, abs=2e-3)
    assert found.effects[0].above == pytest.approx(total(lambda v: v > 0) / norm, abs=5e-3)


@pytest.mark.slow
@settings(max_examples=10)
@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0.05, 0.5)), min_size=2, max_size=4))
def test_effects_are_drawn_together_and_follow_shift_and_scale(pairs):
    y, s = zip(*pairs, strict=True)
    found = hierarchy(y, s, [5] * len(y))
    low, high = min(y), max(y)
    for e in found.effects:
        assert low - 0.02 <= e.estimate <= high + 0.02
        assert e.interval.low < e.estimate < e.interval.high
        assert 0 <= e.above <= 1
    larger = hierarchy([2 * v for v in y], [2 * v for v in s], [5] * len(y))
    assert [e.estimate for e in larger.effects] == pytest.approx(
        [2 * e.estimate for e in found.effects], abs=1e-6
    )
    there = hierarchy([-v for v in y], s, [5] * len(y))
    assert [e.above for e in there.effects] == pytest.approx(
        [1 - e.above for e in found.effects], abs=1e-6
    )


def coverage(runs: int, tau: float) -> tuple[float, float]:
    """Of six behaviours with six seeds each: single effects, and their mean."""
    rng, held, whole = np.random.default_rng(1), 0, 0
    for _ in range(runs):
        true = rng.normal(0.03, tau, 6)
        x = true[:, None] + rng.normal(0, 0.08, (6, 6))
        found = hierarchy(x.mean(axis=1), x.std(axis=1, ddof=1) / 6**0.5, [5] * 6)
        held += sum(
            e.interval.low <= t <= e.interval.high for e, t in zip(found.effects, true, strict=True)
        )
        whole += found.mean_interval.low <= 0.03 <= found.mean_interval.high
    return held / runs / 6, whole / runs


@pytest.mark.slow
def test_intervals_hold_the_truth():
    found = coverage(12, 0.04)
    assert found[0] > 0.85
    assert found[1] > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("tau", [0.01, 0.04, 0.15])
def test_intervals_hold_the_truth_at_their_level(tau):
    single, whole = coverage(200, tau)
    assert 0.95 - 0.035 < single < 0.95 + 0.035  # at one sd between behaviours, not over the prior
    assert whole > 0.9


@pytest.mark.parametrize(("k", "n"), [(0, 15), (1, 15), (17, 25), (25, 25)])
def test_a_share_has_jeffreyss_interval(k, n):
    found = share(k, n)
    beta = stats.beta(k + 0.5, n - k + 0.5)
    assert found.interval.low == pytest.approx(beta.ppf(0.025) if k else 0.0)
    assert found.interval.high == pytest.approx(beta.ppf(0.975) if k < n else 1.0)
    assert found.estimate == pytest.approx(beta.mean())


@pytest.mark.parametrize("n", [15, 25, 100])
def test_over_all_shares_the_interval_holds_the_truth_at_its_level(n):
    intervals = [share(k, n).interval for k in range(n + 1)]
    held = [
        sum(stats.binom.pmf(k, n, p) for k, i in enumerate(intervals) if i.low <= p <= i.high)
        for p in np.linspace(0.005, 0.995, 199)
    ]
    assert np.mean(held) == pytest.approx(0.95, abs=0.01)
    assert min(held) > 0.85


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: hierarchy([0.1], [0.1]), "needs 2"),
        (lambda: hierarchy([0.1, 0.2], [0.1, 0.1], flat=True), "needs 3"),
        (lambda: hierarchy([0.1, 0.2], [0.1]), "each effect has one"),
        (lambda: hierarchy([0.1, 0.2], [0.1, 0.0]), "above 0"),
        (lambda: share(3, 2), "3 of 2"),
    ],
)
def test_impossible_estimates_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
