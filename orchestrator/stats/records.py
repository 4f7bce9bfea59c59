"""What all tests share: a sample in short, an interval, a state, a direction."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]
else:
    Array = Any  # a sweep file needs `Alternative`, and commands that read one start without numpy
Values: TypeAlias = Sequence[float] | Array

ROUNDING = 1e-12
"""Relative to the values: what differs by less differs by rounding only."""
ALPHA = 0.05
"""Level of a test where nobody names another."""
LEVEL = 1 - ALPHA
"""Of the interval that goes with it."""


class State(StrEnum):
    """Whether a test could be made."""

    OK = "ok"
    INSUFFICIENT_N = "insufficient_n"
    ZERO_VARIANCE = "zero_variance"
    NOT_TESTABLE = "not_testable"


class Alternative(StrEnum):
    """What is claimed of a - b."""

    TWO_SIDED = "two-sided"
    GREATER = "greater"
    LESS = "less"


class Spending(StrEnum):
    """How alpha is spent: late, or evenly."""

    OBRIEN_FLEMING = "obrien-fleming"
    POCOCK = "pocock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """From `low` to `high`, in the estimate's unit.

    Attributes:
        level: Share of repetitions in which such an interval holds the truth, e.g. `LEVEL`.
    """

    low: float
    high: float
    level: float

    def within(self, low: float, high: float) -> "Interval":
        """What of it lies within what is possible."""
        return Interval(low=max(low, self.low), high=min(high, self.high), level=self.level)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A sample in short.

    Attributes:
        n: How many values, at least 1.
        mean: Of the values, in their unit.
        sd: With n - 1 below the fraction bar, >= 0; None below two values or where unknown.
    """

    n: int
    mean: float
    sd: float | None

    def __post_init__(self) -> None:
        """Raises: ValueError: No sample has these numbers."""
        if self.n < 1:
            raise ValueError(f"n is {self.n}; a sample has at least one value")
        finite([self.mean])
        if self.sd is not None and not (self.n > 1 and 0 <= self.sd < inf):
            raise ValueError(f"sd is {self.sd} with n = {self.n}; it is >= 0, and None below n = 2")

    @classmethod
    def of(cls, values: Values) -> "Summary":
        """Of raw values; an sd that is rounding only becomes 0.

        Raises:
            ValueError: No value, or one that is not finite.
        """
        array = finite(values)
        spread = sd(array, scale=float(abs(array).max())) if len(array) > 1 else None
        return cls(n=len(array), mean=float(array.mean()), sd=spread)


def finite(values: Values | Sequence[Sequence[float]]) -> Array:
    """The values as an array of the same shape.

    Raises:
        ValueError: No value, or one that is not finite; None is not.
    """
    import numpy as np

    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        raise ValueError("no values; a statistic needs at least one")
    known = np.isfinite(array)
    if not known.all():
        first = np.argwhere(~known)[0]
        place = ", ".join(str(i) for i in first)
        raise ValueError(
            f"value [{place}] is {array[tuple(first)]}; leave out what was not measured"
        )
    return array


def sd(values: Array, scale: float) -> float:
    """Sample sd of at least two values; 0 where it is rounding only.

    Args:
        values: (n,).
        scale: Size of the numbers that the values were computed from.
    """
    found = float(values.std(ddof=1))
    return found if found > ROUNDING * scale else 0.0


def state_of(*samples: Summary) -> State:
    """Whether the samples have a spread to test against."""
    if min(s.n for s in samples) < 2:
        return State.INSUFFICIENT_N
    if any(s.sd is None for s in samples):
        return State.NOT_TESTABLE
    return State.OK if any(s.sd for s in samples) else State.ZERO_VARIANCE


def check_level(level: float) -> None:
    """Raises: ValueError: `level` is no share between 0 and 1."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it lies between 0 and 1, e.g. {LEVEL:g}")
