"""A test of a paired mean that may be looked at after every seed, as often as one likes.

The e-value is the Bayes factor of the t statistic: a normal prior on the effect in sd (for a claim
with a direction its half), the right Haar prior on the sd, which makes it the same martingale under
every sd (Perez-Ortiz, Lardy, de Heide and Gruenwald 2024). The chance under no effect that it ever
reaches 1 / alpha is at most alpha (Ville's inequality), whatever makes one stop.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from math import exp, inf, log, sqrt
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import special

from orchestrator.stats.beside.designs import Aim
from orchestrator.stats.beside.sequential import DRAWS, Price, priced
from orchestrator.stats.records import (
    ALPHA,
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
)

PRIOR_SD = 1.0
"""Of the effect, in sd of the difference, where nobody names another."""
MOST_LOOKS = 64
"""That a price is drawn for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anytime:
    """The e-values of pairs in the order in which they came.

    Attributes:
        state: Why there is none, if so.
        n: Pairs.
        e: After all pairs. None unless the state is ok.
        largest: Of the e-values after 2, 3, ... pairs.
        p: 1 / largest, at most 1: valid however often it was looked at.
        stopped: Pairs after which 1 - level was first reached; None where it never was.
        interval: Of the true mean, two-sided, valid at every number of pairs at once; unbounded
            (infinite) while the pairs are too few.
    """

    state: State
    n: int
    e: float | None = None
    largest: float | None = None
    p: float | None = None
    stopped: int | None = None
    interval: Interval | None = None


def anytime(
    differences: Values,
    alternative: Alternative = Alternative.TWO_SIDED,
    level: float = LEVEL,
    prior_sd: float = PRIOR_SD,
) -> Anytime:
    """Of differences within pairs, in the order in which their seeds were added.

    Raises:
        ValueError: No value, one that is not finite, or a prior sd that is not above 0.
    """
    check_level(level)
    values = finite(differences)
    if not 0 < prior_sd < inf:
        raise ValueError(f"prior_sd is {prior_sd}; it is above 0, in sd of the difference")
    if len(values) < 2:
        return Anytime(state=State.INSUFFICIENT_N, n=len(values))
    ns, means, sds = _firsts(values)
    if not sds[-1]:
        return Anytime(state=State.ZERO_VARIANCE, n=len(values))
    some = sds > 0  # the first values may all be one
    ns, t = ns[some], means[some] / sds[some] * np.sqrt(ns[some])
    if alternative is Alternative.LESS:
        t = -t
    seen = _log_e(t, ns, prior_sd, directed=alternative is not Alternative.TWO_SIDED)
    reached, largest = ns[seen >= -log(1 - level)], float(seen.max())
    return Anytime(
        state=State.OK,
        n=len(values),
        e=_exp(float(seen[-1])),
        largest=_exp(largest),
        p=exp(-max(0.0, largest)),
        stopped=int(reached[0]) if len(reached) else None,
        interval=confidence_sequence(values, level, prior_sd),
    )


def _firsts(values: Array) -> tuple[NDArray[np.intp], Array, Array]:
    """(n, mean, sd) of the first 2, 3, ... values; an sd that is rounding only is 0."""
    ns = np.arange(2, len(values) + 1)
    used = np.arange(len(values)) < ns[:, None]
    means = np.where(used, values, 0.0).sum(axis=1) / ns
    squares = np.where(used, np.square(values - means[:, None]), 0.0).sum(axis=1)
    sds, sizes = np.sqrt(squares / (ns - 1)), np.maximum.accumulate(np.abs(values))[1:]
    return ns, means, np.where(sds > ROUNDING * sizes, sds, 0.0)


def log_e(
    values: Values,
    alternative: Alternative = Alternative.TWO_SIDED,
    prior_sd: float = PRIOR_SD,
) -> float | None:
    """Log of the e-value of one sample against a mean of 0; None without a spread."""
    sample = Summary.of(values)
    if not sample.sd:
        return None
    t = sample.mean / sample.sd * sqrt(sample.n)
    if alternative is Alternative.LESS:
        t = -t
    directed = alternative is not Alternative.TWO_SIDED
    return float(_log_e(np.array([t]), sample.n, prior_sd, directed=directed)[0])


def _log_e(t: Array, n: int | NDArray[np.intp], prior_sd: float, *, directed: bool) -> Array:
    """Closed form, as integrals over effect and sd can both be done.

    With x^2 = t^2 / (n - 1 + t^2) and k = 1 - x^2 n g / (1 + n g), where g is the prior's variance,
    it is k^(-n / 2) / sqrt(1 + n g); half a prior multiplies that by twice the chance, under the
    whole prior, of an effect above 0, which is a t distribution's with n degrees of freedom.
    """
    g = prior_sd**2
    square = np.square(t) / (n - 1 + np.square(t))
    kept = 1 - square * n * g / (1 + n * g)
    found = -n / 2 * np.log(kept) - np.log(1 + n * g) / 2
    if directed:
        x = np.sign(t) * np.sqrt(square)
        with np.errstate(divide="ignore"):  # far on the other side the chance, and e, is 0
            found = found + np.log(2 * special.stdtr(n, n * x / np.sqrt((1 / g + n) * kept)))
    return np.asarray(found)


def confidence_sequence(
    values: Values, level: float = LEVEL, prior_sd: float = PRIOR_SD, *, directed: bool = False
) -> Interval:
    """All means that the e-value does not reject; infinite where it rejects none.

    Args:
        values: One sample.
        level: Of the interval.
        prior_sd: As in `anytime`.
        directed: Whether each end comes of the test in its own direction, at (1 - level) / 2, as
            for a margin; else both of the two-sided one.
    """
    sample = Summary.of(values)
    half = _half_width(sample.n, sample.sd, level, prior_sd, directed=directed)
    return Interval(low=sample.mean - half, high=sample.mean + half, level=level)


def kept_interval(
    values: Values, level: float = LEVEL, prior_sd: float = PRIOR_SD, *, directed: bool = False
) -> Interval:
    """What the confidence sequences after 2, 3, ... values have in common: it goes with `p`.

    Of the two-sided test it leaves out 0 exactly where p is at most 1 - level. The last sequence
    where they have nothing in common.
    """
    ns, means, sds = _firsts(finite(values))
    halves = np.array(
        [
            _half_width(n, sd, level, prior_sd, directed=directed)
            for n, sd in zip(ns.tolist(), sds.tolist(), strict=True)
        ]
    )
    low, high = float((means - halves).max()), float((means + halves).min())
    if low > high:
        low, high = float(means[-1] - halves[-1]), float(means[-1] + halves[-1])
    return Interval(low=low, high=high, level=level)


def _half_width(
    n: int, sd: float | None, level: float, prior_sd: float, *, directed: bool
) -> float:
    """Of the confidence sequence after n values; infinite where it leaves nothing out."""
    alpha = (1 - level) / 2 if directed else 1 - level
    limit = _t_limit(n, alpha, prior_sd, directed=directed)
    return limit * sd / sqrt(n) if sd and limit < inf else inf


@lru_cache(maxsize=4096)
def _t_limit(n: int, alpha: float, prior_sd: float, *, directed: bool) -> float:
    """The t above which the e-value is at least 1 / alpha; infinite where none is."""
    g = prior_sd**2
    if not directed:
        kept = exp(-2 / n * (log(1 + n * g) / 2 - log(alpha)))
        square = (1 - kept) * (1 + n * g) / (n * g)
        return inf if square >= 1 else sqrt((n - 1) * square / (1 - square))
    low, high = 0.0, 1e6
    if _log_e(np.array([high]), n, prior_sd, directed=True)[0] < -log(alpha):
        return inf
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        reached = _log_e(np.array([middle]), n, prior_sd, directed=True)[0] >= -log(alpha)
        low, high = (low, middle) if reached else (middle, high)
    return high


@dataclass(frozen=True, slots=True, kw_only=True)
class AnytimeDesign:
    """Pairs that are looked at after each from the second on; effects in sd of the difference.

    Attributes:
        n: Pairs.
        aim: What is claimed; the effect of a claim within a margin is the margin.
        offset: For a margin: the true difference, positive where it helps non-inferiority.
        prior_sd: As in `anytime`.
        looks: Pairs at which one looks instead; empty for all, of many for `MOST_LOOKS` of them.
    """

    n: int
    aim: Aim = Aim.DIFFERS
    offset: float = 0.0
    prior_sd: float = PRIOR_SD
    looks: tuple[int, ...] = ()
    most: int = 500

    def at(self, n: int) -> Self:
        """The same with n pairs."""
        return replace(self, n=n)

    def power(self, effect: float, level: float) -> float:
        """By simulated normal differences."""
        return self.stops(effect, level)[0]

    def stops(self, effect: float, level: float) -> tuple[float, float]:
        """(chance to be decided in favour of the claim, mean number of pairs)."""
        every: Sequence[int] = range(2, self.n + 1)
        if self.n > MOST_LOOKS:  # the draws take seconds; more looks than these stop little earlier
            every = sorted({round(n) for n in np.geomspace(2, self.n, MOST_LOOKS)})
        ns = np.array(self.looks or every)
        if not len(ns):
            return 0.0, float(self.n)
        means, ses = _paths(tuple(ns.tolist()), self.n)
        directed = self.aim is not Aim.DIFFERS
        limits = np.array([_t_limit(int(n), level, self.prior_sd, directed=directed) for n in ns])

        def reached(centre: float, sign: int) -> Array:
            """The look at which each draw is decided; one more than all if never."""
            t = (centre + sign * means) / ses
            now = (t if directed else np.abs(t)) >= limits
            return np.where(now.any(axis=1), now.argmax(axis=1), len(ns))

        look = reached(effect + self.offset, 1)
        if self.aim is Aim.EQUIVALENT:
            look = np.maximum(look, reached(effect - self.offset, -1))
        return float((look < len(ns)).mean()), float(np.append(ns, self.n)[look].mean())


@lru_cache(maxsize=64)
def _paths(ns: tuple[int, ...], most: int) -> tuple[Array, Array]:
    """Mean and its standard error after each of these numbers of drawn differences."""
    noise = np.random.default_rng(0).standard_normal((DRAWS // 2, most))
    at = np.array(ns)
    sums, squares = (np.cumsum(v, axis=1)[:, at - 1] for v in (noise, np.square(noise)))
    return sums / at, np.sqrt((squares - np.square(sums) / at) / (at - 1) / at)


def price_anytime(
    most: int,
    alpha: float = ALPHA,
    prior_sd: float = PRIOR_SD,
    *,
    aim: Aim = Aim.DIFFERS,
    looks: Sequence[int] = (),
) -> Price | None:
    """What it costs to look after every pair from the second to `most`, or at `looks` only.

    None where so few pairs find no effect at all.
    """
    design = AnytimeDesign(n=most, aim=aim, prior_sd=prior_sd, looks=tuple(looks))
    return priced(partial(design.stops, level=alpha), most, alpha, aim)


def _exp(value: float) -> float:
    """Without an overflow: an e-value of e^700 says as much as any larger one."""
    return exp(min(value, 700.0))
