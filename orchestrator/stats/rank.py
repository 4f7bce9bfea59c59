"""Do two quantities rank the same things alike?"""

from dataclasses import dataclass
from itertools import permutations
from math import atanh, sqrt, tanh

import numpy as np
from scipy import special, stats

from orchestrator.stats.exact import min_orders_p
from orchestrator.stats.means import t_p
from orchestrator.stats.records import (
    LEVEL,
    ROUNDING,
    Alternative,
    Array,
    Interval,
    State,
    Values,
    check_level,
    finite,
)

EXACT_N = 7
"""Most pairs whose orders are all listed, 5040."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankCorrelation:
    """Spearman's correlation.

    Attributes:
        n: Pairs.
        rho: None where one side is constant or the pairs are fewer than four.
        p: Two-sided; over all orders up to seven pairs, by t above.
        interval: Of Fisher's z with the variance of Bonett and Wright (2000), rough at few pairs;
            None where rho is 1 or -1, whose z is not finite.
    """

    state: State
    n: int
    rho: float | None
    p: float | None
    interval: Interval | None


def rank_correlation(x: Values, y: Values, level: float = LEVEL) -> RankCorrelation:
    """Of pairs; ties share their mean rank.

    Raises:
        ValueError: Not as many values in x as in y, none at all, or one that is not finite.
    """
    check_level(level)
    a, b = stats.rankdata(finite(x)), stats.rankdata(finite(y))
    n = len(a)
    if n != len(b):
        raise ValueError(f"{n} values in x, {len(b)} in y; pairs need as many in both")
    if n < 4 or not (np.ptp(a) and np.ptp(b)):
        state = State.INSUFFICIENT_N if n < 4 else State.ZERO_VARIANCE
        return RankCorrelation(state=state, n=n, rho=None, p=None, interval=None)
    rho = float(np.corrcoef(a, b)[0, 1])
    rho = float(np.clip(round(rho, 12), -1, 1)) if 1 - abs(rho) < ROUNDING else rho
    p = _exact_p(a, b) if n <= EXACT_N else _t_p(rho, n)
    return RankCorrelation(state=State.OK, n=n, rho=rho, p=p, interval=_interval(rho, n, level))


def _exact_p(a: Array, b: Array) -> float:
    """Share of orders of b with a correlation at least as far from 0."""
    centred = a - a.mean()
    null = np.abs(np.array(list(permutations(b.tolist()))) @ centred)
    return float(np.mean(null >= abs(b @ centred) - ROUNDING * len(a) ** 3))


def _t_p(rho: float, n: int) -> float:
    """Never below what all orders could give, 2 / n!."""
    least = min_orders_p(n)
    if abs(rho) == 1:
        return least
    return max(least, t_p(rho * sqrt((n - 2) / (1 - rho**2)), n - 2, Alternative.TWO_SIDED))


def _interval(rho: float, n: int, level: float) -> Interval | None:
    if abs(rho) == 1:
        return None
    half = float(special.ndtri((1 + level) / 2)) * sqrt((1 + rho**2 / 2) / (n - 3))
    return Interval(low=tanh(atanh(rho) - half), high=tanh(atanh(rho) + half), level=level)
