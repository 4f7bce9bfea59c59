"""The t tests against scipy and statsmodels, and by their laws."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from orchestrator.stats.means import (
    one_sample,
    paired,
    pooled_sd,
    satterthwaite,
    student,
    t_p,
    variance_of_mean,
    welch,
)
from orchestrator.stats.records import Alternative, State, Summary
from tests.orchestrator.stats.samples import (
    MIRROR,
    alternatives,
    levels,
    numbers,
    pairs,
    samples,
    scales,
    shifts,
)


def of(values) -> Summary:
    return Summary.of(values)


def numbers_of(test) -> list[float]:
    return [test.diff, test.se, test.df, test.statistic, test.p, *bounds(test)]


def bounds(test) -> list[float]:
    return [test.interval.low, test.interval.high]


SIDES = {"two-sided": "two-sided", "greater": "larger", "less": "smaller"}


@given(samples(), samples(), alternatives, levels)
def test_unpaired_tests_agree_with_scipy_and_statsmodels(a, b, alternative, level):
    other = CompareMeans(DescrStatsW(a), DescrStatsW(b))
    for test, equal, name in ((student, True, "pooled"), (welch, False, "unequal")):
        found = test(of(a), of(b), alternative, level)
        expected = stats.ttest_ind(a, b, equal_var=equal, alternative=alternative.value)
        two_sided = stats.ttest_ind(a, b, equal_var=equal).confidence_interval(level)
        assert found.p == pytest.approx(expected.pvalue, rel=1e-8, abs=1e-300)
        assert found.df == pytest.approx(expected.df)
        assert bounds(found) == pytest.approx([two_sided.low, two_sided.high])
        t, p, df = other.ttest_ind(alternative=SIDES[alternative], usevar=name)
        assert (found.statistic, found.p, found.df) == (
            pytest.approx(t, abs=1e-9),
            pytest.approx(p, rel=1e-8, abs=1e-300),
            pytest.approx(df),
        )
        low, high = other.tconfint_diff(alpha=1 - level, usevar=name)
        assert bounds(found) == pytest.approx([low, high], abs=1e-9)


@pytest.mark.slow
@given(pairs(), alternatives, levels)
def test_the_paired_test_agrees_with_scipy_and_statsmodels(ab, alternative, level):
    found = paired(*ab, alternative, level)
    expected = stats.ttest_rel(*ab, alternative=alternative.value)
    assert (found.df, found.p) == (expected.df, pytest.approx(expected.pvalue, rel=1e-7))
    other = DescrStatsW(np.subtract(*ab))
    assert bounds(found) == pytest.approx(other.tconfint_mean(1 - level), abs=1e-9)
    assert found.n_pairs == found.n_a == found.n_b == len(ab[0])


@given(samples(), alternatives)
def test_the_test_against_0_agrees_with_scipy(values, alternative):
    found = one_sample(values, alternative)
    expected = stats.ttest_1samp(values, 0.0, alternative=alternative.value)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-8, abs=1e-300)
    assert (found.n_a, found.n_b, found.test) == (len(values), None, "one_sample")


@given(samples(), samples(), alternatives)
def test_swapping_the_arms_mirrors_everything(a, b, alternative):
    for test in (welch, student):
        here, there = (
            test(of(a), of(b), alternative),
            test(of(b), of(a), MIRROR[alternative]),
        )
        assert here.p == pytest.approx(there.p)
        assert here.diff == pytest.approx(-there.diff)
        assert here.df == pytest.approx(there.df)
        assert bounds(here) == pytest.approx([-x for x in bounds(there)[::-1]])


@given(pairs(), alternatives)
def test_swapping_the_sides_of_pairs_mirrors_everything(ab, alternative):
    here, there = paired(*ab, alternative), paired(*ab[::-1], MIRROR[alternative])
    assert here.p == pytest.approx(there.p)
    assert (here.diff, here.r_pair) == (pytest.approx(-there.diff), pytest.approx(there.r_pair))


@given(samples(), samples(), shifts, scales)
def test_shift_and_scale_leave_p_alone(a, b, shift, scale):
    moved = [[scale * v + shift for v in values] for values in (a, b)]
    for test in (welch, student):
        here, there = test(of(a), of(b)), test(*map(of, moved))
        assert there.p == pytest.approx(here.p, rel=1e-4, abs=1e-12)
        assert there.diff == pytest.approx(scale * here.diff, abs=1e-9)


@given(pairs(), st.lists(shifts, min_size=9, max_size=9), scales)
def test_what_a_seed_adds_to_both_arms_drops_out_of_pairs(ab, common, scale):
    moved = [[scale * v + c for v, c in zip(x, common, strict=False)] for x in ab]
    here, there = paired(*ab), paired(*moved)
    assert there.p == pytest.approx(here.p, rel=1e-4, abs=1e-12)


@given(samples(), samples())
def test_sides_of_p_add_up(a, b):
    two, greater, less = (welch(of(a), of(b), alternative) for alternative in Alternative)
    assert greater.p + less.p == pytest.approx(1)
    assert two.p == pytest.approx(2 * min(greater.p, less.p))
    assert 0 <= two.p <= 1
    assert bounds(two) == bounds(greater) == bounds(less)


@pytest.mark.slow
@settings(max_examples=300)  # few are near the edge
@given(samples(), samples(), levels)
def test_the_interval_holds_0_where_p_is_above_its_complement(a, b, level):
    found = welch(of(a), of(b), level=level)
    assume(abs(found.p - (1 - level)) > 1e-9)
    assert (found.interval.low < 0 < found.interval.high) == (found.p > 1 - level)


@given(samples(), samples())
def test_welch_has_fewer_df_than_student_and_no_fewer_than_the_smaller_arm(a, b):
    df = welch(of(a), of(b)).df
    assert min(len(a), len(b)) - 1 - 1e-9 <= df <= len(a) + len(b) - 2 + 1e-9


@given(st.lists(st.tuples(numbers, numbers), min_size=4, max_size=8))
def test_a_pair_that_lacks_a_side_is_left_out(rows):
    whole = paired([a for a, _ in rows[2:]], [b for _, b in rows[2:]])
    a = [None, rows[1][0], *(a for a, _ in rows[2:])]
    b = [rows[0][1], None, *(b for _, b in rows[2:])]
    found = paired(a, b)
    assert (found.n_a, found.n_b, found.n_pairs) == (len(rows) - 1, len(rows) - 1, len(rows) - 2)
    assert (found.diff, found.p, found.interval) == (whole.diff, whole.p, whole.interval)


def test_no_complete_pair_leaves_no_difference():
    found = paired([0.5, None], [None, 0.5])
    assert (found.state, found.diff, found.p, found.n_pairs) == (
        State.INSUFFICIENT_N,
        None,
        None,
        0,
    )


@pytest.mark.parametrize("test", [welch, student])
@pytest.mark.parametrize(
    ("a", "b", "state"),
    [
        (Summary(n=1, mean=2.0, sd=None), Summary(n=1, mean=1.5, sd=None), State.INSUFFICIENT_N),
        (Summary(n=9, mean=2.0, sd=0.1), Summary(n=1, mean=1.5, sd=None), State.INSUFFICIENT_N),
        (Summary(n=3, mean=2.0, sd=0.0), Summary(n=3, mean=1.5, sd=0.0), State.ZERO_VARIANCE),
        (Summary(n=3, mean=2.0, sd=None), Summary(n=3, mean=1.5, sd=0.1), State.NOT_TESTABLE),
    ],
)
def test_degenerate_arms_keep_their_difference_and_have_no_p(test, a, b, state):
    found = test(a, b)
    assert (found.state, found.diff) == (state, 0.5)
    assert {found.p, found.se, found.df, found.statistic, found.interval} == {None}


def test_degenerate_pairs_keep_their_difference_and_have_no_p():
    for a, b, state in (
        ([0.5], [0.25], State.INSUFFICIENT_N),
        ([0.5, 0.75, 1.0], [0.25, 0.5, 0.75], State.ZERO_VARIANCE),
    ):
        found = paired(a, b)
        assert (found.state, found.diff, found.p, found.interval) == (state, 0.25, None, None)
    assert one_sample([0.25]).state is State.INSUFFICIENT_N
    assert one_sample([0.25] * 3).state is State.ZERO_VARIANCE


def test_one_constant_arm_is_no_obstacle_to_welch():
    found = welch(of([1.0, 1.0, 1.0]), of([0.1, 0.2, 0.4]))
    assert (found.state, found.df) == (State.OK, pytest.approx(2))


def test_a_correlation_needs_three_pairs_and_two_varying_sides():
    assert paired([0.1, 0.5], [0.0, 0.3]).r_pair is None
    assert paired([0.1, 0.5, 0.2], [0.3, 0.3, 0.3]).r_pair is None
    assert paired([0.1, 0.5, 0.2], [0.2, 1.0, 0.4]).r_pair == pytest.approx(1)


def test_a_value_that_is_not_finite_is_refused_even_where_its_pair_is_left_out():
    with pytest.raises(ValueError, match="inf"):
        paired([0.1, math.inf, 0.3], [0.2, None, 0.5])


def test_pairs_of_unlike_length_are_refused():
    with pytest.raises(ValueError, match="2 values in a, 1 in b"):
        paired([0.1, 0.2], [0.1])
    with pytest.raises(ValueError, match="no values"):
        paired([], [])


def test_a_p_is_exact_far_into_the_tail():
    assert t_p(40.0, 100, Alternative.GREATER) == pytest.approx(stats.t.sf(40.0, 100), rel=1e-9)
    assert 0 < t_p(-1e6, 4, Alternative.TWO_SIDED) < 1e-20
    assert t_p(0.0, 3, Alternative.TWO_SIDED) == 1.0


@given(samples(), samples())
def test_the_parts_of_a_test_are_those_of_the_formulas(a, b):
    x, y = of(a), of(b)
    assert variance_of_mean(x) == pytest.approx(np.var(a, ddof=1) / len(a))
    squares = np.var(a, ddof=1) * (len(a) - 1) + np.var(b, ddof=1) * (len(b) - 1)
    assert pooled_sd(x, y) == pytest.approx(math.sqrt(squares / (len(a) + len(b) - 2)))
    assert satterthwaite([(4.0, 3)]) == (2.0, pytest.approx(3))


def test_a_variance_that_is_not_known_is_not_0():
    with pytest.raises(ValueError, match="no sd"):
        variance_of_mean(Summary(n=1, mean=0.0, sd=None))
