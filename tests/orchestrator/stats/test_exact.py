"""Exact tests against listing every arrangement with exact fractions, and against scipy."""

from fractions import Fraction
from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from orchestrator.stats.exact import (
    MAX_ARRANGEMENTS,
    ExactTest,
    min_page_p,
    min_permutation_p,
    min_sign_flip_p,
    permutation,
    sign_flip,
)
from orchestrator.stats.records import Alternative, State
from tests.orchestrator.stats.samples import MIRROR, alternatives, samples, scales

integers = st.integers(-9, 9)


def share(null: list[Fraction], observed: Fraction, alternative: Alternative) -> Fraction:
    above = Fraction(sum(x >= observed for x in null), len(null))
    below = Fraction(sum(x <= observed for x in null), len(null))
    both = min(Fraction(1), 2 * min(above, below))
    return {"greater": above, "less": below, "two-sided": both}[alternative]


@given(st.lists(integers, min_size=2, max_size=7).filter(any), alternatives)
def test_sign_flips_are_counted_as_by_hand(values, alternative):
    null = [
        sum(Fraction(s * v) for s, v in zip(signs, values, strict=True))
        for signs in product((1, -1), repeat=len(values))
    ]
    found = sign_flip([v / 10 for v in values], alternative)
    assert (found.state, found.arrangements) == (State.OK, len(null))
    assert found.p == pytest.approx(float(share(null, Fraction(sum(values)), alternative)))


@given(
    st.lists(integers, min_size=2, max_size=4),
    st.lists(integers, min_size=2, max_size=4),
    alternatives,
)
def test_splits_are_counted_as_by_hand(a, b, alternative):
    if len({*a, *b}) == 1:
        return
    places = range(len(a) + len(b))
    null = [Fraction(sum((a + b)[i] for i in chosen)) for chosen in combinations(places, len(a))]
    found = permutation([v / 10 for v in a], [v / 10 for v in b], alternative)
    assert (found.state, found.arrangements) == (State.OK, len(null))
    assert found.p == pytest.approx(float(share(null, Fraction(sum(a)), alternative)))


def mean_difference(x, y, axis):
    return np.mean(x, axis=axis) - np.mean(y, axis=axis)


@pytest.mark.parametrize("alternative", Alternative)
def test_exact_tests_agree_with_scipy(alternative):
    rng = np.random.default_rng(3)
    for _ in range(5):
        a, b = rng.normal(0.3, 1, 5), rng.normal(0, 1, 4)
        arguments = {"alternative": alternative.value, "n_resamples": np.inf, "vectorized": True}
        flips = stats.permutation_test((a,), np.mean, permutation_type="samples", **arguments)
        assert sign_flip(a, alternative).p == pytest.approx(flips.pvalue)
        splits = stats.permutation_test((a, b), mean_difference, **arguments)
        assert permutation(a, b, alternative).p == pytest.approx(splits.pvalue)


@given(samples(2, 8), alternatives, scales)
def test_sign_flips_obey_their_laws(values, alternative, scale):
    found = sign_flip(values, alternative)
    assert found.p_attainable_min - 1e-12 <= found.p <= 1
    mirrored = sign_flip([-v for v in values], MIRROR[alternative])
    assert mirrored.p == found.p
    assert sign_flip([scale * v for v in values], alternative).p == found.p
    assert sign_flip(values[::-1], alternative).p == found.p


@given(samples(1, 5), samples(2, 5), alternatives, scales)
def test_splits_obey_their_laws(a, b, alternative, scale):
    found = permutation(a, b, alternative)
    assert found.p_attainable_min - 1e-12 <= found.p <= 1
    assert permutation(b, a, MIRROR[alternative]).p == pytest.approx(found.p)
    moved = [[scale * v + 1.7 for v in x] for x in (a, b)]
    assert permutation(*moved, alternative).p == pytest.approx(found.p)


@pytest.mark.parametrize("n", range(2, 9))
def test_the_attainable_minimum_is_attained(n):
    for alternative in (Alternative.TWO_SIDED, Alternative.GREATER):
        flips = sign_flip([0.1 * (i + 1) for i in range(n)], alternative)
        assert flips.p == pytest.approx(min_sign_flip_p(n, alternative))
        high = [5 + 0.1 * i for i in range(n)]
        splits = permutation(high, [0.1, 0.25, 0.3], alternative)
        assert splits.p == pytest.approx(min_permutation_p(n, 3, alternative))


def test_five_seeds_cannot_reach_5_percent_and_six_can():
    assert min_sign_flip_p(5) > 0.05 > min_sign_flip_p(6)
    assert min_sign_flip_p(5, Alternative.GREATER) == 1 / 32
    assert min_permutation_p(3, 3) == 2 / comb(6, 3)
    assert min_sign_flip_p(1) == 1.0
    assert min_page_p(1, 3) == pytest.approx(1 / 6)


def nothing(found: ExactTest, state: State, least: float) -> bool:
    return (found.state, found.p, found.p_attainable_min) == (state, None, least)


def test_degenerate_samples_have_a_state_and_no_p():
    assert nothing(sign_flip([0.3]), State.INSUFFICIENT_N, 1.0)
    assert nothing(permutation([0.3], [0.1]), State.INSUFFICIENT_N, 1.0)
    assert nothing(sign_flip([0.0] * 4), State.ZERO_VARIANCE, 2 / 16)
    assert nothing(permutation([0.1 + 0.2] * 2, [0.3] * 2), State.ZERO_VARIANCE, 2 / 6)


def test_too_many_arrangements_are_not_counted():
    rng = np.random.default_rng(0)
    assert comb(20, 10) <= MAX_ARRANGEMENTS < comb(22, 11)
    assert permutation(rng.normal(size=10), rng.normal(size=10)).state is State.OK
    found = permutation(rng.normal(size=11), rng.normal(size=11))
    assert nothing(found, State.NOT_TESTABLE, 2 / comb(22, 11))
    assert sign_flip(rng.normal(size=17)).state is State.OK
    assert nothing(sign_flip(rng.normal(size=18)), State.NOT_TESTABLE, 2 / 2**18)
