"""Is a difference small enough? Without a margin chosen beforehand there is no answer."""

from dataclasses import dataclass
from math import isfinite

from orchestrator.stats.means import MeanTest, t_interval, t_p
from orchestrator.stats.records import (
    ALPHA,
    Alternative,
    Interval,
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
