"""Standardised effect sizes. The difference in nats per token comes first; these come second."""

from dataclasses import dataclass
from math import exp, isnan, log, sqrt

from scipy import special

from orchestrator.stats.means import pooled_sd
from orchestrator.stats.records import (
    LEVEL,
    State,
    Summary,
    Values,
    check_level,
    state_of,
)

FAR = 300.0
"""Above this |t|, scipy's noncentral t loses digits or hangs, and its limit is as good."""
FARTHEST = 1e4
"""Bounds the noncentrality of any |t| up to `FAR` and any level that a float can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectSize:
    """A mean difference in standard deviations, small-sample bias removed.

    Attributes:
        estimate, low, high: None unless the state is ok. All three are multiplied by the bias
            factor, as is usual; the interval, exact for normal values, therefore holds the true
            effect times that factor. Divided by `bias_factor(df)` it is the true effect's own,
            which at three seeds an arm is a quarter wider.
        level: Of the interval.
    """

    state: State
    estimate: float | None
    low: float | None
    high: float | None
    level: float


def cohens_d(a: Summary, b: Summary) -> float | None:
    """Difference of means in pooled sd, biased upwards at few seeds; as published tables have it.

    None where there is no spread.
    """
    return (a.mean - b.mean) / pooled_sd(a, b) if state_of(a, b) is State.OK else None


def hedges_g(a: Summary, b: Summary, level: float = LEVEL) -> EffectSize:
    """`cohens_d` without its bias, with the interval of the noncentral t distribution."""
    d = cohens_d(a, b)
    if d is None:
        return _none(state_of(a, b), level)
    return _effect(d, a.n + b.n - 2, sqrt(1 / a.n + 1 / b.n), level)


def g_z(differences: Values, level: float = LEVEL) -> EffectSize:
    """Mean of paired differences in their own sd, bias removed; not comparable with `hedges_g`."""
    sample = Summary.of(differences)
    state = state_of(sample)
    if state is not State.OK or not sample.sd:
        return _none(state, level)
    return _effect(sample.mean / sample.sd, sample.n - 1, sqrt(1 / sample.n), level)


def bias_factor(df: float) -> float:
    """Mean of the true d over that of the estimated one, exact for normal values."""
    return exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2) - log(df / 2) / 2)


def _effect(d: float, df: float, unit: float, level: float) -> EffectSize:
    """Of d = t * unit; where df is 1 the bias has no bound, so that nothing can be said."""
    check_level(level)
    if df < 2:
        return _none(State.INSUFFICIENT_N, level)
    factor, tail = bias_factor(df), (1 - level) / 2
    low, high = (factor * unit * _noncentrality(df, q, d / unit) for q in (1 - tail, tail))
    return EffectSize(state=State.OK, estimate=factor * d, low=low, high=high, level=level)


def _noncentrality(df: float, share: float, t: float) -> float:
    """Noncentrality under which `share` of all t lie below the observed one."""
    if t < 0:
        return -_noncentrality(df, 1 - share, -t)
    if t > FAR:
        return t * sqrt(special.chdtri(df, share) / df)
    # Halved to the last digit: near t = 0, scipy's nctdtrinc returns the answer for t = 0.
    low, high = -FARTHEST, FARTHEST
    while low < (middle := (low + high) / 2) < high:
        found = float(special.nctdtr(df, middle, t))
        if isnan(found):  # too far out for scipy: none lie below, or all do
            found = 0.0 if middle > t else 1.0
        low, high = (middle, high) if found >= share else (low, middle)
    return high


def _none(state: State, level: float) -> EffectSize:
    return EffectSize(state=state, estimate=None, low=None, high=None, level=level)
