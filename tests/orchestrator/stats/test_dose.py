"""Straight lines through doses against statsmodels' comparison of two models."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from orchestrator.stats.dose import dose_shape
from orchestrator.stats.records import State, Summary
from tests.orchestrator.stats.samples import numbers, scales, shifts

DOSES = [0.0, 0.1, 0.2, 0.5]


@pytest.mark.parametrize("sizes", [(5, 5, 5, 5), (3, 6, 2, 4), (1, 5, 1, 3)])
def test_lack_of_fit_is_that_of_the_free_means_against_the_line(sizes):
    rng = np.random.default_rng(sum(sizes))
    arms = [rng.normal(d**0.5, 0.3, n) for d, n in zip(DOSES, sizes, strict=True)]
    found = dose_shape(DOSES, [Summary.of(a) for a in arms])
    frame = pd.DataFrame({"y": np.concatenate(arms), "x": np.repeat(DOSES, sizes)})
    line, free = ols("y ~ x", frame).fit(), ols("y ~ C(x)", frame).fit()
    expected = anova_lm(line, free).iloc[1]
    assert (found.intercept, found.slope) == (
        pytest.approx(line.params["Intercept"]),
        pytest.approx(line.params["x"]),
    )
    assert found.f_lack_of_fit == pytest.approx(expected["F"])
    assert found.p_lack_of_fit == pytest.approx(expected["Pr(>F)"])
    assert found.df == (2, sum(sizes) - 4)
    assert found.r2_means == pytest.approx(line.ess / free.ess)


arms_of = st.lists(st.tuples(numbers, st.integers(2, 6)), min_size=4, max_size=4)


@given(arms_of, shifts, scales)
def test_units_do_not_change_the_shape(arms, shift, scale):
    here = dose_shape(DOSES, [Summary(n=n, mean=m, sd=0.4) for m, n in arms])
    there = dose_shape(
        [10 * d for d in DOSES],
        [Summary(n=n, mean=scale * m + shift, sd=scale * 0.4) for m, n in arms],
    )
    assert there.p_lack_of_fit == pytest.approx(here.p_lack_of_fit, rel=1e-5, abs=1e-12)
    assert there.slope == pytest.approx(here.slope * scale / 10, abs=1e-6)
    assert there.segment_slopes == pytest.approx(
        [s * scale / 10 for s in here.segment_slopes], abs=1e-6
    )
    assert 0 <= here.p_lack_of_fit <= 1
    assert here.r2_means is None or -1e-9 <= here.r2_means <= 1 + 1e-9


def test_a_perfect_line_leaves_nothing():
    found = dose_shape(DOSES, [Summary(n=5, mean=1 + 2 * d, sd=0.1) for d in DOSES])
    assert (found.intercept, found.slope) == (pytest.approx(1), pytest.approx(2))
    assert found.r2_means == pytest.approx(1)
    assert found.p_lack_of_fit == pytest.approx(1)
    assert found.segment_slopes == pytest.approx([2, 2, 2])


@pytest.mark.parametrize(
    ("arms", "state"),
    [
        ([Summary(n=5, mean=0.1, sd=0.1)], State.NOT_TESTABLE),
        ([Summary(n=5, mean=0.1, sd=0.1)] * 2, State.NOT_TESTABLE),
        ([Summary(n=5, mean=0.1, sd=None)] * 3, State.NOT_TESTABLE),
        ([Summary(n=1, mean=0.1, sd=None)] * 3, State.INSUFFICIENT_N),
        ([Summary(n=5, mean=0.1, sd=0.0)] * 3, State.ZERO_VARIANCE),
    ],
)
def test_degenerate_arms_have_slopes_but_no_test(arms, state):
    found = dose_shape(DOSES[: len(arms)], arms)
    assert (found.state, found.f_lack_of_fit, found.p_lack_of_fit) == (state, None, None)
    assert len(found.segment_slopes) == len(arms) - 1
    assert (found.slope is None) == (len(arms) < 2)


def test_equal_means_explain_nothing():
    found = dose_shape(DOSES, [Summary(n=5, mean=0.2, sd=0.1)] * 4)
    assert (found.r2_means, found.slope) == (None, pytest.approx(0))


def test_doses_rise():
    with pytest.raises(ValueError, match="do not rise"):
        dose_shape([0.1, 0.0], [Summary(n=5, mean=0.1, sd=0.1)] * 2)
