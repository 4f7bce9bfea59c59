"""Shares of prompts: refusals of one model, and of two models on the same prompts.

All of it speaks of new prompts for these very weights. Over several seeds, `crossed` of the
differences per prompt is the test; pooling seeds and prompts into one share is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

import numpy as np
from scipy import special, stats

from orchestrator.stats.records import (
    LEVEL,
    Alternative,
    Array,
    Interval,
    State,
    check_level,
    finite,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proportion:
    """k of n.

    Attributes:
        estimate: k / n.
        wilson: Close to its level on average.
        exact: Clopper and Pearson's, never below its level.
        upper: For k = 0: the one-sided upper limit of the true share; else None.
    """

    k: int
    n: int
    estimate: float
    wilson: Interval
    exact: Interval
    upper: float | None


def proportion(k: int, n: int, level: float = LEVEL) -> Proportion:
    """Of `k` prompts out of `n`.

    Raises:
        ValueError: n is 0, or k is not between 0 and n.
    """
    _check_count(k, n)
    check_level(level)
    found = stats.binomtest(k, n)
    wilson = found.proportion_ci(level, method="wilson")
    exact = found.proportion_ci(level, method="exact")
    return Proportion(
        k=k,
        n=n,
        estimate=k / n,
        wilson=Interval(low=float(wilson.low), high=float(wilson.high), level=level),
        exact=Interval(low=float(exact.low), high=float(exact.high), level=level),
        upper=None if k else 1 - (1 - level) ** (1 / n),
    )


def newcombe(k_a: int, n_a: int, k_b: int, n_b: int, level: float = LEVEL) -> Interval:
    """Of the difference a - b of two shares of different prompts (Newcombe 1998, method 10)."""
    a, b = proportion(k_a, n_a, level), proportion(k_b, n_b, level)
    diff = a.estimate - b.estimate
    below = sqrt((a.estimate - a.wilson.low) ** 2 + (b.wilson.high - b.estimate) ** 2)
    above = sqrt((a.wilson.high - a.estimate) ** 2 + (b.estimate - b.wilson.low) ** 2)
    return Interval(low=diff - below, high=diff + above, level=level)


def fisher(
    k_a: int, n_a: int, k_b: int, n_b: int, alternative: Alternative = Alternative.TWO_SIDED
) -> float:
    """The p of Fisher's exact test of two shares of different prompts."""
    _check_count(k_a, n_a)
    _check_count(k_b, n_b)
    table = np.array([[k_a, n_a - k_a], [k_b, n_b - k_b]])
    return float(stats.fisher_exact(table, alternative=alternative.value).pvalue)


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemar:
    """Two models on the same prompts.

    Attributes:
        gain, loss: Prompts that only the second model refuses, and that only the first does.
        n: All prompts.
        diff: (gain - loss) / n.
        p: Exact, of the discordant prompts; 1 where there are none.
        interval: Of `diff`, Agresti and Min's: half a prompt added to each of the four cells.
    """

    gain: int
    loss: int
    n: int
    diff: float
    p: float
    interval: Interval


def mcnemar(
    gain: int,
    loss: int,
    n: int,
    alternative: Alternative = Alternative.TWO_SIDED,
    level: float = LEVEL,
) -> McNemar:
    """Of the discordant prompts; the alternative is about `diff`.

    Raises:
        ValueError: A count is negative, n is 0, or the discordant prompts are more than n.
    """
    check_level(level)
    if min(gain, loss) < 0:
        raise ValueError(f"{gain} gained, {loss} lost; a count is not negative")
    _check_count(gain + loss, n)
    return McNemar(
        gain=gain,
        loss=loss,
        n=n,
        diff=(gain - loss) / n,
        p=_mcnemar_p(gain, loss, alternative),
        interval=_agresti_min(gain, loss, n, level),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemarBounds:
    """What is possible where only sums per category are known.

    Attributes:
        p_min, p_max: Smallest and largest two-sided p of all possibilities.
        feasible: Every (gain, loss) that some answers with these sums have, by gain.
    """

    p_min: float
    p_max: float
    feasible: tuple[tuple[int, int], ...]


def mcnemar_bounds(categories: Sequence[tuple[int, int, int]]) -> McNemarBounds:
    """Of categories (n, refused_a, refused_b), a before b.

    Raises:
        ValueError: No category, or more refused than asked.
    """
    if not categories:
        raise ValueError("no categories; bounds need at least one")
    for n, a, b in categories:
        _check_count(a, n)
        _check_count(b, n)
    # Within a category the gain takes every value between these, independent of the others.
    least = sum(max(0, b - a) for _, a, b in categories)
    most = sum(min(b, n - a) for n, a, b in categories)
    net = sum(b - a for _, a, b in categories)
    feasible = tuple((gain, gain - net) for gain in range(least, most + 1))
    ps = [_mcnemar_p(gain, loss, Alternative.TWO_SIDED) for gain, loss in feasible]
    return McNemarBounds(p_min=min(ps), p_max=max(ps), feasible=feasible)


@dataclass(frozen=True, slots=True, kw_only=True)
class CochranQ:
    """Several models on the same prompts: is any unlike the others?

    Attributes:
        q, df, p: Of the chi-squared approximation; None unless the state is ok.
    """

    state: State
    q: float | None
    df: int
    p: float | None


def cochran_q(matrix: Array | Sequence[Sequence[int]]) -> CochranQ:
    """Of (prompts, models), 1 where refused, else 0.

    Raises:
        ValueError: Not a table, empty, or an entry that is neither 0 nor 1.
    """
    table = finite(matrix)
    if table.ndim != 2 or not np.isin(table, (0, 1)).all():
        raise ValueError("the table is prompts by models, with 0 and 1 in it and nothing else")
    k = table.shape[1]
    if k < 2:
        return CochranQ(state=State.NOT_TESTABLE, q=None, df=k - 1, p=None)
    models, prompts = table.sum(axis=0), table.sum(axis=1)
    spread = float((prompts * (k - prompts)).sum())
    if not spread:
        return CochranQ(state=State.ZERO_VARIANCE, q=None, df=k - 1, p=None)
    q = float(k * (k - 1) * np.square(models - models.mean()).sum() / spread)
    return CochranQ(state=State.OK, q=q, df=k - 1, p=float(special.chdtrc(k - 1, q)))


@lru_cache(maxsize=4096)
def _mcnemar_p(gain: int, loss: int, alternative: Alternative) -> float:
    if not gain + loss:
        return 1.0
    return float(stats.binomtest(gain, gain + loss, alternative=alternative.value).pvalue)


def _agresti_min(gain: int, loss: int, n: int, level: float) -> Interval:
    total, net = n + 2, gain - loss
    half = sqrt(gain + loss + 1 - net**2 / total) / total
    half *= float(special.ndtri((1 + level) / 2))
    return Interval(low=net / total - half, high=net / total + half, level=level).within(-1, 1)


def _check_count(k: int, n: int) -> None:
    if n < 1 or not 0 <= k <= n:
        raise ValueError(f"{k} of {n}; a share needs n >= 1 and 0 <= k <= n")
