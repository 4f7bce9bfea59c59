"""Shares of prompts against statsmodels, listing every case, and by their laws."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats import contingency_tables
from statsmodels.stats import proportion as sm

from orchestrator.stats.proportions import (
    cochran_q,
    fisher,
    mcnemar,
    mcnemar_bounds,
    newcombe,
    proportion,
)
from orchestrator.stats.records import Alternative, State
from tests.orchestrator.stats.samples import MIRROR, alternatives, levels

counts = st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def bounds(interval) -> tuple[float, float]:
    return interval.low, interval.high


@given(counts, levels)
def test_intervals_of_a_share_agree_with_statsmodels(count, level):
    found = proportion(*count, level)
    for mine, method in ((found.wilson, "wilson"), (found.exact, "beta")):
        expected = sm.proportion_confint(*count, alpha=1 - level, method=method)
        assert bounds(mine) == pytest.approx(expected, abs=1e-9)
    assert found.estimate == count[0] / count[1]
    assert found.exact.low <= found.estimate <= found.exact.high


@given(counts)
def test_the_share_of_what_was_not_refused_mirrors(count):
    k, n = count
    here, there = proportion(k, n), proportion(n - k, n)
    for name in ("wilson", "exact"):
        low, high = bounds(getattr(there, name))
        assert bounds(getattr(here, name)) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@given(st.integers(1, 200))
def test_a_share_at_the_upper_bound_would_show_no_event_in_5_percent(n):
    assert (1 - proportion(0, n).upper) ** n == pytest.approx(0.05)
    assert proportion(1, n).upper is None


@pytest.mark.slow
@given(counts, counts, levels)
def test_the_unpaired_difference_agrees_with_statsmodels(a, b, level):
    found = bounds(newcombe(*a, *b, level))
    expected = sm.confint_proportions_2indep(
        *a, *b, method="newcomb", compare="diff", alpha=1 - level, correction=False
    )
    assert found == pytest.approx(expected, abs=1e-9)
    assert bounds(newcombe(*b, *a, level)) == pytest.approx((-found[1], -found[0]))
    assert -1 - 1e-9 <= found[0] <= a[0] / a[1] - b[0] / b[1] <= found[1] <= 1 + 1e-9


discordant = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 30)).map(
    lambda x: (x[0], x[1], x[0] + x[1] + x[2])
)


@given(discordant)
def test_mcnemar_agrees_with_statsmodels(case):
    gain, loss, n = case
    table = [[n - gain - loss, gain], [loss, 0]]
    expected = contingency_tables.mcnemar(table, exact=True).pvalue
    found = mcnemar(*case)
    assert found.p == pytest.approx(expected)
    assert found.diff == pytest.approx((gain - loss) / n)


@given(discordant, alternatives, levels)
def test_swapping_the_models_swaps_gain_and_loss(case, alternative, level):
    gain, loss, n = case
    here = mcnemar(gain, loss, n, alternative, level)
    there = mcnemar(loss, gain, n, MIRROR[alternative], level)
    assert here.p == pytest.approx(there.p)
    assert bounds(here.interval) == pytest.approx([-x for x in bounds(there.interval)][::-1])
    assert 0 <= here.p <= 1
    narrow = mcnemar(gain, loss, 10 * n, level=level)
    assert np.ptp(bounds(narrow.interval)) < np.ptp(bounds(here.interval))


@given(discordant, levels)
def test_the_paired_interval_adds_half_a_prompt_to_each_cell(case, level):
    gain, loss, n = case
    b, c, total = (gain + 0.5) / (n + 2), (loss + 0.5) / (n + 2), n + 2
    half = stats.norm.ppf((1 + level) / 2) * ((b + c - (b - c) ** 2) / total) ** 0.5
    found = bounds(mcnemar(*case, level=level).interval)
    assert found == pytest.approx((b - c - half, b - c + half))


def test_more_gain_is_a_greater_difference():
    greater = mcnemar(8, 1, 25, Alternative.GREATER).p
    assert greater < 0.05 < mcnemar(8, 1, 25, Alternative.LESS).p
    assert mcnemar(0, 0, 25).p == 1.0


def answers(n: int, refused: int):
    for chosen in combinations(range(n), refused):
        yield [i in chosen for i in range(n)]


category = st.integers(1, 3).flatmap(
    lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(0, n))
)


@given(st.lists(category, min_size=1, max_size=3))
def test_bounds_are_those_of_every_possible_set_of_answers(categories):
    per_category = []
    for n, a, b in categories:
        seen = set()
        for x, y in product(answers(n, a), answers(n, b)):
            pairs = list(zip(x, y, strict=True))
            seen.add((pairs.count((False, True)), pairs.count((True, False))))
        per_category.append(seen)
    possible = {tuple(map(sum, zip(*c, strict=True))) for c in product(*per_category)}
    found = mcnemar_bounds(categories)
    assert found.feasible == tuple(sorted(possible))
    ps = [mcnemar(g, lost, sum(n for n, _, _ in categories)).p for g, lost in possible]
    assert (found.p_min, found.p_max) == (min(ps), max(ps))


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=2, max_size=12))
def test_cochrans_q_agrees_with_statsmodels(rows):
    matrix = np.array(rows, dtype=int)
    found = cochran_q(matrix)
    if all(len(set(row)) == 1 for row in rows):
        assert (found.state, found.q, found.p, found.df) == (State.ZERO_VARIANCE, None, None, 2)
        return
    expected = contingency_tables.cochrans_q(matrix)
    assert (found.q, found.p) == (
        pytest.approx(expected.statistic, abs=1e-9),
        pytest.approx(expected.pvalue),
    )
    assert cochran_q(matrix[:, ::-1]).p == pytest.approx(found.p)
    assert cochran_q(1 - matrix).p == pytest.approx(found.p)


def test_one_model_has_no_q():
    assert cochran_q([[1], [0]]).state is State.NOT_TESTABLE


@given(counts, counts)
def test_fishers_p_does_not_depend_on_the_order_of_models(a, b):
    assert fisher(*a, *b) == pytest.approx(fisher(*b, *a))
    assert fisher(8, 10, 1, 10, Alternative.GREATER) < 0.01 < fisher(8, 10, 1, 10, Alternative.LESS)
    one_sided = fisher(*a, *b, Alternative.GREATER)
    assert one_sided == pytest.approx(fisher(*b, *a, Alternative.LESS))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: proportion(0, 0), "0 of 0"),
        (lambda: proportion(4, 3), "4 of 3"),
        (lambda: proportion(-1, 3), "-1 of 3"),
        (lambda: mcnemar(-1, 3, 25), "-1 gained"),
        (lambda: mcnemar(3, 3, 5), "6 of 5"),
        (lambda: mcnemar_bounds([(2, 3, 1)]), "3 of 2"),
        (lambda: mcnemar_bounds([]), "no categories"),
        (lambda: cochran_q([[0, 2], [1, 0]]), "0 and 1"),
        (lambda: cochran_q([[0, None], [1, 0]]), "nan"),
        (lambda: newcombe(1, 2, 3, 2), "3 of 2"),
        (lambda: fisher(1, 2, 3, 2), "3 of 2"),
    ],
)
def test_impossible_counts_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
