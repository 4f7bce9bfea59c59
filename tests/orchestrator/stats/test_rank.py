"""Spearman's correlation against scipy, and by its laws."""

from itertools import permutations
from math import atanh, factorial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from orchestrator.stats.rank import EXACT_N, rank_correlation
from orchestrator.stats.records import State
from tests.orchestrator.stats.samples import pairs, scales, shifts

coarse = st.integers(0, 5).map(lambda v: v / 10)


def varying(ab) -> bool:
    return bool(np.ptp(ab[0]) and np.ptp(ab[1]))


coarse_pairs = (
    st.lists(st.tuples(coarse, coarse), min_size=4, max_size=6)
    .map(lambda r: tuple(zip(*r, strict=True)))
    .filter(varying)
)


@given(pairs(4, 12).filter(varying))
def test_rho_and_above_the_exact_sizes_p_agree_with_scipy(ab):
    found, expected = rank_correlation(*ab), stats.spearmanr(*ab)
    assert found.rho == pytest.approx(expected.statistic)
    if len(ab[0]) > EXACT_N:
        least = 2 / factorial(len(ab[0]))
        assert found.p == pytest.approx(max(least, expected.pvalue))


@pytest.mark.slow
@given(coarse_pairs)
def test_p_counts_every_order_at_few_pairs(ab):
    x, y = ab
    rho = abs(stats.spearmanr(x, y).statistic)
    ranks = stats.rankdata(x)
    null = [abs(np.corrcoef(ranks, r)[0, 1]) for r in permutations(stats.rankdata(y))]
    found = rank_correlation(x, y)
    assert found.p == pytest.approx(np.mean(np.array(null) >= rho - 1e-9))


@given(pairs(4).filter(varying), shifts, scales)
def test_only_the_order_matters(ab, shift, scale):
    x, y = ab
    here = rank_correlation(x, y)
    assert rank_correlation(y, x).rho == pytest.approx(here.rho)
    assert rank_correlation([v**3 for v in x], y).rho == pytest.approx(here.rho)
    mirrored = rank_correlation([-scale * v for v in x], y)
    assert (mirrored.rho, mirrored.p) == (pytest.approx(-here.rho), pytest.approx(here.p))
    assert -1 <= here.rho <= 1
    assert 0 < here.p <= 1


@given(pairs(4, 12).filter(varying))
def test_the_interval_is_fishers_with_the_variance_of_bonett_and_wright(ab):
    found = rank_correlation(*ab, level=0.9)
    if abs(found.rho) == 1:
        assert found.interval is None
        return
    half = stats.norm.ppf(0.95) * ((1 + found.rho**2 / 2) / (found.n - 3)) ** 0.5
    assert atanh(found.interval.high) - atanh(found.rho) == pytest.approx(half, rel=1e-4)
    assert -1 < found.interval.low < found.rho < found.interval.high < 1


@pytest.mark.parametrize("n", [4, 5, 7, 8, 10, 20])  # 5 and 10 miss 1 by rounding
def test_perfect_agreement_has_the_smallest_p_and_no_interval(n):
    found = rank_correlation(range(n), [v * v for v in range(n)])
    assert (found.state, found.rho, found.interval) == (State.OK, 1.0, None)
    assert found.p == pytest.approx(2 / factorial(n))
    assert rank_correlation(range(n), range(n, 0, -1)).rho == -1.0


def test_a_p_by_t_does_not_fall_below_what_all_orders_could_give():
    found = rank_correlation([1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 5, 4, 6, 7, 8])
    assert found.rho < 1
    assert stats.spearmanr([1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 5, 4, 6, 7, 8]).pvalue < found.p
    assert found.p == pytest.approx(2 / factorial(8))


def test_degenerate_pairs_have_a_state_and_no_number():
    for x, y, state in (
        ([1.0, 2.0, 3.0], [1.0, 3.0, 2.0], State.INSUFFICIENT_N),
        ([1.0, 1.0, 1.0, 1.0], [1.0, 3.0, 2.0, 4.0], State.ZERO_VARIANCE),
    ):
        found = rank_correlation(x, y)
        assert (found.state, found.rho, found.p, found.interval) == (state, None, None, None)


def test_pairs_of_unlike_length_are_refused():
    with pytest.raises(ValueError, match="4 values in x, 3 in y"):
        rank_correlation([1, 2, 3, 4], [1, 2, 3])
