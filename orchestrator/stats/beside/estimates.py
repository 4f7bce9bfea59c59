"""Estimates beside the tests, for few seeds: never a verdict.

They start from a prior, so that their intervals hold the truth on average over what the prior
holds possible, and single ones more or less often.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from scipy import optimize, special

from orchestrator.stats.beside.designs import gauss
from orchestrator.stats.records import LEVEL, Array, Interval, check_level, finite

TAUS, MUS, WEIGHTS = 48, 61, 12
"""Nodes over the sd between behaviours, their mean, and each estimated variance."""
HALF_T_DF = 4.0
"""Of the prior of the sd between behaviours, as in Gelman (2006)."""
LEAST = 1e-7
"""Share of the posterior that a part may have to be left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunken:
    """The effect on one behaviour, as all behaviours together let it appear.

    Attributes:
        raw, se: What was measured.
        estimate: Posterior mean: between `raw` and the mean of all behaviours.
        interval: Of the true effect.
        above: Posterior probability that it lies above 0; that it lies below is 1 - above.
    """

    raw: float
    se: float
    estimate: float
    interval: Interval
    above: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """A normal model of effects that differ between behaviours.

    Attributes:
        mean, mean_interval, mean_above: Of the effect on behaviours of this sort.
        tau, tau_interval: Sd of the true effects between behaviours; tau is the posterior mean.
        effects: One a behaviour, in the order given.
        prior: What was assumed of tau, for people.
    """

    mean: float
    mean_interval: Interval
    mean_above: float
    tau: float
    tau_interval: Interval
    effects: tuple[Shrunken, ...]
    prior: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareEstimate:
    """A share of k in n, from Jeffreys's prior.

    Attributes:
        estimate: Posterior mean, (k + 1/2) / (n + 1).
        interval: Equal tails; begins at 0 for k = 0 and ends at 1 for k = n.
    """

    k: int
    n: int
    estimate: float
    interval: Interval


def hierarchy(
    effects: Sequence[float],
    ses: Sequence[float],
    dfs: Sequence[float] | None = None,
    level: float = LEVEL,
    *,
    tau_scale: float | None = None,
    flat: bool = False,
) -> Hierarchy:
    """Shrunken effects of two behaviours or more, by sums over a grid: no sampler, no chance.

    Args:
        effects: Estimated effect on each behaviour, e.g. differences of means.
        ses: Their standard errors, > 0.
        dfs: Degrees of freedom of the standard errors: an effect then follows t about the truth.
            None where they are known.
        level: Of the intervals.
        tau_scale: Of the half-t prior (4 df) of the sd between behaviours, in the effects' unit;
            None for the root mean square of effects and standard errors, which is a weak one.
        flat: A flat prior of that sd instead; from three behaviours on.

    Raises:
        ValueError: Too few behaviours, lists of unlike length, or a standard error that is not
            above 0.
    """
    check_level(level)
    y, s = finite(effects), finite(ses)
    if not len(y) == len(s) == len(dfs if dfs is not None else y):
        raise ValueError(f"{len(y)} effects, {len(s)} standard errors; each effect has one")
    if len(y) < (3 if flat else 2):
        raise ValueError(f"{len(y)} behaviours; a sd between behaviours needs {3 if flat else 2}")
    if s.min() <= 0 or (tau_scale is not None and not 0 < tau_scale < inf):
        raise ValueError(f"standard errors {s.tolist()}, scale {tau_scale}; they are above 0")
    scale = tau_scale or sqrt(float(np.mean(np.square(y) + np.square(s))))
    tau, mu, log_weight = _grid(y, s, scale, flat=flat)
    known = [None] * len(y) if dfs is None else dfs
    parts = [_parts(se, df) for se, df in zip(s.tolist(), known, strict=True)]
    logs = [_marginal(tau, mu, value, part) for value, part in zip(y, parts, strict=True)]
    posterior = log_weight + sum(found for _, found in logs)
    weight = np.exp(posterior - posterior.max())
    weight /= weight.sum()
    shrunken = []
    for i, (value, part) in enumerate(zip(y, parts, strict=True)):
        means, sds, share = _given(tau, mu, value, part, *logs[i])
        found = _Mixture(means, sds, weight[:, None] * share)
        shrunken.append(
            Shrunken(
                raw=float(value),
                se=float(s[i]),
                estimate=found.mean,
                interval=found.interval(level),
                above=1 - found.below(0.0),
            )
        )
    whole, spread = (_Mixture(x, np.zeros_like(x), weight) for x in (mu, tau))
    named = f"half-t with {HALF_T_DF:g} df and scale {scale:.3g}"
    return Hierarchy(
        mean=whole.mean,
        mean_interval=whole.interval(level),
        mean_above=1 - whole.below(0.0),
        tau=spread.mean,
        tau_interval=spread.interval(level),
        effects=tuple(shrunken),
        prior="flat sd between behaviors" if flat else f"sd between behaviors: {named}",
    )


def _grid(y: Array, s: Array, scale: float, *, flat: bool) -> tuple[Array, Array, Array]:
    """(tau, mu, log of prior times width) of every point; mu where it may lie given tau."""
    u = (np.arange(TAUS) + 0.5) / TAUS
    most = 10 * (float(np.ptp(y)) + float(s.max()) + (0.0 if flat else scale))
    tau, width = most * u**3, most * 3 * u**2 / TAUS  # dense near 0
    precision = 1 / (np.square(tau)[:, None] + np.square(s))
    centre = (precision @ y) / precision.sum(axis=1)
    unit = 1 / np.sqrt(precision.sum(axis=1))
    x = np.linspace(-4.5, 4.5, MUS)  # sinh reaches 45 standard errors
    mu = centre[:, None] + unit[:, None] * np.sinh(x)
    log_prior = 0.0 if flat else -(HALF_T_DF + 1) / 2 * np.log1p(np.square(tau / scale) / HALF_T_DF)
    log_width = np.log(width * unit)[:, None] + np.log(np.cosh(x))
    log_weight = log_width + np.reshape(log_prior, (-1, 1))
    return np.repeat(tau, MUS), mu.ravel(), log_weight.ravel()


def _parts(se: float, df: float | None) -> tuple[Array, Array]:
    """(variances, weights): t as a mixture of normal distributions of unlike variance."""
    if df is None:
        return np.array([se**2]), np.ones(1)
    nodes, weights = gauss(WEIGHTS)
    spread = special.chdtri(df, (1 - nodes) / 2) / df
    return np.asarray(se**2 / spread), np.asarray(weights / 2, dtype=np.float64)


def _marginal(
    tau: Array, mu: Array, value: float, part: tuple[Array, Array]
) -> tuple[Array, Array]:
    """(chance of a value by each part (G, J), log of their sum (G,)) at every grid point."""
    variances, weights = part
    total = np.square(tau)[:, None] + variances
    chances = weights * np.exp(-np.square(value - mu)[:, None] / total / 2) / np.sqrt(total)
    log_sum = np.log(chances.sum(axis=1) + 1e-300)
    return np.asarray(chances, dtype=np.float64), np.asarray(log_sum, dtype=np.float64)


def _given(
    tau: Array, mu: Array, value: float, part: tuple[Array, Array], chances: Array, log_sum: Array
) -> tuple[Array, Array, Array]:
    """(mean, sd, share) of the true effect given a grid point and a part, each (G, J)."""
    between = np.square(tau)[:, None]
    kept = between / (between + part[0])
    means = mu[:, None] + kept * (value - mu[:, None])
    return means, np.sqrt(kept * part[0]), chances / np.exp(log_sum)[:, None]


class _Mixture:
    """A weighted sum of normal distributions; an sd of 0 is a point."""

    def __init__(self, means: Array, sds: Array, weights: Array) -> None:
        kept = weights.ravel() > LEAST * weights.max()
        self._means, self._sds = means.ravel()[kept], sds.ravel()[kept]
        self._weights = weights.ravel()[kept] / weights.ravel()[kept].sum()

    @property
    def mean(self) -> float:
        return float(self._weights @ self._means)

    def below(self, limit: float) -> float:
        with np.errstate(divide="ignore", invalid="ignore"):
            z = (limit - self._means) / self._sds
        shares = np.where(self._sds > 0, special.ndtr(z), (self._means <= limit).astype(float))
        return float(self._weights @ shares)

    def interval(self, level: float) -> Interval:
        """Equal tails."""
        low = float((self._means - 9 * self._sds).min())
        high = float((self._means + 9 * self._sds).max())
        least = 1e-6 * (high - low)
        low, high = low - least, high + least  # a point may lie at either end
        ends = [
            float(optimize.brentq(lambda x, tail=tail: self.below(x) - tail, low, high, xtol=least))
            for tail in ((1 - level) / 2, (1 + level) / 2)
        ]
        return Interval(low=ends[0], high=ends[1], level=level)


def share(k: int, n: int, level: float = LEVEL) -> ShareEstimate:
    """Of `k` refusals in `n` answers of one model.

    Raises:
        ValueError: n is 0, or k is not between 0 and n.
    """
    check_level(level)
    if n < 1 or not 0 <= k <= n:
        raise ValueError(f"{k} of {n}; a share needs n >= 1 and 0 <= k <= n")
    a, b, tail = k + 0.5, n - k + 0.5, (1 - level) / 2
    low = float(special.betaincinv(a, b, tail)) if k else 0.0
    high = float(special.betaincinv(a, b, 1 - tail)) if k < n else 1.0
    return ShareEstimate(
        k=k, n=n, estimate=a / (a + b), interval=Interval(low=low, high=high, level=level)
    )
