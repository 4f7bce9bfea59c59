"""Summaries of pair scores. Pure numpy; a number that does not exist is None.

Rank statistics are written out, to the bits of `scipy.stats`: its import alone would take longer
than a small cell.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.contract.cell import ProbeScoreRow, ScoreRow

ECE_BINS = 10


def summarise(behavior: str, split: str, rows: Sequence[ProbeScoreRow]) -> ScoreRow:
    """One row from the pairs of one behaviour and split, excluded pairs included."""
    valid = [r for r in rows if r.status == "ok"]
    excluded = Counter(r.status for r in rows if r.status != "ok")
    positive = _column([r.logprob_positive_mean for r in valid])
    negative = _column([r.logprob_negative_mean for r in valid])
    gaps = _column([r.gap for r in valid])
    completion = _column([r.gap_completion for r in valid if r.gap_completion is not None])
    tokens = _column([((r.n_tokens_positive or 0) + (r.n_tokens_negative or 0)) / 2 for r in valid])
    confidence = np.array([logistic(x) for x in (gaps * tokens).tolist()])
    return ScoreRow(
        behavior=behavior,
        split=split,
        n_pairs=len(rows),
        n_valid=len(valid),
        n_excluded=dict(excluded),
        rho=mean(gaps),
        rho_sd=float(gaps.std(ddof=1)) if len(gaps) > 1 else None,
        rho_completion=mean(completion),
        n_completion=len(completion),
        accuracy=mean(np.where(gaps == 0, 0.5, (gaps > 0).astype(float))),
        auc=auc(positive, negative),
        spearman=spearman(positive, negative),
        ece=calibration_error(confidence),
        brier=mean((1 - confidence) ** 2),
        status="empty" if not valid else "partial" if excluded else "ok",
    )


def mean(values: NDArray[np.float64]) -> float | None:
    """Arithmetic mean; None of nothing."""
    return float(values.mean()) if len(values) else None


def logistic(x: float) -> float:
    """1 / (1 + exp(-x)); by libm, as in scipy, since numpy's own exp rounds otherwise."""
    try:
        return 1 / (1 + math.exp(-x))
    except OverflowError:
        return 0.0


def auc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float | None:
    """Chance that a random positive value exceeds a random negative one; ties count one half."""
    if not len(positive) or not len(negative):
        return None
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left").sum()
    not_above = np.searchsorted(ordered, positive, "right").sum()
    return float((below + not_above) / 2 / (len(positive) * len(negative)))


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    """Rank correlation; None below three pairs or where one side is constant."""
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    ranks = []
    for values in (a, b):
        _, place, ties = np.unique(values, return_inverse=True, return_counts=True)
        last = np.cumsum(ties)
        ranks.append(((2 * last - ties + 1) / 2)[place])  # equal values share their mean rank
    matrix: Any = np.corrcoef(np.column_stack(ranks), rowvar=False)
    return float(matrix[1, 0])


def calibration_error(confidence: NDArray[np.float64]) -> float | None:
    """Expected calibration error of "the first text is the desired one", which always holds.

    A pair's prediction is right when its confidence exceeds one half, and is as sure as
    max(c, 1 - c); ten bins of equal width over [0.5, 1], weighted by their share of the pairs.
    """
    if not len(confidence):
        return None
    sure = np.maximum(confidence, 1 - confidence)
    right = confidence > 0.5
    bins = np.minimum(((sure - 0.5) * 2 * ECE_BINS).astype(int), ECE_BINS - 1)
    error = 0.0
    for b in np.unique(bins):
        inside = bins == b
        error += inside.mean() * abs(right[inside].mean() - sure[inside].mean())
    return float(error)


def _column(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)
