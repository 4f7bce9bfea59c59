"""Looking again at registered numbers of seeds: alpha spending after Lan and DeMets (1983).

At each look the p of the usual t test is held against that look's nominal level, so that the chance
under no effect to have stopped by then is what the spending function allows. The levels begin as
those of normal data with a known sd. With few seeds these are too generous (any-look error 0.056
for looks at 4, 6, 8 and 10), so that simulated t tests of normal differences correct them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise
from math import e, log, sqrt
from typing import Self

import numpy as np
from scipy import special

from orchestrator.stats.beside.designs import (
    LARGEST,
    TARGET,
    Aim,
    MeanDesign,
    fewest_seeds,
    gauss,
)
from orchestrator.stats.records import ALPHA, Array, Spending

GRID = 101
"""Nodes over the values of the statistic that go on; levels are right to five digits."""
FAR = 8.0
"""Standard deviations beyond which nothing is integrated."""
DRAWS = 4000
"""Simulated results for a price."""
NULL_DRAWS = 200_000
"""Simulated results without an effect; the any-look error is 0.05 to within 0.0005."""
ENOUGH = 100
"""Of them that must stop at a look before they correct its level."""


Stops = Callable[[float], tuple[float, float]]
"""Effect in sd -> (chance to stop in favour of the claim, mean number of seeds)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at the data.

    Attributes:
        n: Seeds (pairs) by then.
        share: n over the seeds of the last registered look.
        spent: Chance under no effect to have stopped here or before.
        level: What the p of this look's test must not exceed; two-sided where the claim is.
    """

    n: int
    share: float
    spent: float
    level: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What looking costs, for a paired t test with power 0.8.

    Attributes:
        effect: True difference that is found with that power, in sd of the difference; of a claim
            within a margin the margin, if both arms are the same.
        most: Seeds if it never stops early.
        expected: Mean number of seeds at that effect. expected_null: Under no effect; of
            non-inferiority, if a lies below b by the margin.
        fixed: Seeds that one look needs for the same effect, power and alpha.
        error: Chance to stop in favour of the claim under no effect, as simulated.
    """

    effect: float
    most: int
    expected: float
    expected_null: float
    fixed: int
    error: float


def looks(
    ns: Sequence[int],
    alpha: float = ALPHA,
    spending: Spending = Spending.OBRIEN_FLEMING,
    *,
    two_sided: bool = True,
    planned: int | None = None,
) -> tuple[Look, ...]:
    """The nominal level of every look.

    Args:
        ns: Seeds at each look, rising; those made so far are enough, later ones change nothing.
        alpha: Of all looks together.
        spending: How it is spent.
        two_sided: Whether the claim has no direction.
        planned: Seeds of the last registered look, where `ns` does not reach it.

    Raises:
        ValueError: Looks that do not rise, begin below 2 or go beyond `planned`; alpha outside
            (0, 1).
    """
    most = planned or (ns[-1] if ns else 0)
    if not ns or ns[0] < 2 or any(b <= a for a, b in pairwise(ns)):
        raise ValueError(f"looks at {list(ns)}; they rise, the first at 2 seeds or more")
    if ns[-1] > most:
        raise ValueError(f"a look at {ns[-1]} seeds; {most} are planned")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}; it lies between 0 and 1")
    return _looks(tuple(ns), most, alpha, spending, two_sided)


def any_look_p(
    ps: Sequence[float],
    ns: Sequence[int],
    spending: Spending = Spending.OBRIEN_FLEMING,
    *,
    two_sided: bool = True,
    planned: int | None = None,
) -> float:
    """One p of all looks so far: the smallest alpha at which one of them had stopped.

    It can be adjusted for a family like any other p, and is right to three digits.

    Args:
        ps: Of the usual test at each look, in order.
        ns: Seeds at each of these looks.
        spending: How alpha is spent.
        two_sided: Whether the claim, and with it every p, has no direction.
        planned: Seeds of the last registered look, where `ns` does not reach it.
    """
    if len(ps) != len(ns):
        raise ValueError(f"{len(ps)} p values, {len(ns)} looks; each look has one")
    low, high = 0.0, 1.0
    while high - low > 1e-3 * high and high > 1e-9:
        middle = (low + high) / 2
        made = looks(ns, middle, spending, two_sided=two_sided, planned=planned)
        stopped = any(p <= look.level for p, look in zip(ps, made, strict=True))
        low, high = (low, middle) if stopped else (middle, high)
    return high


def spent(spending: Spending, share: float, alpha: float) -> float:
    """Alpha of one side that is spent when `share` of the seeds are in."""
    if spending is Spending.POCOCK:
        return alpha * log(1 + (e - 1) * share)
    return 2 * float(special.ndtr(special.ndtri(alpha / 2) / sqrt(share)))


@lru_cache(maxsize=512)
def _looks(
    ns: tuple[int, ...], most: int, alpha: float, spending: Spending, two_sided: bool
) -> tuple[Look, ...]:
    """By recursive integration of the density of the sums that went on (Armitage et al. 1969)."""
    sides, found, before = (2 if two_sided else 1), [], 0.0
    nulls = _null_ps(ns, two_sided)
    stopped = np.zeros(NULL_DRAWS, dtype=bool)
    sums: Array = np.zeros(1)
    weights: Array = np.ones(1)  # density times node width
    for i, n in enumerate(ns):
        share = n / most
        total = sides * spent(spending, share, alpha / sides)
        sd = sqrt(n - (ns[i - 1] if i else 0))
        limit = _limit(sums, weights, sd, total - before, n, sides)
        level = sides * float(special.ndtr(-limit))
        more = round(total * NULL_DRAWS) - int(stopped.sum())
        if i and more >= ENOUGH:
            level = float(np.partition(nulls[i][~stopped], more - 1)[more - 1])
        stopped |= nulls[i] <= level
        found.append(Look(n=n, share=share, spent=total, level=level))
        # Sums that go on: up to the limit, and for one side all that lie below.
        bound = limit * sqrt(n)
        bottom = -bound if two_sided else -FAR * sqrt(n)
        nodes, width = gauss(GRID)
        at = bottom + (nodes + 1) / 2 * (bound - bottom)
        steps = (at[:, None] - sums[None, :]) / sd
        density = np.exp(-np.square(steps) / 2) @ weights / (sd * sqrt(2 * np.pi))
        sums, weights, before = at, density * width / 2 * (bound - bottom), total
    return tuple(found)


@lru_cache(maxsize=8)
def _null_ps(ns: tuple[int, ...], two_sided: bool) -> tuple[Array, ...]:
    """The p of the t test of each simulated result at each look, without an effect."""
    rng = np.random.default_rng(0)
    total, squares, before, found = np.zeros(NULL_DRAWS), np.zeros(NULL_DRAWS), 0, []
    for n in ns:
        more = n - before
        mean = rng.standard_normal(NULL_DRAWS) / sqrt(more)
        total, before = total + more * mean, n
        squares = squares + more * np.square(mean)
        if more > 1:
            squares = squares + rng.chisquare(more - 1, NULL_DRAWS)
        t = total / n / np.sqrt((squares - np.square(total) / n) / (n - 1) / n)
        tail = special.stdtr(n - 1, -np.abs(t)) * 2 if two_sided else special.stdtr(n - 1, -t)
        found.append(tail)
    return tuple(found)


def _limit(sums: Array, weights: Array, sd: float, share: float, n: int, sides: int) -> float:
    """The z beyond which, of what went on before, exactly `share` lies now."""
    low, high = 0.0 if sides == 2 else -FAR, 4 * FAR
    while high - low > 1e-10:
        middle = (low + high) / 2
        bound = middle * sqrt(n)
        beyond = weights @ special.ndtr((sums - bound) / sd)
        if sides == 2:
            beyond = beyond + weights @ special.ndtr((-sums - bound) / sd)
        low, high = (middle, high) if beyond > share else (low, middle)
    return high


@dataclass(frozen=True, slots=True, kw_only=True)
class LookDesign:
    """A paired t test at registered looks; effects are in sd of the difference.

    Attributes:
        ns: Seeds at each look.
        spending: How alpha is spent.
        aim: What is claimed; the effect of a claim within a margin is the margin.
        planned: Seeds of the last registered look, where `ns` does not reach it.
    """

    ns: tuple[int, ...]
    spending: Spending = Spending.OBRIEN_FLEMING
    aim: Aim = Aim.DIFFERS
    planned: int | None = None
    most: int = 1000

    def at(self, n: int) -> Self:
        """The looks moved in proportion, so that the last is at n seeds."""
        ns = sorted({max(2, round(look * n / self.ns[-1])) for look in self.ns})
        planned = self.planned and round(self.planned * n / self.ns[-1])
        return replace(self, ns=tuple(ns), planned=planned)

    def power(self, effect: float, level: float) -> float:
        """By simulated normal differences."""
        return self.stops(effect, level)[0]

    def stops(self, effect: float, level: float) -> tuple[float, float]:
        """(chance to stop in favour of the claim, mean number of seeds)."""
        two_sided = self.aim is Aim.DIFFERS
        noise, used = _noise(DRAWS, self.ns[-1]), np.full(DRAWS, self.ns[-1])
        found = np.zeros(DRAWS, dtype=bool)
        made = looks(self.ns, level, self.spending, two_sided=two_sided, planned=self.planned)
        for look in made:
            limit = -float(special.stdtrit(look.n - 1, look.level / 2 if two_sided else look.level))
            x = noise[:, : look.n]
            mean, se = x.mean(axis=1), x.std(axis=1, ddof=1) / sqrt(look.n)
            t = (effect + mean) / se
            now = (t >= limit) | (two_sided & (t <= -limit))
            if self.aim is Aim.EQUIVALENT:
                now &= (effect - mean) / se >= limit
            used[now & ~found] = look.n
            found |= now
        return float(found.mean()), float(used.mean())


@lru_cache(maxsize=8)
def _noise(draws: int, n: int) -> Array:
    return np.random.default_rng(0).standard_normal((draws, n))


def price(
    ns: Sequence[int],
    alpha: float = ALPHA,
    spending: Spending = Spending.OBRIEN_FLEMING,
    *,
    aim: Aim = Aim.DIFFERS,
) -> Price | None:
    """What these looks cost beside one look, by simulated normal differences.

    None where so few seeds find no effect at all.
    """
    design = LookDesign(ns=tuple(ns), spending=spending, aim=aim)
    return priced(partial(design.stops, level=alpha), ns[-1], alpha, aim)


def priced(stops: Stops, most: int, alpha: float, aim: Aim, power: float = TARGET) -> Price | None:
    """The price of a rule, of which `stops` gives power and mean seeds at an effect."""
    low, high = 0.0, LARGEST
    if stops(high)[0] < power:
        return None
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if stops(middle)[0] >= power else (middle, high)
    fixed = fewest_seeds(MeanDesign(ns=(2,), sds=(1.0,), aim=aim), high, alpha, power)
    error, null = stops(0.0)
    return Price(
        effect=high,
        most=most,
        expected=stops(high)[1],
        expected_null=null,
        fixed=fixed or most,
        error=error,
    )
