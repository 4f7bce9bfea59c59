"""Two one-sided tests against statsmodels, and against the interval they belong to."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from statsmodels.stats.weightstats import ttost_ind, ttost_paired

from orchestrator.stats.means import equivalence, paired, student, welch
from orchestrator.stats.records import Summary
from tests.orchestrator.stats.samples import pairs, samples

deltas = st.floats(0.01, 5).map(lambda x: round(x, 2))


@given(pairs(), deltas)
def test_paired_tost_agrees_with_statsmodels(ab, delta):
    found = equivalence(paired(*ab), delta)
    p, (_, lower, _), (_, upper, _) = ttost_paired(np.array(ab[0]), np.array(ab[1]), -delta, delta)
    assert found.p_tost == pytest.approx(p, rel=1e-6, abs=1e-12)
    assert (found.p_noninferior, found.p_upper) == (
        pytest.approx(lower, rel=1e-6, abs=1e-12),
        pytest.approx(upper, rel=1e-6, abs=1e-12),
    )


@given(samples(3), samples(3), deltas)
def test_unpaired_tost_agrees_with_statsmodels(a, b, delta):
    for test, usevar in ((welch, "unequal"), (student, "pooled")):
        found = equivalence(test(Summary.of(a), Summary.of(b)), delta)
        p, _, _ = ttost_ind(a, b, -delta, delta, usevar=usevar)
        assert found.p_tost == pytest.approx(p, rel=1e-6, abs=1e-12)


@given(pairs(), deltas)
def test_the_test_passes_exactly_where_the_interval_is_within_the_margin(ab, delta):
    found = equivalence(paired(*ab), delta)
    assume(abs(found.p_tost - 0.05) > 1e-9)
    within = -delta < found.interval.low and found.interval.high < delta
    assert (found.p_tost < 0.05) == within
    assert found.p_tost == max(found.p_noninferior, found.p_upper)


@given(pairs(), deltas)
def test_swapping_the_arms_swaps_the_sides_and_a_wider_margin_is_easier(ab, delta):
    here, there = equivalence(paired(*ab), delta), equivalence(paired(*ab[::-1]), delta)
    assert here.p_noninferior == pytest.approx(there.p_upper)
    wider = equivalence(paired(*ab), 2 * delta)
    assert wider.p_tost <= here.p_tost
    assert wider.p_noninferior <= here.p_noninferior


def test_a_difference_without_a_test_is_not_equivalent_to_anything():
    found = equivalence(paired([0.5], [0.5]), 0.1)
    assert {found.p_noninferior, found.p_upper, found.p_tost, found.interval} == {None}
    flat = equivalence(paired([0.5] * 3, [0.5] * 3), 0.1)
    assert flat.p_tost is None


@pytest.mark.parametrize("delta", [0.0, -0.1, math.nan, math.inf])
def test_a_margin_is_above_0(delta):
    with pytest.raises(ValueError, match="delta"):
        equivalence(paired([0.1, 0.5], [0.2, 0.1]), delta)
