"""The shape of a dose-response curve: a straight line, or not?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from orchestrator.stats.records import Array, State, Summary
from orchestrator.stats.trend import check_doses


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseShape:
    """A straight line through the means, and a test of what it leaves.

    Attributes:
        intercept, slope: Of least squares weighted by n; None below two doses.
        r2_means: Share of the means' variation that the line explains; nothing about single
            seeds. None where the means are all the same or the doses fewer than three.
        f_lack_of_fit, df, p_lack_of_fit: What the means deviate from the line, against what seeds
            deviate from their means. A large p does not show that the curve is straight.
        segment_slopes: From each dose to the next, per unit of dose.
    """

    state: State
    intercept: float | None
    slope: float | None
    r2_means: float | None
    f_lack_of_fit: float | None
    df: tuple[int, int]
    p_lack_of_fit: float | None
    segment_slopes: tuple[float, ...]


def dose_shape(doses: Sequence[float], summaries: Sequence[Summary]) -> DoseShape:
    """Of arms known by n, mean and sd; all are taken to have one variance.

    Raises:
        ValueError: Not one dose a summary, or doses that do not rise.
    """
    check_doses(doses, len(summaries))
    x, y = np.array(doses, dtype=np.float64), np.array([s.mean for s in summaries])
    n = np.array([s.n for s in summaries], dtype=np.float64)
    df = (len(x) - 2, int(n.sum()) - len(x))
    shape = _line(x, y, n, df)
    if shape.state is not State.OK or shape.slope is None or shape.intercept is None:
        return shape
    if any(s.n > 1 and s.sd is None for s in summaries):
        return replace(shape, state=State.NOT_TESTABLE)
    pure = sum((s.n - 1) * s.sd**2 for s in summaries if s.sd is not None)
    if df[1] < 1 or not pure:
        return replace(shape, state=State.ZERO_VARIANCE if df[1] > 0 else State.INSUFFICIENT_N)
    rest = y - shape.intercept - shape.slope * x
    f = float(n @ rest**2) / df[0] / (pure / df[1])
    return replace(shape, f_lack_of_fit=f, p_lack_of_fit=float(special.fdtrc(*df, f)))


def _line(x: Array, y: Array, n: Array, df: tuple[int, int]) -> DoseShape:
    """What needs no spread; a line through two points leaves nothing to test."""
    shape = DoseShape(
        state=State.NOT_TESTABLE,
        intercept=None,
        slope=None,
        r2_means=None,
        f_lack_of_fit=None,
        df=df,
        p_lack_of_fit=None,
        segment_slopes=tuple((np.diff(y) / np.diff(x)).tolist()),
    )
    if len(x) < 2:
        return shape
    across, up = x - np.average(x, weights=n), y - np.average(y, weights=n)
    slope = float((n * across) @ up / (n @ across**2))
    intercept = float(np.average(y, weights=n) - slope * np.average(x, weights=n))
    shape = replace(shape, intercept=intercept, slope=slope)
    if len(x) < 3:
        return shape
    total, rest = float(n @ up**2), float(n @ (up - slope * across) ** 2)
    return replace(shape, state=State.OK, r2_means=1 - rest / total if total else None)
