"""Two standard deviations compared. The first sample is the reference.

The F test and its interval hold for normal values only; the jackknife of the log variance (Miller
1968) and the test of Brown and Forsythe need no such assumption, but more values.
"""

from dataclasses import dataclass, replace
from math import exp, log

import numpy as np
from scipy import special

from orchestrator.stats.means import student, welch
from orchestrator.stats.records import (
    LEVEL,
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


def _f_p(f: float, df_a: int, df_b: int, alternative: Alternative) -> float:
    greater, less = special.fdtrc(df_a, df_b, f), special.fdtr(df_a, df_b, f)
    match alternative:
        case Alternative.GREATER:
            return float(greater)
        case Alternative.LESS:
            return float(less)
        case Alternative.TWO_SIDED:
            return float(min(1.0, 2 * min(greater, less)))


def _brown_forsythe(a: Array, b: Array, alternative: Alternative) -> float | None:
    """Student's t of the distances to each median: for two samples, its square is their F."""
    if min(len(a), len(b)) < MIN_BROWN_FORSYTHE:
        return None
    left, right = (Summary.of(np.abs(x - np.median(x))) for x in (a, b))
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
    without = [sd(np.delete(values, i), scale) for i in range(n)]
    if 0 in without:
        return None
    return n * 2 * log(sd(values, scale)) - (n - 1) * 2 * np.log(without)
