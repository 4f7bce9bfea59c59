"""Two means compared by Student's t, each variant by name; the unit is that of the values.

Is a difference small enough? Without a margin chosen beforehand `equivalence` has no answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite, sqrt

import numpy as np
from scipy import special

from orchestrator.stats.records import (
    ALPHA,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanTest:
    """A difference of means, and a t test of it.

    Attributes:
        test: "welch", "student", "paired", "one_sample", "ordinal_contrast" or "crossed".
        state: Why there is no p, if there is none.
        n_a, n_b: Values of each side; `n_b` is None where there is one side only.
        n_pairs: Complete pairs of a paired test.
        diff: Mean of a minus mean of b; None of no pair at all.
        se, df, statistic, p: Of the t test; None unless the state is ok.
        interval: Of `diff`, two-sided whatever the alternative.
        r_pair: Correlation within pairs; None below three pairs or where one side is constant.
    """

    test: str
    state: State
    n_a: int
    n_b: int | None
    n_pairs: int | None = None
    diff: float | None
    se: float | None = None
    df: float | None = None
    statistic: float | None = None
    p: float | None = None
    interval: Interval | None = None
    r_pair: float | None = None


def welch(
    a: Summary,
    b: Summary,
    alternative: Alternative = Alternative.TWO_SIDED,
    level: float = LEVEL,
) -> MeanTest:
    """Unpaired, each side with its own variance; df by Welch and Satterthwaite."""
    test = _two_samples("welch", a, b)
    if test.state is not State.OK:
        return test
    se, df = satterthwaite([(variance_of_mean(s), s.n - 1) for s in (a, b)])
    return tested(test, se, df, alternative, level)


def student(
    a: Summary,
    b: Summary,
    alternative: Alternative = Alternative.TWO_SIDED,
    level: float = LEVEL,
) -> MeanTest:
    """Unpaired, one pooled variance: wrong where the sds differ, kept for published tables."""
    test = _two_samples("student", a, b)
    if test.state is not State.OK:
        return test
    se = pooled_sd(a, b) * sqrt(1 / a.n + 1 / b.n)
    return tested(test, se, a.n + b.n - 2, alternative, level)


def paired(
    a: Sequence[float | None] | Array,
    b: Sequence[float | None] | Array,
    alternative: Alternative = Alternative.TWO_SIDED,
    level: float = LEVEL,
) -> MeanTest:
    """Of the differences within pairs; a pair that lacks a side is left out.

    Raises:
        ValueError: Not as many values in a as in b, none at all, or one that is not finite.
    """
    check_level(level)
    if len(a) != len(b):
        raise ValueError(f"{len(a)} values in a, {len(b)} in b; pairs need as many in both")
    if not len(a):
        raise ValueError("no values; a statistic needs at least one")
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    test = MeanTest(
        test="paired",
        state=State.INSUFFICIENT_N,
        n_a=_known(a),
        n_b=_known(b),
        n_pairs=len(pairs),
        diff=None,
    )
    if not pairs:
        return test
    both = finite(pairs)
    found = _differences(both)
    test = replace(test, state=state_of(found), diff=found.mean, r_pair=_correlation(both))
    if test.state is not State.OK:
        return test
    return tested(test, sqrt(variance_of_mean(found)), found.n - 1, alternative, level)


def one_sample(
    values: Values,
    alternative: Alternative = Alternative.TWO_SIDED,
    level: float = LEVEL,
) -> MeanTest:
    """Of the mean against 0, e.g. of differences to a fixed baseline, which has no spread."""
    a = Summary.of(values)
    test = MeanTest(test="one_sample", state=state_of(a), n_a=a.n, n_b=None, diff=a.mean)
    if test.state is not State.OK:
        return test
    return tested(test, sqrt(variance_of_mean(a)), a.n - 1, alternative, level)


def tested(
    test: MeanTest, se: float, df: float, alternative: Alternative, level: float
) -> MeanTest:
    """The test filled in, of a difference with `se` > 0 that follows t with `df`."""
    if test.diff is None:
        raise ValueError(f"{test.test}: no difference to test")
    statistic = test.diff / se
    return replace(
        test,
        se=se,
        df=df,
        statistic=statistic,
        p=t_p(statistic, df, alternative),
        interval=t_interval(test.diff, se, df, level),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """Two one-sided t tests against a margin.

    Attributes:
        delta: The margin, > 0, in the difference's unit.
        p_noninferior: Of "a - b is above -delta".
        p_upper: Of "a - b is below delta".
        p_tost: Of both, the larger of the two. All None where the difference has no t test.
        interval: Of the difference, at 1 - 2 alpha; within +-delta exactly where `p_tost` is
            below alpha.
    """

    delta: float
    p_noninferior: float | None
    p_upper: float | None
    p_tost: float | None
    interval: Interval | None


def equivalence(test: MeanTest, delta: float, alpha: float = ALPHA) -> Equivalence:
    """Of any difference with an se and a df.

    Args:
        test: The difference.
        delta: The margin, > 0, in the difference's unit.
        alpha: Of each of the two one-sided tests.

    Raises:
        ValueError: `delta` is not above 0.
    """
    if not (isfinite(delta) and delta > 0):
        raise ValueError(f"delta is {delta}; a margin is above 0, in the difference's unit")
    if test.diff is None or test.se is None or test.df is None:
        return Equivalence(
            delta=delta, p_noninferior=None, p_upper=None, p_tost=None, interval=None
        )
    lower = t_p((test.diff + delta) / test.se, test.df, Alternative.GREATER)
    upper = t_p((test.diff - delta) / test.se, test.df, Alternative.LESS)
    return Equivalence(
        delta=delta,
        p_noninferior=lower,
        p_upper=upper,
        p_tost=max(lower, upper),
        interval=t_interval(test.diff, test.se, test.df, 1 - 2 * alpha),
    )


def t_p(statistic: float, df: float, alternative: Alternative) -> float:
    """Chance under no effect of a t at least as far out; exact far into the tails."""
    match alternative:
        case Alternative.GREATER:
            return float(special.stdtr(df, -statistic))
        case Alternative.LESS:
            return float(special.stdtr(df, statistic))
        case Alternative.TWO_SIDED:
            return float(min(1.0, 2 * special.stdtr(df, -abs(statistic))))


def t_interval(estimate: float, se: float, df: float, level: float) -> Interval:
    """Two-sided, symmetric about the estimate."""
    check_level(level)
    half = se * float(special.stdtrit(df, (1 + level) / 2))
    return Interval(low=estimate - half, high=estimate + half, level=level)


def satterthwaite(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """(se, df) of a sum of independent parts, each a (variance, df); their sum is > 0."""
    total = sum(variance for variance, _ in parts)
    return sqrt(total), 1 / sum((variance / total) ** 2 / df for variance, df in parts)


def variance_of_mean(sample: Summary) -> float:
    """sd^2 / n of a sample that has an sd."""
    if sample.sd is None:
        raise ValueError(f"no sd with n = {sample.n}; ask state_of first")
    return sample.sd**2 / sample.n


def pooled_sd(a: Summary, b: Summary) -> float:
    """Root of the mean variance, weighted by degrees of freedom."""
    squares = sum(variance_of_mean(s) * s.n * (s.n - 1) for s in (a, b))
    return sqrt(squares / (a.n + b.n - 2))


def _known(values: Sequence[float | None] | Array) -> int:
    """How many are not None; the others are finite, even where their pair is left out."""
    known = [v for v in values if v is not None]
    return len(finite(known)) if known else 0


def _two_samples(test: str, a: Summary, b: Summary) -> MeanTest:
    return MeanTest(test=test, state=state_of(a, b), n_a=a.n, n_b=b.n, diff=a.mean - b.mean)


def _differences(pairs: Array) -> Summary:
    """Of (n, 2), first column minus second; rounding is judged by the size of the columns."""
    values, scale = pairs[:, 0] - pairs[:, 1], float(np.abs(pairs).max())
    spread = sd(values, scale) if len(values) > 1 else None
    return Summary(n=len(values), mean=float(values.mean()), sd=spread)


def _correlation(pairs: Array) -> float | None:
    """Pearson's r of the two columns of (n, 2)."""
    scale = float(np.abs(pairs).max())
    if len(pairs) < 3 or 0 in (sd(pairs[:, 0], scale), sd(pairs[:, 1], scale)):
        return None
    return float(np.asarray(np.corrcoef(pairs.T))[0, 1])
