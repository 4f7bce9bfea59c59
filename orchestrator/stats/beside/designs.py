"""The power of a verdict: one design a test, with the seeds and the scatter that it has.

`power(effect, level)` is the chance that the test's p is at most `level`. For a claim in a family
of m, `level` is alpha / m: Holm's adjustment supports all that passes there, and sometimes more, so
that the power is a lower bound. Effects are in the unit of the sds; of a claim with a direction
they are positive in that direction.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from math import exp, pi, sinh, sqrt
from typing import Literal, Protocol, Self

import numpy as np
from scipy import special

from orchestrator.stats.crossed import Crossed
from orchestrator.stats.records import Array
from orchestrator.stats.spread import MIN_BROWN_FORSYTHE, MIN_N

TARGET = 0.8
"""Power that is asked for where nobody names another."""
SHARE = 0.8
"""Of the interval of an estimated sd, for the range that it brings into the smallest effect."""
DRAWS = 4000
"""Simulated results where no formula is known: the power's standard error is 0.006 at 0.8."""
MANY = 100
"""Values a side above which the normal limit replaces simulated results."""
LARGEST = 1e4
"""Effect, in the unit of the design, beyond which nothing is looked for."""
NODES = {1: 64, 2: 32, 3: 14, 4: 8}
"""Gauss-Legendre nodes for each estimated variance, by how many there are."""


class Design(Protocol):
    """What can be planned: a test with its seeds and its scatter."""

    def __hash__(self) -> int:
        """A frozen record, so that what was computed once can be kept."""

    @property
    def most(self) -> int:
        """Seeds above which the design is not looked at."""

    def at(self, n: int) -> Self:
        """The same with n seeds in every arm."""

    def power(self, effect: float, level: float) -> float:
        """Chance of p <= level where `effect` is true."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a design finds with probability 0.8.

    Attributes:
        mde: Smallest effect; for a claim within a margin, the smallest margin that is shown if
            both arms are the same. None where nothing can be found.
        mde_low, mde_high: Of the same, where the sd is only an estimate: at the ends of its
            interval, 80 %. None where no sd was estimated.
        n_for: Fewest seeds in every arm for the effect that was asked about; None where it was
            none, points the other way, or needs more than the design looks at.
    """

    mde: float | None = None
    mde_low: float | None = None
    mde_high: float | None = None
    n_for: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """A design, and what is asked of it.

    Attributes:
        design: Its seeds are those that there are.
        effect: To find the seeds for; positive in the claimed direction. None for none.
        seen: The design under which `effect` is looked for, where it is another one: with a margin,
            the arms are the same for the smallest margin, and as they were seen for the seeds.
        sd_df: Degrees of freedom of the sd that the design was given; None where it is known.
        scale: Unit of the design's effects, e.g. the sd seen; 1 where the design knows its sds.
        tests: By which the claim's own p was multiplied, e.g. for a choice among so many.
        counted: What `at` changes: "seeds", or "prompts".
    """

    design: Design
    effect: float | None = None
    seen: Design | None = None
    sd_df: float | None = None
    scale: float = 1.0
    tests: int = 1
    counted: Literal["seeds", "prompts"] = "seeds"

    def reach(self, level: float) -> Reach:
        """What is found at a level, which is alpha / size of the family."""
        level /= self.tests
        smallest = smallest_effect(self.design, level)
        if smallest is not None:
            smallest *= self.scale
        low = high = None
        if smallest is not None and self.sd_df is not None:
            low, high = range_of(smallest, self.sd_df)
        needed = None
        if self.effect is not None and self.effect > 0:
            needed = fewest_seeds(self.seen or self.design, self.effect / self.scale, level)
        return Reach(mde=smallest, mde_low=low, mde_high=high, n_for=needed)


def range_of(effect: float, sd_df: float) -> tuple[float, float]:
    """An effect that is proportional to an estimated sd, at the ends of that sd's interval."""
    low, high = special.chdtri(sd_df, [(1 - SHARE) / 2, (1 + SHARE) / 2])
    return effect * sqrt(sd_df / low), effect * sqrt(sd_df / high)


@lru_cache(maxsize=1024)
def smallest_effect(design: Design, level: float, power: float = TARGET) -> float | None:
    """Halved until five digits stand; None where not even a huge effect is found."""
    _check(level, power)
    if design.power(LARGEST, level) < power:
        return None
    low, high = 0.0, LARGEST
    while high - low > 1e-5 * high and high > 1e-12:
        middle = (low + high) / 2
        low, high = (low, middle) if design.power(middle, level) >= power else (middle, high)
    return high


def fewest_seeds(design: Design, effect: float, level: float, power: float = TARGET) -> int | None:
    """Doubled until enough, then halved; None above `design.most`."""
    _check(level, power)
    low, high = 1, 2
    while design.at(high).power(effect, level) < power:
        low, high = high, 2 * high
        if low >= design.most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        enough = design.at(middle).power(effect, level) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high if high <= design.most else None


class Aim(StrEnum):
    """What a claim about a mean says."""

    DIFFERS = "differs"
    DIRECTED = "lies on one side"
    NONINFERIOR = "is not below by more than the margin"
    EQUIVALENT = "is within the margin"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanDesign:
    """A t test of one mean or of two: paired or of one sample, or Welch's.

    Attributes:
        ns, sds: Of each independent sample; one for pairs, whose sd is that of the difference.
        aim: What is claimed. The effect of the last two is the margin.
        offset: For a margin: the true difference, positive where it helps non-inferiority.
    """

    ns: tuple[int, ...]
    sds: tuple[float, ...]
    aim: Aim = Aim.DIFFERS
    offset: float = 0.0
    most: int = 100_000

    def at(self, n: int) -> Self:
        """The same with n seeds in every arm."""
        return replace(self, ns=(n,) * len(self.ns))

    def power(self, effect: float, level: float) -> float:
        """Exact for normal scores: averaged over what the sds may be estimated as."""
        if min(self.ns) < 2:
            return 0.0
        parts = tuple((sd * sd / n, n - 1) for sd, n in zip(self.sds, self.ns, strict=True))
        return _chance(_limits(parts, level, self.aim, None), effect, self.offset, self.aim)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossedDesign:
    """A table of seeds by probes, for new seeds and new probes.

    Attributes:
        n_seeds, n_probes: Of the table; `at` changes the seeds.
        var_seed, var_probe, var_resid: True components of variance.
        aim, offset: As for `MeanDesign`.
    """

    n_seeds: int
    n_probes: int
    var_seed: float
    var_probe: float
    var_resid: float
    aim: Aim = Aim.DIFFERS
    offset: float = 0.0
    most: int = 10_000

    @classmethod
    def of(cls, found: Crossed) -> Self | None:
        """With the components that were seen; None where there are none."""
        if found.var_seed is None or found.var_probe is None or found.var_resid is None:
            return None
        return cls(
            n_seeds=found.n_seeds,
            n_probes=found.n_probes,
            var_seed=found.var_seed,
            var_probe=found.var_probe,
            var_resid=found.var_resid,
        )

    def at(self, n: int) -> Self:
        """The same with n seeds."""
        return replace(self, n_seeds=n)

    def power(self, effect: float, level: float) -> float:
        """Exact for normal components, but for the coarse grid of what may be estimated."""
        s, p = self.n_seeds, self.n_probes
        if min(s, p) < 3:
            return 0.0
        parts = (
            ((self.var_resid + p * self.var_seed) / (s * p), s - 1),
            ((self.var_resid + s * self.var_probe) / (s * p), p - 1),
            (self.var_resid / (s * p), (s - 1) * (p - 1)),
        )
        return _chance(_limits(parts, level, self.aim, _crossed_se), effect, self.offset, self.aim)


def _chance(limits: tuple[Array, Array, float], effect: float, offset: float, aim: Aim) -> float:
    """Chance of p <= level; `limits` is (how far out the estimate must lie, weights, its sd)."""
    limit, weights, sigma = limits
    if aim is Aim.EQUIVALENT:
        room = special.ndtr((effect - offset - limit) / sigma)
        found = np.maximum(0.0, room - special.ndtr((limit - effect - offset) / sigma))
        return float(weights @ found)
    reached = special.ndtr((effect + (aim is Aim.NONINFERIOR) * offset - limit) / sigma)
    if aim is Aim.DIFFERS:
        reached = reached + special.ndtr((-effect - limit) / sigma)
    return float(weights @ reached)


Rule = Callable[[Array, Array], tuple[Array, Array]]


@lru_cache(maxsize=4096)
def _limits(
    parts: tuple[tuple[float, int], ...], level: float, aim: Aim, rule: Rule | None
) -> tuple[Array, Array, float]:
    """(t limit times standard error, weight) of every estimate of the variances; sd of the mean.

    Args:
        parts: True variance that each estimated part adds to the estimate's, and its df.
        level: Of the test.
        aim: Two-sided or not.
        rule: Squared standard error and df of the estimated parts; None for their sum and
            Satterthwaite's df.
    """
    variances, dfs = (np.array(x, dtype=np.float64) for x in zip(*parts, strict=True))
    ratios, weights = _estimates(tuple(dfs.tolist()))
    estimated = variances[:, None] * ratios
    if rule is None:
        square = estimated.sum(axis=0)
        df = 1 / (np.square(estimated / square) / dfs[:, None]).sum(axis=0)
        sigma = sqrt(variances.sum())
    else:
        square, df = rule(estimated, dfs)
        sigma = sqrt(variances[0] + variances[1] - variances[2])
    tail = level / 2 if aim is Aim.DIFFERS else level
    return special.stdtrit(df, 1 - tail) * np.sqrt(square), weights, sigma


def _crossed_se(parts: Array, dfs: Array) -> tuple[Array, Array]:
    """Squared standard error and df as `crossed` chooses them, of (3, G) mean squares."""
    seed, probe, resid = parts
    total = seed + probe - resid
    with np.errstate(divide="ignore", invalid="ignore"):
        df = 1 / (np.square(parts / total) / dfs[:, None]).sum(axis=0)
    seeds, probes = seed > np.maximum(total, probe), probe > total
    df = np.where(seeds, dfs[0], np.where(probes, dfs[1], df))
    return np.where(seeds, seed, np.where(probes, probe, total)), df


@lru_cache
def gauss(n: int) -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights on [-1, 1]; slow to compute, so kept."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return nodes, weights


@lru_cache(maxsize=256)
def _estimates(dfs: tuple[float, ...]) -> tuple[Array, Array]:
    """Estimated over true variance: (len(dfs), G) nodes and (G,) weights that sum to 1."""
    nodes, weights = gauss(NODES[len(dfs)])
    upper = (1 - nodes) / 2  # chance of more
    axes = np.meshgrid(*(special.chdtri(df, upper) / df for df in dfs), indexing="ij")
    weight = np.ones(1)
    for _ in dfs:
        weight = np.outer(weight, weights / 2).ravel()
    return np.stack([a.ravel() for a in axes]), weight


@dataclass(frozen=True, slots=True, kw_only=True)
class SdDesign:
    """Two sds over seeds, compared as `spread.compare_sds` does; effects are logs of their ratio.

    Attributes:
        ns: Values of each side; for pairs, their number twice.
        r_pair: Correlation within pairs; None where the sides are independent.
        two_sided: Whether the claim has no direction.
    """

    ns: tuple[int, int]
    r_pair: float | None = None
    two_sided: bool = True
    most: int = 100_000

    def at(self, n: int) -> Self:
        """The same with n seeds in every arm."""
        return replace(self, ns=(n, n))

    def power(self, effect: float, level: float) -> float:
        """For normal scores. `effect` is the log of the ratio of the true sds."""
        if min(self.ns) < MIN_N:
            return 0.0
        if abs(effect) > 20:  # sds that differ by a factor of e^20, beyond which exp overflows
            effect = 20.0
        tail = level / 2 if self.two_sided else level
        if self.r_pair is not None:
            return self._pitman_morgan(effect, tail)
        if min(self.ns) > MANY:
            # The mean distance to the median has a log with variance (pi / 2 - 1) / n.
            z = abs(special.ndtri(tail))
            unit = sqrt((pi / 2 - 1) * (1 / self.ns[0] + 1 / self.ns[1]))
            return float(special.ndtr(effect / unit - z))
        forsythe = min(self.ns) >= MIN_BROWN_FORSYTHE
        t, df = (_forsythe_t if forsythe else _jackknife_t)(self.ns, effect)
        limit = -special.stdtrit(df, tail)
        return float(np.mean((t >= limit) | (self.two_sided & (t <= -limit))))

    def _pitman_morgan(self, effect: float, tail: float) -> float:
        """The t of a correlation between normal values, given their scatter, is noncentral."""
        n, r = self.ns[0], self.r_pair or 0.0
        (first, second), weights = _estimates((n - 1.0, n - 2.0))
        centre = sinh(effect) / sqrt(1 - r * r) * np.sqrt(first * (n - 1))
        limit = -float(special.stdtrit(n - 2, tail)) * np.sqrt(second)
        found = special.ndtr(centre - limit)
        if self.two_sided:
            found = found + special.ndtr(-centre - limit)
        return float(weights @ found)


@lru_cache(maxsize=64)
def _distances(ns: tuple[int, int]) -> tuple[Array, ...]:
    """Mean and squared scatter of the distances to the median, of drawn sides: (a, a, b, b)."""
    rng = np.random.default_rng(0)
    found: list[Array] = []
    for n in ns:
        x = rng.standard_normal((DRAWS, n))
        away = np.abs(x - np.median(x, axis=1, keepdims=True))
        found += [away.mean(axis=1), away.var(axis=1) * n]
    return tuple(found)


def _forsythe_t(ns: tuple[int, int], effect: float) -> tuple[Array, float]:
    a, scatter_a, b, scatter_b = _distances(ns)
    ratio, df = exp(effect), sum(ns) - 2
    pooled = (ratio**2 * scatter_a + scatter_b) / df
    return (ratio * a - b) / np.sqrt(pooled * (1 / ns[0] + 1 / ns[1])), df


@lru_cache(maxsize=64)
def _pseudo_logs(ns: tuple[int, int]) -> tuple[Array, ...]:
    """Mean and variance of the mean of the pseudo-values of log sd, of drawn sides."""
    rng = np.random.default_rng(0)
    found: list[Array] = []
    for n in ns:
        x = rng.standard_normal((DRAWS, n))
        without = np.stack([np.delete(x, i, axis=1).var(axis=1, ddof=1) for i in range(n)], axis=1)
        whole = x.var(axis=1, ddof=1, keepdims=True)
        pseudo = (n * np.log(whole) - (n - 1) * np.log(without)) / 2
        found += [pseudo.mean(axis=1), pseudo.var(axis=1, ddof=1) / n]
    return tuple(found)


def _jackknife_t(ns: tuple[int, int], effect: float) -> tuple[Array, Array]:
    a, square_a, b, square_b = _pseudo_logs(ns)
    total = square_a + square_b
    df = total**2 / (square_a**2 / (ns[0] - 1) + square_b**2 / (ns[1] - 1))
    return (a - b + effect) / np.sqrt(total), df


def _check(level: float, power: float) -> None:
    if not (0 < level < power < 1):
        raise ValueError(f"alpha {level}, power {power}; 0 < alpha < power < 1")
