"""Two standard deviations compared. The first sample is the reference.

`compare_sds` chooses the test by the data, and its interval is that test inverted: the interval
excludes 1 exactly where the two-sided p is below 1 - level. `sd_ratio` shows all tests side by
side. The F test and that of Pitman and Morgan hold for normal values only; the jackknife of the log
variance (Miller 1968) and the test of Brown and Forsythe need no such assumption, but more values.
"""

from dataclasses import dataclass, replace
from math import asinh, exp, inf, log, sqrt

import numpy as np
from scipy import special

from orchestrator.stats.means import student, t_p, welch
from orchestrator.stats.records import (
    LEVEL,
    ROUNDING,
    Alternative,
    Array,
    Interval,
    State,
    Summary,
    Values,
    check_level,
    finite,
    sd,
    state_of,
)

MIN_N = 4
"""Below, a ratio of sds is described but not tested."""
MIN_BROWN_FORSYTHE = 6
"""Below, its size falls far under alpha, and it finds nothing."""

ASSUMES = {
    "pitman_morgan": "the test takes the scores to be normal over seeds",
    "brown_forsythe": "the test and its interval are about mean distances to the median",
}
"""What a reader of each test of `compare_sds` should know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """An estimated sd_a / sd_b with its interval."""

    estimate: float
    interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How the sd of b compares with that of a.

    Attributes:
        state: Why nothing is tested, if so; the fields up to the variance reduction are then
            descriptive.
        n_a, n_b: Values of each side.
        sd_a, sd_b: Sample sds.
        ratio: sd_a / sd_b; None where sd_b is 0.
        reduction_pct: 100 (1 - sd_b / sd_a); None where sd_a is 0.
        variance_reduction_pct: The same of the variances.
        f, p_f: sd_a^2 / sd_b^2, and the F test's p.
        ratio_f, reduction_f: Intervals of `ratio` and `reduction_pct`, normal theory.
        p_brown_forsythe: None below six values a side and without raw values.
        ratio_jackknife, p_jackknife: None without raw values, and where leaving one out leaves no
            spread.
    """

    state: State
    n_a: int
    n_b: int
    sd_a: float | None
    sd_b: float | None
    ratio: float | None
    reduction_pct: float | None
    variance_reduction_pct: float | None
    f: float | None = None
    p_f: float | None = None
    ratio_f: Interval | None = None
    reduction_f: Interval | None = None
    p_brown_forsythe: float | None = None
    ratio_jackknife: Ratio | None = None
    p_jackknife: float | None = None


def sd_ratio(
    a: Values,
    b: Values,
    alternative: Alternative = Alternative.TWO_SIDED,
    level: float = LEVEL,
) -> Spread:
    """Of raw values. The alternative is about sd_a - sd_b: greater means that b varies less."""
    left, right = finite(a), finite(b)
    found = sd_ratio_from_summaries(Summary.of(left), Summary.of(right), alternative, level)
    if found.state is not State.OK:
        return found
    ratio, p_jackknife = _jackknife_ratio(left, right, alternative, level)
    return replace(
        found,
        p_brown_forsythe=_brown_forsythe(left, right, alternative),
        ratio_jackknife=ratio,
        p_jackknife=p_jackknife,
    )


def sd_ratio_from_summaries(
    a: Summary,
    b: Summary,
    alternative: Alternative = Alternative.TWO_SIDED,
    level: float = LEVEL,
) -> Spread:
    """Of n and sd alone: what normal theory allows, and nothing else."""
    check_level(level)
    left = b.sd / a.sd if a.sd and b.sd is not None else None
    state = state_of(a, b)
    if state is State.OK and not (a.sd and b.sd):
        state = State.ZERO_VARIANCE
    elif state is State.OK and min(a.n, b.n) < MIN_N:
        state = State.NOT_TESTABLE
    described = Spread(
        state=state,
        n_a=a.n,
        n_b=b.n,
        sd_a=a.sd,
        sd_b=b.sd,
        ratio=a.sd / b.sd if b.sd and a.sd is not None else None,
        reduction_pct=None if left is None else 100 * (1 - left),
        variance_reduction_pct=None if left is None else 100 * (1 - left**2),
    )
    if described.state is not State.OK or described.ratio is None:
        return described
    tail = (1 - level) / 2
    low, high = (
        described.ratio / special.fdtri(a.n - 1, b.n - 1, q) ** 0.5 for q in (1 - tail, tail)
    )
    return replace(
        described,
        f=described.ratio**2,
        p_f=_f_p(described.ratio**2, a.n - 1, b.n - 1, alternative),
        ratio_f=Interval(low=float(low), high=float(high), level=level),
        reduction_f=Interval(
            low=100 * (1 - 1 / float(low)), high=100 * (1 - 1 / float(high)), level=level
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SdTest:
    """Whether two sds differ, by one test.

    Attributes:
        test: "pitman_morgan", "brown_forsythe" or "jackknife_log_variance"; None of no test.
        state: Why there is no p, if there is none.
        n: Values of each side, or pairs.
        ratio: sd_a / sd_b; None where sd_b is 0.
        p: In the direction asked; None unless the state is ok.
        interval: Of the true ratio, two-sided, by the same test. It may begin at 0 and end at
            infinity; None unless the state is ok.
        r_pair: Correlation within pairs; None unless paired.
    """

    test: str | None = None
    state: State
    n: tuple[int, int]
    ratio: float | None
    p: float | None = None
    interval: Interval | None = None
    r_pair: float | None = None


def compare_sds(
    a: Values,
    b: Values,
    alternative: Alternative = Alternative.TWO_SIDED,
    level: float = LEVEL,
    *,
    paired: bool,
) -> SdTest:
    """Pitman and Morgan's test of pairs; else Brown and Forsythe's, below six values the jackknife.

    Args:
        a: Raw values.
        b: Raw values; if `paired`, value i belongs to value i of a.
        alternative: About sd_a - sd_b.
        level: Of the interval.
        paired: Whether the values are pairs. A test for independent samples loses its power where
            pairs are correlated.
    """
    left, right = finite(a), finite(b)
    found = sd_ratio_from_summaries(Summary.of(left), Summary.of(right), alternative, level)
    test = SdTest(state=found.state, n=(found.n_a, found.n_b), ratio=found.ratio)
    if found.state is not State.OK:
        return test
    if paired:
        return _pitman_morgan(test, left, right, alternative, level)
    p = _brown_forsythe(left, right, alternative)
    if p is not None:
        interval = _brown_forsythe_interval(left, right, level)
        return replace(test, test="brown_forsythe", p=p, interval=interval)
    ratio, p = _jackknife_ratio(left, right, alternative, level)
    if ratio is None:
        return replace(test, state=State.ZERO_VARIANCE)
    return replace(test, test="jackknife_log_variance", p=p, interval=ratio.interval)


def _pitman_morgan(
    test: SdTest, a: Array, b: Array, alternative: Alternative, level: float
) -> SdTest:
    """If sd_a = q sd_b, then a + q b and a - q b are uncorrelated: the t test of that correlation.

    With w = ratio / q, its t is (w - 1 / w) / 2 times sqrt((n - 2) / (1 - r^2)); solved for q, the
    interval is symmetric about the log of the ratio.
    """
    if len(a) != len(b):
        raise ValueError(f"{len(a)} values in a, {len(b)} in b; pairs need as many in both")
    r, df = float(np.corrcoef(a, b)[0, 1]), len(a) - 2
    if test.ratio is None or 1 - r * r < ROUNDING:
        return replace(test, state=State.ZERO_VARIANCE)
    unit = sqrt((1 - r * r) / df)
    statistic = (test.ratio - 1 / test.ratio) / 2 / unit
    half = asinh(float(special.stdtrit(df, (1 + level) / 2)) * unit)
    interval = Interval(low=test.ratio * exp(-half), high=test.ratio * exp(half), level=level)
    p = t_p(statistic, df, alternative)
    return replace(test, test="pitman_morgan", p=p, interval=interval, r_pair=r)


def _brown_forsythe_interval(a: Array, b: Array, level: float) -> Interval:
    """All q for which the test does not reject that a and q b have one spread.

    Student's t of the distances to each median, |t| <= limit, is a quadratic inequality in q
    (Fieller's). Where b's distances scatter widely, no q is too large.
    """
    left, right = _distances(a), _distances(b)
    df = left.n + right.n - 2
    factor = float(special.stdtrit(df, (1 + level) / 2)) ** 2 * (1 / left.n + 1 / right.n) / df
    # square q^2 - 2 middle q + rest <= 0
    square = right.mean**2 - factor * (right.n - 1) * (right.sd or 0.0) ** 2
    rest = left.mean**2 - factor * (left.n - 1) * (left.sd or 0.0) ** 2
    middle = left.mean * right.mean
    root = sqrt(max(0.0, middle**2 - square * rest))
    # Each root in the form that loses no digits; both lie above 0 where `square` and `rest` do.
    low = rest / (middle + root) if rest > 0 else 0.0
    return Interval(low=low, high=(middle + root) / square if square > 0 else inf, level=level)


def _f_p(f: float, df_a: int, df_b: int, alternative: Alternative) -> float:
    greater, less = special.fdtrc(df_a, df_b, f), special.fdtr(df_a, df_b, f)
    match alternative:
        case Alternative.GREATER:
            return float(greater)
        case Alternative.LESS:
            return float(less)
        case Alternative.TWO_SIDED:
            return float(min(1.0, 2 * min(greater, less)))


def _distances(x: Array) -> Summary:
    """To the median of the values."""
    return Summary.of(np.abs(x - np.median(x)))


def _brown_forsythe(a: Array, b: Array, alternative: Alternative) -> float | None:
    """Student's t of the distances to each median: for two samples, its square is their F."""
    if min(len(a), len(b)) < MIN_BROWN_FORSYTHE:
        return None
    left, right = _distances(a), _distances(b)
    return student(left, right, alternative).p


def _jackknife_ratio(
    a: Array, b: Array, alternative: Alternative, level: float
) -> tuple[Ratio | None, float | None]:
    """Welch's t of the pseudo-values of log variance; half a log variance is a log sd."""
    left, right = _pseudo_values(a), _pseudo_values(b)
    if left is None or right is None:
        return None, None
    test = welch(Summary.of(left / 2), Summary.of(right / 2), alternative, level)
    if test.diff is None or test.interval is None:
        return None, None
    interval = Interval(low=exp(test.interval.low), high=exp(test.interval.high), level=level)
    return Ratio(estimate=exp(test.diff), interval=interval), test.p


def _pseudo_values(values: Array) -> Array | None:
    """For each value: n log variances of all, minus n - 1 of all the others."""
    n, scale = len(values), float(np.abs(values).max())
    others = np.tile(values, (n, 1))[~np.eye(n, dtype=bool)].reshape(n, n - 1)
    without: Array = others.std(axis=1, ddof=1)
    if (without <= ROUNDING * scale).any():
        return None
    return n * 2 * log(sd(values, scale)) - (n - 1) * 2 * np.log(without)
