"""Seeds by probes against statsmodels' analysis of variance, and by its laws."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from orchestrator.stats.crossed import crossed, mean_squares
from orchestrator.stats.means import equivalence, one_sample
from orchestrator.stats.records import Alternative, State
from tests.orchestrator.stats.samples import (
    MIRROR,
    alternatives,
    levels,
    scales,
    shifts,
    tables,
)


@pytest.mark.parametrize("shape", [(2, 2), (3, 7), (6, 25)])
def test_mean_squares_are_those_of_statsmodels(shape):
    table = np.random.default_rng(sum(shape)).normal(size=shape)
    rows, columns = np.indices(shape)
    frame = pd.DataFrame({"y": table.ravel(), "s": rows.ravel(), "p": columns.ravel()})
    expected = anova_lm(ols("y ~ C(s) + C(p)", frame).fit())["sum_sq"] / [
        shape[0] - 1,
        shape[1] - 1,
        (shape[0] - 1) * (shape[1] - 1),
    ]
    assert list(mean_squares(table)) == pytest.approx(expected.to_list())


@given(tables(), alternatives, levels)
def test_each_population_has_its_own_one_sample_interval(table, alternative, level):
    found = crossed(table, alternative, level)
    if found.state is State.ZERO_VARIANCE:
        return
    by_seed = one_sample(table.mean(axis=1), level=level)
    by_probe = one_sample(table.mean(axis=0), level=level)
    for mine, other in ((found.seeds, by_seed.interval), (found.probes, by_probe.interval)):
        if other is None:
            assert mine is None
        else:
            assert (mine.low, mine.high) == (pytest.approx(other.low), pytest.approx(other.high))


@given(tables(), levels)
def test_the_error_for_both_populations_is_no_smaller_than_for_either(table, level):
    found = crossed(table, level=level)
    if found.state is not State.OK:
        return
    (s, p), squares = table.shape, (found.ms_seed, found.ms_probe)
    assert found.se >= math.sqrt(max(squares) / (s * p)) - 1e-12
    fewest = 1 / (1 / (s - 1) + 1 / (p - 1) + 1 / ((s - 1) * (p - 1)))
    assert fewest - 1e-9 <= found.df <= max(s + p - 2, 0) + 1e-9
    if found.source == "two_way":
        total = found.se**2 * s * p
        parts = ((found.ms_seed, s - 1), (found.ms_probe, p - 1))
        rest = (found.ms_resid, (s - 1) * (p - 1))
        assert total == pytest.approx(sum(ms for ms, _ in parts) - rest[0])
        assert total**2 / found.df == pytest.approx(sum(ms**2 / df for ms, df in (*parts, rest)))
    quantile = stats.t.ppf((1 + level) / 2, found.df)
    assert found.both.high - found.mean == pytest.approx(quantile * found.se)
    assert found.both.low < found.mean < found.both.high


@given(tables(), alternatives)
def test_seeds_and_probes_are_treated_alike(table, alternative):
    here, there = crossed(table, alternative), crossed(table.T, alternative)
    assert here.state is there.state
    if here.state is State.OK:
        assert (here.p, here.df) == (pytest.approx(there.p), pytest.approx(there.df))
        assert (here.var_seed, here.var_probe) == (
            pytest.approx(there.var_probe, abs=1e-12),
            pytest.approx(there.var_seed, abs=1e-12),
        )


@given(tables(), alternatives, shifts, scales)
def test_shift_moves_the_mean_and_scale_leaves_p_alone(table, alternative, shift, scale):
    here = crossed(table, alternative)
    if here.state is not State.OK:
        return
    there = crossed(-scale * table, MIRROR[alternative])
    assert there.p == pytest.approx(here.p)
    assert there.var_seed == pytest.approx(scale**2 * here.var_seed, abs=1e-9)
    moved = crossed(table + shift)
    assert moved.mean == pytest.approx(here.mean + shift)
    assert moved.se == pytest.approx(here.se, rel=1e-6)
    assert 0 <= here.p <= 1


def test_the_larger_source_of_variance_comes_next():
    rng = np.random.default_rng(5)
    seeds, probes = rng.normal(size=(6, 1)), rng.normal(size=(1, 6))
    noise = 0.01 * rng.normal(size=(6, 6))
    assert crossed(seeds + noise).best_next == "seeds"
    assert crossed(probes + noise).best_next == "probes"
    assert crossed(seeds + noise).source in ("two_way", "seed_only")


def test_a_seed_effect_alone_is_a_test_of_seed_means():
    rng = np.random.default_rng(1)
    table = np.repeat(rng.normal(size=(5, 1)), 4, axis=1)
    found = crossed(table)
    expected = one_sample(table[:, 0])
    assert (found.p, found.df) == (pytest.approx(expected.p), pytest.approx(4))
    assert (found.ms_resid, found.probes) == (0.0, None)


@pytest.mark.parametrize(
    ("table", "state"),
    [
        (np.full((4, 3), 0.1), State.ZERO_VARIANCE),
        (np.zeros((4, 3)), State.ZERO_VARIANCE),
        (np.array([[0.1, 0.4, 0.2]]), State.INSUFFICIENT_N),
        (np.array([[0.1]]), State.INSUFFICIENT_N),
        (np.array([[0.1], [0.4], [0.2]]), State.INSUFFICIENT_N),
    ],
)
def test_degenerate_tables_keep_their_mean_and_have_no_p(table, state):
    found = crossed(table)
    assert (found.state, found.mean) == (state, pytest.approx(table.mean()))
    numbers = (found.p, found.se, found.df, found.both, found.seeds, found.probes)
    assert {*numbers, found.var_seed, found.best_next} == {None}
    test = found.as_test(Alternative.GREATER)
    assert (test.state, test.p, test.diff) == (state, None, found.mean)


def test_a_table_with_nothing_but_interaction_has_no_variance_of_its_mean_to_test_against():
    found = crossed([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    assert (found.state, found.p, found.both) == (State.ZERO_VARIANCE, None, None)
    assert (found.ms_seed, found.ms_probe, found.var_resid) == (0.0, 0.0, found.ms_resid)
    assert found.ms_resid > 0


def test_two_seeds_have_intervals_of_their_own_but_none_for_both_populations():
    found = crossed([[0.1, 0.4, 0.2], [0.3, 0.4, 0.6]])
    assert (found.state, found.both, found.p, found.se) == (State.INSUFFICIENT_N, None, None, None)
    assert None not in (found.seeds, found.probes, found.var_seed, found.best_next)
    assert found.as_test(Alternative.TWO_SIDED).state is State.INSUFFICIENT_N


def test_a_table_that_lacks_an_entry_is_refused():
    with pytest.raises(ValueError, match=r"value \[1, 0\] is nan"):
        crossed([[0.1, 0.2], [None, 0.3]])
    with pytest.raises(ValueError, match="1 dimensions"):
        crossed([0.1, 0.2])


@given(tables(), alternatives)
def test_as_a_mean_it_has_the_same_numbers(table, alternative):
    found = crossed(table, alternative)
    test = found.as_test(alternative)
    assert (test.diff, test.se, test.df) == (found.mean, found.se, found.df)
    assert (test.p, test.interval) == (found.p, found.both)
    if found.state is State.OK:
        assert equivalence(test, 1e3 + abs(found.mean)).p_tost < 0.5
