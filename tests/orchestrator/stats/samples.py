"""Hypothesis strategies of samples like those of real sweeps: a few numbers with a spread."""

import numpy as np
from hypothesis import strategies as st

from orchestrator.stats.records import Alternative

numbers = st.floats(-3, 3).map(lambda x: round(x, 3))
"""Like nats per token."""
levels = st.sampled_from([0.8, 0.9, 0.95, 0.99])
alternatives = st.sampled_from(list(Alternative))
MIRROR = {
    Alternative.TWO_SIDED: Alternative.TWO_SIDED,
    Alternative.GREATER: Alternative.LESS,
    Alternative.LESS: Alternative.GREATER,
}
shifts = st.floats(-10, 10).map(lambda x: round(x, 2))
scales = st.floats(0.01, 100).map(lambda x: round(x, 2))


def samples(least: int = 2, most: int = 9) -> st.SearchStrategy[list[float]]:
    """Values that are not all the same."""
    return st.lists(numbers, min_size=least, max_size=most).filter(lambda v: np.ptp(v) > 0)


def pairs(least: int = 3, most: int = 9) -> st.SearchStrategy[tuple[list[float], list[float]]]:
    """Two samples of one size whose differences are not all the same."""
    rows = st.lists(st.tuples(numbers, numbers), min_size=least, max_size=most)
    return rows.map(lambda r: tuple(map(list, zip(*r, strict=True)))).filter(
        lambda ab: np.ptp(np.subtract(*ab)) > 1e-6
    )


def tables(rows: int = 6, columns: int = 6) -> st.SearchStrategy[np.ndarray]:
    """Arrays (seeds, probes): at least two seeds and three probes, values not all the same."""
    shape = st.tuples(st.integers(2, rows), st.integers(3, columns))
    return shape.flatmap(
        lambda s: st.lists(numbers, min_size=s[0] * s[1], max_size=s[0] * s[1]).map(
            lambda v: np.array(v).reshape(s)
        )
    ).filter(lambda t: np.ptp(t) > 0)


def distinct(least: int = 1, most: int = 5) -> st.SearchStrategy[list[float]]:
    return st.lists(numbers, min_size=least, max_size=most, unique=True)
