"""p values of a family, adjusted for its size. None stays None and is no member of the family."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from orchestrator.stats.records import Array


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Bounds the chance of any false finding in the family, whatever the dependence."""
    return _adjusted(ps, _holm)


def benjamini_hochberg(ps: Sequence[float | None]) -> list[float | None]:
    """Bounds the expected share of false findings among the findings; for exploration."""
    return _adjusted(ps, stats.false_discovery_control)


def _holm(ps: Array) -> Array:
    order = np.argsort(ps)
    steps = np.maximum.accumulate(ps[order] * np.arange(len(ps), 0, -1))
    adjusted = np.empty_like(ps)
    adjusted[order] = np.minimum(1.0, steps)
    return adjusted


def _adjusted(ps: Sequence[float | None], adjust: Callable[[Array], Array]) -> list[float | None]:
    family = np.array([p for p in ps if p is not None], dtype=np.float64)
    if not ((family >= 0) & (family <= 1)).all():
        raise ValueError(f"p values {family.tolist()}; each lies between 0 and 1")
    found = iter(adjust(family).tolist())
    return [None if p is None else next(found) for p in ps]
