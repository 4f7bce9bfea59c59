"""Trends against listing every order, against scipy and statsmodels, and by their laws."""

from collections import Counter
from itertools import permutations, product
from math import factorial, prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.nonparametric import jonckheere_terpstra

from orchestrator.stats.exact import min_page_p
from orchestrator.stats.means import paired, welch
from orchestrator.stats.records import Alternative, State, Summary
from orchestrator.stats.trend import (
    RESAMPLES,
    Step,
    changes_along,
    jonckheere,
    ordinal_contrast,
    page,
    rise_counts,
    steps_paired,
    steps_welch,
    strict_p,
)
from tests.orchestrator.stats.samples import numbers, samples, scales, shifts

coarse = st.integers(0, 4).map(lambda v: v / 10)


def blocks(values, k: int):
    return st.lists(st.lists(values, min_size=k, max_size=k), min_size=1, max_size=4)


@given(blocks(numbers, 4), shifts)
def test_a_change_along_the_line_is_that_of_polyfit(rows, shift):
    doses = [1, 2, 5, 9]
    slopes = np.polyfit(doses, np.array(rows).T, 1)[0]
    scale = 1 + np.abs(rows).max() + abs(shift)
    found = changes_along(doses, [[v + shift for v in row] for row in rows])
    assert found == pytest.approx(slopes * 8, abs=1e-9 * scale)


# Page


@given(blocks(coarse, 3).filter(lambda rows: any(np.ptp(r) for r in rows)))
def test_page_counts_every_order_within_seeds_ties_included(rows):
    def l_of(table):
        return sum(stats.rankdata(row) @ [1, 2, 3] for row in table)

    ranked = [stats.rankdata(row) for row in rows]
    weighted = [[np.array(r) @ [1, 2, 3] for r in permutations(row)] for row in ranked]
    null = [sum(parts) for parts in product(*weighted)]
    found = page(rows)
    assert (found.state, found.method, found.n, found.k) == (State.OK, "exact", len(rows), 3)
    assert found.statistic == pytest.approx(l_of(rows))
    assert found.p == pytest.approx(np.mean(np.array(null) >= l_of(rows) - 1e-9))


@pytest.mark.parametrize(("n", "k"), [(2, 3), (5, 4), (8, 4), (6, 6)])
def test_page_agrees_with_scipy_without_ties(n, k):
    rng = np.random.default_rng(n + k)
    for _ in range(5):
        rows = rng.normal(size=(n, k)) + 0.3 * np.arange(k)
        expected = stats.page_trend_test(rows, method="exact")
        found = page(rows)
        assert (found.statistic, found.p) == (expected.statistic, pytest.approx(expected.pvalue))


def test_more_doses_than_orders_can_be_listed_for_have_a_normal_p():
    rows = np.random.default_rng(2).normal(size=(6, 9)) + 0.3 * np.arange(9)
    expected = stats.page_trend_test(rows, method="asymptotic")
    found = page(rows)
    assert (found.method, found.p) == ("normal", pytest.approx(expected.pvalue))


@given(blocks(numbers, 4).filter(lambda rows: any(np.ptp(r) for r in rows)), shifts, scales)
def test_page_sees_ranks_within_seeds_only(rows, shift, scale):
    here = page(rows)
    moved = [[scale * v + i * shift for v in row] for i, row in enumerate(rows)]
    rounding_kept_ties = all(len(set(a)) == len(set(b)) for a, b in zip(rows, moved, strict=True))
    if rounding_kept_ties:
        assert page(moved).p == pytest.approx(here.p)
    assert page(rows[::-1]).p == pytest.approx(here.p)
    assert min_page_p(len(rows), 4) - 1e-15 <= here.p <= 1
    upwards, downwards = here.p, page([row[::-1] for row in rows]).p
    assert upwards + downwards >= 1 - 1e-9


def test_a_seed_that_lacks_a_dose_is_left_out():
    rows = [[0.1, 0.3, 0.2], [0.2, 0.4, 0.6], [0.3, 0.1, 0.5]]
    found = page([*rows, [0.9, None, 0.1]])
    assert (found.n, found.p) == (3, page(rows).p)


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        ([[0.1, 0.1, 0.1], [0.3, 0.3, 0.3]], State.ZERO_VARIANCE),
        ([[0.1, None, 0.1]], State.INSUFFICIENT_N),
        ([[0.1], [0.3]], State.NOT_TESTABLE),
    ],
)
def test_page_of_degenerate_rows_has_a_state_and_no_p(rows, state):
    assert (page(rows).state, page(rows).p) == (state, None)


def test_page_refuses_ragged_and_missing_rows():
    for rows in ([], [[0.1, 0.2], [0.1]]):
        with pytest.raises(ValueError, match="rows of lengths"):
            page(rows)


def test_page_refuses_a_value_that_is_not_finite_even_where_its_seed_is_left_out():
    with pytest.raises(ValueError, match="nan"):
        page([[0.1, 0.2, 0.3], [None, float("nan"), 0.3]])


# Jonckheere


@pytest.mark.parametrize("sizes", [(2, 2, 2), (1, 3, 2), (3, 3), (1, 1, 1, 1)])
def test_the_null_of_jonckheere_is_that_of_listing_every_split(sizes):
    labels = [g for g, n in enumerate(sizes) for _ in range(n)]
    pairs = [(i, j) for j in range(len(labels)) for i in range(j)]
    every = [sum(order[i] < order[j] for i, j in pairs) for order in set(permutations(labels))]
    counts = Counter(every)
    assert rise_counts(sizes) == tuple(counts[j] for j in range(max(counts) + 1))


@given(st.lists(st.integers(1, 6), min_size=2, max_size=5))
def test_the_null_of_jonckheere_is_symmetric_and_complete(sizes):
    counts = rise_counts(tuple(sizes))
    assert counts == counts[::-1]
    assert sum(counts) == factorial(sum(sizes)) // prod(factorial(n) for n in sizes)
    assert min(counts) >= 1


def test_two_groups_are_mann_and_whitneys():
    rng = np.random.default_rng(8)
    a, b = rng.normal(size=5), rng.normal(0.5, 1, 7)
    expected = stats.mannwhitneyu(b, a, alternative="greater", method="exact")
    found = jonckheere([a, b])
    assert (found.statistic, found.p) == (expected.statistic, pytest.approx(expected.pvalue))


@given(st.lists(st.lists(coarse, min_size=1, max_size=4), min_size=2, max_size=4))
def test_the_statistic_counts_rises_and_halves_ties(groups):
    expected = sum(
        (x < y) + 0.5 * (x == y)
        for j in range(len(groups))
        for i in range(j)
        for x in groups[i]
        for y in groups[j]
    )
    found = jonckheere(groups)
    assert found.statistic == expected
    assert found.state is (
        State.OK if len({v for g in groups for v in g}) > 1 else State.ZERO_VARIANCE
    )


def test_the_statistic_and_roughly_p_agree_with_statsmodels():
    rng = np.random.default_rng(4)
    groups = [list(rng.normal(0.4 * g, 1, 8)) for g in range(4)]
    expected = jonckheere_terpstra(groups)
    found = jonckheere(groups)
    assert found.statistic == expected.statistic
    assert found.p == pytest.approx(expected.pvalue, rel=0.1)


def test_with_ties_it_shuffles_and_says_so_and_repeats_itself():
    groups = [[0.1, 0.2, 0.2], [0.2, 0.3, 0.5], [0.4, 0.5, 0.6]]
    found = jonckheere(groups, seed=3)
    assert found.method == f"permutation ({RESAMPLES} shuffles, seed 3)"
    assert jonckheere(groups, seed=3) == found
    assert jonckheere(groups, seed=4).p != found.p

    def j_of(order):
        parts = [order[:3], order[3:6], order[6:]]
        return sum(
            (x < y) + 0.5 * (x == y)
            for i, j in ((0, 1), (0, 2), (1, 2))
            for x in parts[i]
            for y in parts[j]
        )

    rng, values = np.random.default_rng(0), np.concatenate(groups)
    null = [j_of(rng.permutation(values)) for _ in range(4000)]
    exact = np.mean(np.array(null) >= found.statistic)
    assert found.p == pytest.approx(exact, abs=4 * (exact / 4000) ** 0.5)
    rising = [[g + v / 10 for v in (0, 1, 1, 2, 3, 4)] for g in range(4)]
    assert jonckheere(rising).p == pytest.approx(1 / (RESAMPLES + 1))  # no shuffle reaches it


def test_breaking_a_tie_by_nothing_gives_the_shuffled_p_of_the_exact_test():
    groups = [[0.10, 0.31, 0.22], [0.25, 0.33, 0.51], [0.43, 0.32, 0.62]]
    exact = jonckheere(groups)
    tied = jonckheere([[*groups[0], 9.0], groups[1], [*groups[2], 9.0]])
    assert exact.method == "exact"
    assert tied.method.startswith("permutation")
    broken = [[*groups[0], 9.0], groups[1], [*groups[2], 9.001]]
    rest = [[*groups[0], 9.001], groups[1], [*groups[2], 9.0]]
    low, high = sorted(jonckheere(g).p for g in (broken, rest))
    assert low * 0.8 < tied.p < high * 1.2


def test_jonckheere_of_one_arm_or_of_one_value_has_no_p():
    assert jonckheere([[0.1, 0.2]]).state is State.NOT_TESTABLE
    assert jonckheere([[0.1], [0.1, 0.1]]).state is State.ZERO_VARIANCE
    with pytest.raises(ValueError, match="no values"):
        jonckheere([[0.1], []])


# Steps


@given(blocks(numbers, 3))
def test_steps_are_one_sided_tests_of_adjacent_doses(rows):
    doses, columns = [0.0, 0.1, 0.5], list(zip(*rows, strict=True))
    found = steps_paired(doses, rows)
    unpaired = steps_welch(doses, [Summary.of(c) for c in columns])
    assert [(s.low, s.high) for s in found] == [(0.0, 0.1), (0.1, 0.5)]
    for i in (0, 1):
        below, above = columns[i], columns[i + 1]
        assert found[i].p == paired(above, below, Alternative.GREATER).p
        assert found[i].diff == pytest.approx(np.mean(above) - np.mean(below))
        other = welch(Summary.of(above), Summary.of(below), Alternative.GREATER)
        assert (unpaired[i].p, unpaired[i].diff) == (other.p, other.diff)


def test_a_step_uses_the_seeds_that_have_both_its_doses():
    rows = [[0.1, 0.3, None], [0.2, 0.5, 0.6], [0.3, 0.4, 0.9], [None, 0.7, 0.8]]
    first, second = steps_paired([0, 1, 2], rows)
    assert first.p == paired([0.3, 0.5, 0.4], [0.1, 0.2, 0.3], Alternative.GREATER).p
    assert second.p == paired([0.6, 0.9, 0.8], [0.5, 0.4, 0.7], Alternative.GREATER).p


def test_strict_monotony_is_as_weak_as_its_weakest_step():
    def step(p):
        return Step(low=0.0, high=1.0, diff=0.1, p=p)

    assert strict_p([step(0.01), step(0.3), step(0.02)]) == 0.3
    assert strict_p([step(0.01), step(None)]) is None
    assert strict_p([]) is None


@pytest.mark.parametrize("doses", [[0.0, 0.2, 0.1], [0.0, 0.0, 0.1], [0.0, 0.1]])
def test_doses_rise_and_each_has_its_arm(doses):
    with pytest.raises(ValueError, match="doses"):
        steps_paired(doses, [[0.1, 0.2, 0.3]])
    with pytest.raises(ValueError, match="doses"):
        steps_welch(doses, [Summary(n=3, mean=0.0, sd=1.0)] * 3)


# The ordinal contrast


@given(samples(), samples())
def test_the_contrast_of_two_arms_is_welch(a, b):
    low, high = Summary.of(a), Summary.of(b)
    found, expected = ordinal_contrast([low, high]), welch(high, low, Alternative.GREATER)
    assert (found.diff, found.p) == (pytest.approx(expected.diff), pytest.approx(expected.p))
    assert (found.df, found.n_a) == (pytest.approx(expected.df), low.n + high.n)


@given(st.lists(numbers, min_size=2, max_size=6))
def test_the_contrast_is_the_slope_of_means_over_places(means):
    found = ordinal_contrast([Summary(n=4, mean=m, sd=0.3) for m in means])
    slope = stats.linregress(range(len(means)), means).slope
    assert found.diff == pytest.approx(slope, abs=1e-12)
    places = np.arange(len(means)) - (len(means) - 1) / 2
    assert found.se == pytest.approx(0.3 / (4 * (places @ places)) ** 0.5)


def test_a_contrast_of_one_arm_or_without_spread_has_no_p():
    one, flat = Summary(n=1, mean=0.1, sd=None), Summary(n=3, mean=0.1, sd=0.0)
    assert ordinal_contrast([flat]).state is State.NOT_TESTABLE
    assert ordinal_contrast([flat, flat]).state is State.ZERO_VARIANCE
    assert ordinal_contrast([one, one]).state is State.INSUFFICIENT_N
    spread = Summary(n=3, mean=0.4, sd=0.2)
    assert ordinal_contrast([spread, one, spread]).state is State.OK  # the middle has no weight
