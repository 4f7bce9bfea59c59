"""Samples that no statistic may be made of, and what a sample in short keeps."""

import math

import numpy as np
import pytest
from hypothesis import given

from orchestrator.stats.means import one_sample, paired
from orchestrator.stats.records import State, Summary, check_level, finite, state_of
from tests.orchestrator.stats.samples import samples, scales


@given(samples())
def test_a_summary_has_the_sample_sd(values):
    found = Summary.of(values)
    mean = math.fsum(values) / len(values)
    squares = math.fsum((v - mean) ** 2 for v in values)
    assert (found.n, found.mean) == (len(values), pytest.approx(mean, abs=1e-12))
    assert found.sd == pytest.approx(math.sqrt(squares / (len(values) - 1)))


def test_one_value_has_a_mean_but_no_sd():
    assert Summary.of([0.25]) == Summary(n=1, mean=0.25, sd=None)


@given(scales)
def test_equal_values_have_no_spread_whatever_rounding_says(scale):
    assert Summary.of([0.1 * scale] * 7).sd == 0.0
    assert Summary.of([0.3 * scale, (0.1 + 0.2) * scale, 0.3 * scale]).sd == 0.0
    differences = paired([0.3 * scale, 0.7 * scale, 1.1 * scale], [0.0, 0.4 * scale, 0.8 * scale])
    assert differences.state is State.ZERO_VARIANCE


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_refused_by_place_and_name(bad):
    with pytest.raises(ValueError, match=rf"value \[1\] is {bad}"):
        Summary.of([0.5, bad, 0.7])
    with pytest.raises(ValueError, match=rf"value \[0, 1\] is {bad}"):
        finite([[0.5, bad], [0.7, bad]])
    with pytest.raises(ValueError, match=str(bad)):
        Summary(n=3, mean=bad, sd=0.1)
    with pytest.raises(ValueError, match=str(bad)):
        Summary(n=3, mean=0.1, sd=bad)


def test_none_is_not_taken_for_0():
    with pytest.raises(ValueError, match="nan"):
        one_sample([0.5, None, 0.7])


@pytest.mark.parametrize("empty", [[], np.array([]), [[]]])
def test_nothing_is_refused(empty):
    with pytest.raises(ValueError, match="no values"):
        finite(empty)


@pytest.mark.parametrize(("n", "sd"), [(0, None), (1, 0.1), (3, -0.1)])
def test_no_sample_has_such_a_summary(n, sd):
    with pytest.raises(ValueError, match=f"{n if n < 1 else sd}"):
        Summary(n=n, mean=0.0, sd=sd)


def test_the_state_tells_why_there_is_no_test():
    spread, flat = Summary(n=3, mean=1.0, sd=0.1), Summary(n=3, mean=1.0, sd=0.0)
    one, unprinted = Summary(n=1, mean=1.0, sd=None), Summary(n=5, mean=1.0, sd=None)
    assert state_of(spread, flat) is State.OK
    assert state_of(flat, flat) is State.ZERO_VARIANCE
    assert state_of(spread, one) is State.INSUFFICIENT_N
    assert state_of(spread, unprinted) is State.NOT_TESTABLE


@pytest.mark.parametrize("level", [0.0, 1.0, 95, math.nan])
def test_a_level_is_a_share(level):
    with pytest.raises(ValueError, match="level"):
        check_level(level)
