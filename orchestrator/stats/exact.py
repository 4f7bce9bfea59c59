"""Tests that count arrangements instead of assuming a distribution, and how low their p can go."""

from dataclasses import dataclass
from itertools import chain, combinations
from math import comb, factorial

import numpy as np

from orchestrator.stats.records import ROUNDING, Alternative, Array, State, Values, finite

MAX_ARRANGEMENTS = 200_000
"""Enough for 17 pairs, or for 10 values against 10; counting them takes under a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactTest:
    """Share of arrangements at least as extreme as the observed one.

    Attributes:
        p: None unless the state is ok.
        p_attainable_min: Smallest p that any data of this size can have; where it exceeds alpha,
            the test cannot find anything.
        arrangements: How many are equally probable under no effect.
    """

    state: State
    p: float | None
    p_attainable_min: float
    arrangements: int


def sign_flip(differences: Values, alternative: Alternative = Alternative.TWO_SIDED) -> ExactTest:
    """Sum of paired differences against every choice of their signs.

    Assumes that, under no effect, each difference is distributed symmetrically about 0. A
    two-sided p is twice the smaller one-sided one.
    """
    values = finite(differences)
    count, least = 2 ** len(values), min_sign_flip_p(len(values), alternative)
    size = np.abs(values)
    state = _state(count, constant=not size.any())
    if state is not State.OK:
        return ExactTest(state=state, p=None, p_attainable_min=least, arrangements=count)
    sums = np.zeros(1)
    for value in size:
        sums = np.concatenate([sums + value, sums - value])
    p = _p(sums, float(values.sum()), ROUNDING * float(size.sum()), alternative)
    return ExactTest(state=state, p=p, p_attainable_min=least, arrangements=count)


def permutation(
    a: Values, b: Values, alternative: Alternative = Alternative.TWO_SIDED
) -> ExactTest:
    """Difference of means against every split of all values into groups of these sizes.

    Assumes that, under no effect, both arms have one distribution, their spread included. A
    two-sided p is twice the smaller one-sided one.
    """
    left, right = finite(a), finite(b)
    both = np.concatenate([left, right])
    count = comb(len(both), len(left))
    least = min_permutation_p(len(left), len(right), alternative)
    slack = ROUNDING * float(np.abs(both).sum())
    state = _state(count, constant=bool(np.ptp(both) <= slack))
    if state is not State.OK:
        return ExactTest(state=state, p=None, p_attainable_min=least, arrangements=count)
    splits = np.fromiter(chain.from_iterable(combinations(both.tolist(), len(left))), np.float64)
    sums = splits.reshape(count, len(left)).sum(axis=1)  # rises with the difference of means
    p = _p(sums, float(left.sum()), slack, alternative)
    return ExactTest(state=state, p=p, p_attainable_min=least, arrangements=count)


def min_sign_flip_p(n: int, alternative: Alternative = Alternative.TWO_SIDED) -> float:
    """Smallest p of `sign_flip` with n differences."""
    return _least(2**n, alternative)


def min_permutation_p(
    n_a: int, n_b: int, alternative: Alternative = Alternative.TWO_SIDED
) -> float:
    """Smallest p of `permutation` with these many values."""
    return _least(comb(n_a + n_b, n_a), alternative)


def min_page_p(n: int, k: int) -> float:
    """Smallest p of `trend.page` with n seeds and k doses; it has one direction."""
    return float(factorial(k)) ** -n


def min_orders_p(n: int, alternative: Alternative = Alternative.TWO_SIDED) -> float:
    """Smallest p of `rank.rank_correlation` with n pairs."""
    return _least(factorial(n), alternative)


def _least(arrangements: int, alternative: Alternative) -> float:
    return min(1.0, (2 if alternative is Alternative.TWO_SIDED else 1) / arrangements)


def _state(arrangements: int, *, constant: bool) -> State:
    """Two arrangements cannot tell anything; too many cannot be counted."""
    if arrangements <= 2:
        return State.INSUFFICIENT_N
    if constant:
        return State.ZERO_VARIANCE
    return State.OK if arrangements <= MAX_ARRANGEMENTS else State.NOT_TESTABLE


def _p(null: Array, observed: float, slack: float, alternative: Alternative) -> float:
    """Share of `null` at or beyond `observed`; sums that differ by `slack` are ties."""
    greater = float(np.mean(null >= observed - slack))
    less = float(np.mean(null <= observed + slack))
    match alternative:
        case Alternative.GREATER:
            return greater
        case Alternative.LESS:
            return less
        case Alternative.TWO_SIDED:
            return min(1.0, 2 * min(greater, less))
