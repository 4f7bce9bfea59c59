"""Ratios of sds against scipy, statsmodels and a jackknife written out by hand."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.oneway import test_scale_oneway as scale_oneway

from orchestrator.stats.records import Alternative, State, Summary
from orchestrator.stats.spread import Spread, compare_sds, sd_ratio, sd_ratio_from_summaries
from tests.orchestrator.stats.samples import MIRROR, alternatives, samples, scales, shifts


@given(samples(4), samples(4))
def test_the_f_test_is_scipys_distribution(a, b):
    f = np.var(a, ddof=1) / np.var(b, ddof=1)
    null = stats.f(len(a) - 1, len(b) - 1)
    found = [sd_ratio(a, b, alternative) for alternative in Alternative]
    assert [x.f for x in found] == pytest.approx([f] * 3)
    assert found[0].p_f == pytest.approx(min(1, 2 * min(null.cdf(f), null.sf(f))))
    assert [x.p_f for x in found[1:]] == pytest.approx([null.sf(f), null.cdf(f)])


@given(samples(6, 12), samples(6, 12))
def test_brown_forsythe_agrees_with_scipy_and_statsmodels(a, b):
    distances = [np.abs(x - np.median(x)) for x in (a, b)]
    assume(all(np.ptp(d) > 1e-9 for d in distances))
    found = sd_ratio(a, b).p_brown_forsythe
    assert found == pytest.approx(stats.levene(a, b, center="median").pvalue, rel=1e-6)
    oneway = scale_oneway([a, b], method="equal", center="median")
    assert found == pytest.approx(oneway.pvalue, rel=1e-6)
    sides = [sd_ratio(a, b, side).p_brown_forsythe for side in list(Alternative)[1:]]
    assert sum(sides) == pytest.approx(1)
    assert 2 * min(sides) == pytest.approx(found)


def by_hand(values: list[float]) -> list[float]:
    n = len(values)
    whole = math.log(np.var(values, ddof=1))
    rest = [math.log(np.var(values[:i] + values[i + 1 :], ddof=1)) for i in range(n)]
    return [n * whole - (n - 1) * r for r in rest]


@given(
    st.lists(st.integers(-99, 99), min_size=4, max_size=8, unique=True),
    st.lists(st.integers(-99, 99), min_size=4, max_size=8, unique=True),
)
def test_the_jackknife_is_welch_of_pseudo_values_of_the_log_variance(a, b):
    found = sd_ratio(a, b)
    x, y = by_hand(a), by_hand(b)
    expected = stats.ttest_ind(x, y, equal_var=False)
    interval = expected.confidence_interval()
    assert found.p_jackknife == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    assert found.ratio_jackknife.estimate == pytest.approx(math.exp((np.mean(x) - np.mean(y)) / 2))
    assert found.ratio_jackknife.interval.low == pytest.approx(math.exp(interval.low / 2))
    assert found.ratio_jackknife.interval.high == pytest.approx(math.exp(interval.high / 2))


@given(samples(4), samples(4), alternatives)
def test_swapping_the_arms_inverts_the_ratio(a, b, alternative):
    here, there = sd_ratio(a, b, alternative), sd_ratio(b, a, MIRROR[alternative])
    assert here.ratio * there.ratio == pytest.approx(1)
    assert here.p_f == pytest.approx(there.p_f)
    assert here.ratio_f.low * there.ratio_f.high == pytest.approx(1)
    assert here.p_brown_forsythe == pytest.approx(there.p_brown_forsythe)
    assert here.p_jackknife == pytest.approx(there.p_jackknife)


@given(samples(6), samples(6), shifts, scales)
def test_shift_and_scale_leave_a_ratio_alone(a, b, shift, scale):
    here = sd_ratio(a, b)
    there = sd_ratio([v + shift for v in a], b)
    both = sd_ratio([scale * v for v in a], [scale * v for v in b])
    for other in (there, both):
        assert other.ratio == pytest.approx(here.ratio, rel=1e-6)
        assert other.p_f == pytest.approx(here.p_f, rel=1e-4, abs=1e-12)
    assert sd_ratio([scale * v for v in a], b).ratio == pytest.approx(scale * here.ratio)


@given(samples(4), samples(4))
def test_reductions_say_what_the_ratio_says(a, b):
    found = sd_ratio(a, b)
    assert found.reduction_pct == pytest.approx(100 * (1 - 1 / found.ratio))
    assert found.variance_reduction_pct == pytest.approx(100 * (1 - 1 / found.ratio**2))
    assert found.ratio_f.low < found.ratio < found.ratio_f.high
    assert found.reduction_f.low < found.reduction_pct < found.reduction_f.high
    assert (found.ratio_f.low < 1 < found.ratio_f.high) == (found.p_f > 0.05)


def test_summaries_say_what_raw_values_say_but_for_what_needs_values():
    a, b = [0.1, 0.4, 0.2, 0.9, 0.5, 0.3], [0.2, 0.3, 0.25, 0.1, 0.4, 0.22]
    raw, short = sd_ratio(a, b), sd_ratio_from_summaries(Summary.of(a), Summary.of(b))
    for name in ("ratio", "f", "p_f", "ratio_f", "reduction_f", "state"):
        assert getattr(raw, name) == getattr(short, name)
    assert short.p_brown_forsythe is short.ratio_jackknife is short.p_jackknife is None
    assert None not in (raw.p_brown_forsythe, raw.ratio_jackknife, raw.p_jackknife)


def inference(found: Spread) -> set[object]:
    return {
        found.f,
        found.p_f,
        found.ratio_f,
        found.reduction_f,
        found.p_brown_forsythe,
        found.ratio_jackknife,
        found.p_jackknife,
    }


@pytest.mark.parametrize(
    ("a", "b", "state"),
    [
        ([0.1], [0.2, 0.3, 0.5, 0.6], State.INSUFFICIENT_N),
        ([0.1, 0.2, 0.4], [0.2, 0.3, 0.5, 0.6], State.NOT_TESTABLE),
        ([0.1, 0.2, 0.4, 0.7], [0.2, 0.2, 0.2, 0.2], State.ZERO_VARIANCE),
        ([0.2, 0.2, 0.2, 0.2], [0.1, 0.2, 0.4, 0.7], State.ZERO_VARIANCE),
        ([0.2, 0.2, 0.2, 0.2], [0.1, 0.1, 0.1, 0.1], State.ZERO_VARIANCE),
    ],
)
def test_degenerate_arms_are_described_and_not_tested(a, b, state):
    found = sd_ratio(a, b)
    assert found.state is state
    assert inference(found) == {None}
    assert (found.ratio is None) == (found.sd_b in (None, 0) or found.sd_a is None)
    assert (found.reduction_pct is None) == (found.sd_a in (None, 0) or found.sd_b is None)


def test_an_sd_that_was_not_printed_has_no_ratio():
    printed, unprinted = Summary(n=5, mean=0, sd=0.1), Summary(n=5, mean=0, sd=None)
    found = sd_ratio_from_summaries(printed, unprinted)
    assert (found.state, found.ratio, found.reduction_pct) == (State.NOT_TESTABLE, None, None)


def test_four_values_have_a_jackknife_but_no_brown_forsythe():
    found = sd_ratio([0.1, 0.4, 0.2, 0.9], [0.2, 0.3, 0.25, 0.1])
    assert found.p_brown_forsythe is None
    assert found.ratio_jackknife is not None


def test_a_sample_with_one_unlike_value_has_no_jackknife():
    found = sd_ratio([0.1, 0.1, 0.1, 0.9], [0.2, 0.3, 0.25, 0.1])
    assert (found.state, found.ratio_jackknife, found.p_jackknife) == (State.OK, None, None)
    assert found.p_f is not None


def correlated(rng, n: int, r: float, ratio: float = 1.0):
    b = rng.normal(size=n)
    return ratio * (r * b + np.sqrt(1 - r * r) * rng.normal(size=n)), b


@pytest.mark.slow
@pytest.mark.parametrize("is_paired", [True, False])
@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 15])
def test_the_interval_is_the_test_inverted(n, is_paired):
    rng = np.random.default_rng(n)
    for _ in range(40):
        a, b = correlated(rng, n, 0.7, ratio=float(np.exp(rng.normal())))
        for level in (0.9, 0.95, 0.99):
            found = compare_sds(a, b, level=level, paired=is_paired)
            assert (found.p <= 1 - level) == (not found.interval.low <= 1 <= found.interval.high)
            for end in (found.interval.low, found.interval.high):
                if 0 < end < np.inf:  # b scaled by an end of the interval is just rejected
                    there = compare_sds(a, end * b, level=level, paired=is_paired)
                    assert there.p == pytest.approx(1 - level, rel=1e-6)


@pytest.mark.parametrize("n", [4, 6, 12])
def test_pitman_morgan_is_the_correlation_of_sums_and_differences(n):
    a, b = correlated(np.random.default_rng(1), n, 0.5, ratio=2.0)
    for alternative in Alternative:
        expected = stats.pearsonr(a + b, a - b, alternative=alternative.value)
        assert compare_sds(a, b, alternative, paired=True).p == pytest.approx(expected.pvalue)


def test_which_test_is_made_follows_from_the_values():
    rng = np.random.default_rng(0)
    found = {n: correlated(rng, n, 0.5) for n in (3, 4, 6)}
    names = {
        n: [compare_sds(a, b, paired=p).test for p in (True, False)] for n, (a, b) in found.items()
    }
    assert names == {
        3: [None, None],
        4: ["pitman_morgan", "jackknife_log_variance"],
        6: ["pitman_morgan", "brown_forsythe"],
    }
    assert compare_sds(*found[3], paired=True).state is State.NOT_TESTABLE
    a = found[6][0]
    assert compare_sds(a, 2 * a, paired=True).state is State.ZERO_VARIANCE


def test_where_distances_scatter_widely_the_interval_has_no_end():
    found = compare_sds([0, 0.1, -0.1, 0.2, -0.2, 0.3], [0, 0, 0, 0, 9, 0.1], paired=False)
    assert (found.interval.high, found.p > 0.05) == (np.inf, True)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "r"), [(5, 0.9), (8, 0.9), (8, 0.0), (12, 0.99)])
def test_pairs_are_tested_at_their_level_and_their_interval_holds_the_truth(n, r):
    rng, runs = np.random.default_rng(3), 1500
    found = [compare_sds(*correlated(rng, n, r, ratio=2.0), paired=True) for _ in range(runs)]
    held = np.mean([f.interval.low <= 2 <= f.interval.high for f in found])
    assert abs(held - 0.95) < 4 * np.sqrt(0.95 * 0.05 / runs)
    null = [compare_sds(*correlated(rng, n, r), paired=True).p <= 0.05 for _ in range(runs)]
    assert abs(np.mean(null) - 0.05) < 4 * np.sqrt(0.95 * 0.05 / runs)
