"""One table of seeds by probes, and three populations that its mean may speak of.

`seeds`: other seeds, these probes. `probes`: these seeds, other probes. `both`: other seeds and
other probes, which is what any sentence about a method needs. Pooling all entries as if they were
independent answers none of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Literal

import numpy as np

from orchestrator.stats.means import MeanTest, t_interval, t_p, tested
from orchestrator.stats.records import (
    LEVEL,
    ROUNDING,
    Alternative,
    Array,
    Interval,
    State,
    check_level,
    finite,
)

MIN_N = 3
"""Seeds, and probes: with two, an interval for both populations holds the truth too rarely:
0.89 of the time where its level is `LEVEL`."""

Source = Literal["two_way", "seed_only", "probe_only"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossed:
    """A two-way analysis of variance without replicates, seeds and probes both random.

    Attributes:
        mean: Of all entries, in their unit.
        ms_seed, ms_probe, ms_resid: Mean squares; the residual holds the interaction.
        var_seed, var_probe, var_resid: Components of variance, at least 0.
        se, df, t, p, both: For new seeds and new probes. `source` tells which mean squares the
            variance is made of: the sum of both mean squares minus the residual's, or one alone
            where that is larger. None below three seeds or three probes.
        seeds, probes: Intervals for new seeds alone and for new probes alone, from two on; None
            where the mean square is 0.
        n_seeds, n_probes: The table's shape.
        best_next: What adds more to the variance of the mean, so that more of it helps most.
    """

    state: State
    n_seeds: int
    n_probes: int
    mean: float
    ms_seed: float | None = None
    ms_probe: float | None = None
    ms_resid: float | None = None
    var_seed: float | None = None
    var_probe: float | None = None
    var_resid: float | None = None
    source: Source | None = None
    se: float | None = None
    df: float | None = None
    t: float | None = None
    p: float | None = None
    both: Interval | None = None
    seeds: Interval | None = None
    probes: Interval | None = None
    best_next: Literal["seeds", "probes"] | None = None

    def as_test(self, alternative: Alternative, level: float = LEVEL) -> MeanTest:
        """The claim about both populations as any other mean, for verdict and equivalence."""
        test = MeanTest(
            test="crossed", state=self.state, n_a=self.n_seeds, n_b=None, diff=self.mean
        )
        if self.se is None or self.df is None:
            return test
        return tested(test, self.se, self.df, alternative, level)


def crossed(
    matrix: Array | Sequence[Sequence[float]],
    alternative: Alternative = Alternative.TWO_SIDED,
    level: float = LEVEL,
) -> Crossed:
    """Mean of a complete table, and its intervals.

    Args:
        matrix: (S, P) seeds by probes, e.g. differences of two arms; nothing missing. With
            entries missing, `means.paired` of the seeds' means is what is left.
        alternative: About the mean against 0.
        level: Of all three intervals.

    Raises:
        ValueError: Not a table, empty, or a value that is not finite.
    """
    check_level(level)
    table = finite(matrix)
    if table.ndim != 2:
        raise ValueError(f"the table has {table.ndim} dimensions; it is seeds by probes")
    (s, p), mean = table.shape, float(table.mean())
    found = Crossed(state=State.INSUFFICIENT_N, n_seeds=s, n_probes=p, mean=mean)
    if min(s, p) < 2:
        return found
    ms_seed, ms_probe, ms_resid = squares = mean_squares(table)
    if not any(squares):
        return replace(found, state=State.ZERO_VARIANCE)
    found = replace(
        found,
        ms_seed=ms_seed,
        ms_probe=ms_probe,
        ms_resid=ms_resid,
        var_seed=max(0.0, (ms_seed - ms_resid) / p),
        var_probe=max(0.0, (ms_probe - ms_resid) / s),
        var_resid=ms_resid,
        seeds=_one(mean, ms_seed, s * p, s - 1, level),
        probes=_one(mean, ms_probe, s * p, p - 1, level),
        best_next="seeds" if ms_seed >= ms_probe else "probes",
    )
    if min(s, p) < MIN_N:
        return found
    source, variance, df = _both(squares, s, p)
    if not variance:
        return replace(found, state=State.ZERO_VARIANCE)
    se = sqrt(variance / (s * p))
    return replace(
        found,
        state=State.OK,
        source=source,
        se=se,
        df=df,
        t=mean / se,
        p=t_p(mean / se, df, alternative),
        both=t_interval(mean, se, df, level),
    )


def mean_squares(table: Array) -> tuple[float, float, float]:
    """(seeds, probes, residual) of (S, P); what is rounding only becomes 0."""
    (s, p), mean = table.shape, table.mean()
    rows, columns = table.mean(axis=1) - mean, table.mean(axis=0) - mean
    rest = table - mean - rows[:, None] - columns[None, :]
    least = max(s, p) * (ROUNDING * float(np.abs(table).max())) ** 2

    def mean_square(deviations: Array, repeats: int, df: int) -> float:
        found = repeats * float(np.square(deviations).sum()) / df
        return found if found > least else 0.0

    return (
        mean_square(rows, p, s - 1),
        mean_square(columns, s, p - 1),
        mean_square(rest, 1, (s - 1) * (p - 1)),
    )


def _both(squares: tuple[float, float, float], s: int, p: int) -> tuple[Source, float, float]:
    """(source, S * P times the variance of the mean, df).

    The sum is unbiased but may fall below either part, or below 0; the larger part then stands in.
    """
    seed, probe, resid = squares
    total = seed + probe - resid
    if seed > max(total, probe):
        return "seed_only", seed, s - 1
    if probe > total:
        return "probe_only", probe, p - 1
    parts = ((seed, s - 1), (probe, p - 1), (resid, (s - 1) * (p - 1)))
    return "two_way", total, 1 / sum((ms / total) ** 2 / df for ms, df in parts)


def _one(mean: float, ms: float, entries: int, df: int, level: float) -> Interval | None:
    return t_interval(mean, sqrt(ms / entries), df, level) if ms else None
