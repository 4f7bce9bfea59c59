"""Planning numbers against statsmodels, listing every outcome, and by their laws."""

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestIndPower

from orchestrator.stats.power import (
    mde_welch,
    n_f_ratio,
    n_mcnemar,
    n_welch,
    n_zero_events,
    power_f_ratio,
    power_mcnemar,
    power_welch,
)
from orchestrator.stats.proportions import mcnemar, proportion

effects = st.floats(0.05, 4).map(lambda x: round(x, 2))
sizes = st.integers(2, 40)
alphas = st.sampled_from([0.01, 0.05, 0.1])


@given(sizes, effects, alphas)
def test_power_agrees_with_statsmodels(n, d, alpha):
    expected = TTestIndPower().power(d, n, alpha)
    if not np.isnan(expected):  # far out, it has none
        assert power_welch(n, d, alpha=alpha) == pytest.approx(expected, abs=1e-6)


@given(st.integers(2, 15), st.integers(2, 15))
def test_the_smallest_effect_agrees_with_statsmodels(n_a, n_b):
    found = mde_welch(n_a, n_b)
    assert TTestIndPower().power(found, n_a, 0.05, n_b / n_a) == pytest.approx(0.8, abs=1e-6)
    assert mde_welch(n_b, n_a) == pytest.approx(found)


@given(effects.filter(lambda d: d > 0.2), st.sampled_from([0.5, 0.8, 0.9]))
def test_the_number_of_seeds_is_the_smallest_with_that_power(d, power):
    for number, power_of in (
        (n_welch(d, power=power), lambda n: power_welch(n, d)),
        (n_f_ratio(1 + d, power=power), lambda n: power_f_ratio(n, 1 + d)),
    ):
        assert power_of(number) >= power
        assert number == 2 or power_of(number - 1) < power


@given(sizes, effects, alphas)
def test_power_rises_with_effect_size_and_alpha(n, d, alpha):
    here = power_welch(n, d, alpha=alpha)
    assert alpha - 1e-9 <= here <= 1
    assert here <= power_welch(n + 1, d, alpha=alpha) + 1e-9
    assert here <= power_welch(n, d + 0.1, alpha=alpha) + 1e-9
    assert here == power_welch(n, -d, alpha=alpha)


@pytest.mark.parametrize("n", [2, 3, 4, 10, 100])
def test_no_noncentrality_makes_power_undefined(n):
    found = [power_welch(n, d) for d in np.linspace(0, 60, 400)]
    assert np.isfinite(found).all()
    assert (np.diff(found) > -1e-9).all()
    assert found[0] == pytest.approx(0.05)


def test_unlike_sds_need_more_seeds():
    assert n_welch(0.62, sd_ratio=2.7) > n_welch(0.62) == n_welch(0.62, sd_ratio=1.0)
    assert n_welch(0.62, sd_ratio=2.7) == n_welch(0.62, sd_ratio=1 / 2.7)


@given(st.integers(2, 60), st.floats(0.2, 5).map(lambda x: round(x, 2)), alphas)
def test_the_power_of_f_is_that_of_scipys_distribution(n, ratio, alpha):
    f = stats.f(n - 1, n - 1)
    low, high = f.ppf(alpha / 2), f.isf(alpha / 2)
    expected = f.cdf(low / ratio**2) + f.sf(high / ratio**2)
    assert power_f_ratio(n, ratio, alpha) == pytest.approx(expected)
    assert power_f_ratio(n, 1 / ratio, alpha) == pytest.approx(expected)
    assert power_f_ratio(n, 1.0, alpha) == pytest.approx(alpha)


@pytest.mark.parametrize(
    ("n", "gain", "loss", "alpha"),
    [(7, 0.4, 0.1, 0.05), (12, 0.5, 0.0, 0.05), (10, 0.2, 0.3, 0.1), (5, 0.6, 0.4, 0.0625)],
)
def test_the_power_of_mcnemar_is_that_of_listing_every_outcome(n, gain, loss, alpha):
    expected = 0.0
    for g in range(n + 1):
        for lost in range(n - g + 1):
            if mcnemar(g, lost, n).p <= alpha + 1e-12:
                ways = comb(n, g) * comb(n - g, lost)
                expected += ways * gain**g * loss**lost * max(0, 1 - gain - loss) ** (n - g - lost)
    assert power_mcnemar(n, gain, loss, alpha) == pytest.approx(expected)


def test_fewest_prompts_are_the_first_with_that_power():
    found = n_mcnemar(0.2, 0.08)
    powers = [power_mcnemar(n, 0.2, 0.08) for n in range(1, found + 1)]
    assert [p >= 0.8 for p in powers] == [False] * (found - 1) + [True]
    assert n_mcnemar(0.08, 0.2) == found


def test_what_no_affordable_size_can_find_has_no_size():
    assert n_welch(0.001) is n_f_ratio(1.0) is n_mcnemar(0.1, 0.1) is None
    assert n_welch(0.0) is None


def test_one_seed_finds_nothing():
    assert mde_welch(1, 5) is None


@given(st.floats(0.005, 0.5), st.sampled_from([0.9, 0.95]))
def test_zero_events_in_that_many_prompts_exclude_the_rate(rate, level):
    n = n_zero_events(rate, level)
    assert (1 - rate) ** n <= 1 - level + 1e-12 < (1 - rate) ** (n - 1) + 2e-12
    if level == 0.95:
        assert proportion(0, n).upper <= rate + 1e-12


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: power_mcnemar(10, 0.7, 0.4), "chances 0.7 and 0.4"),
        (lambda: n_mcnemar(0.0, 0.0), "chances 0.0 and 0.0"),
        (lambda: power_mcnemar(10, -0.1, 0.4), "chances -0.1"),
        (lambda: power_f_ratio(5, 0.0), "ratio is 0.0"),
        (lambda: n_zero_events(0.0), "rate 0.0"),
        (lambda: mde_welch(5, 5, alpha=0.8, power=0.5), "alpha 0.8"),
        (lambda: n_welch(1.0, power=1.0), "power 1.0"),
        (lambda: n_mcnemar(0.2, 0.1, power=1.0), "power 1.0"),
        (lambda: power_welch(1, 1.0), "n is 1"),
        (lambda: power_f_ratio(1, 2.0), "n is 1"),
        (lambda: power_mcnemar(0, 0.2, 0.1), "n is 0"),
    ],
)
def test_impossible_plans_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
