"""Looking again: levels against the tables of Lan and DeMets, errors against noise."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from orchestrator.stats.beside.anytime import (
    AnytimeDesign,
    anytime,
    confidence_sequence,
    log_e,
    price_anytime,
)
from orchestrator.stats.beside.designs import Aim, fewest_seeds, smallest_effect
from orchestrator.stats.beside.sequential import LookDesign, Spending, any_look_p, looks, price
from orchestrator.stats.means import paired
from orchestrator.stats.records import Alternative, State

REGISTERED = ([5, 8, 12], [4, 6, 8, 10], [6, 12])


@pytest.mark.parametrize(
    ("spending", "published"),
    [
        (Spending.OBRIEN_FLEMING, [4.877, 3.357, 2.680, 2.290, 2.031]),
        (Spending.POCOCK, [2.438, 2.427, 2.410, 2.397, 2.386]),
    ],
)
def test_with_many_seeds_the_levels_are_those_of_lan_and_demets(spending, published):
    found = looks([400, 800, 1200, 1600, 2000], 0.05, spending)
    z = [float(stats.norm.isf(look.level / 2)) for look in found]
    assert z == pytest.approx(published, abs=0.03)
    assert [look.share for look in found] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert found[-1].spent == pytest.approx(0.05)


def any_look_error(ns, spending, two_sided, runs):
    rng = np.random.default_rng(22)
    x = rng.normal(size=(runs, ns[-1]))
    stopped = np.zeros(runs, dtype=bool)
    side = "two-sided" if two_sided else "greater"
    for look in looks(ns, 0.05, spending, two_sided=two_sided):
        stopped |= (
            stats.ttest_1samp(x[:, : look.n], 0, axis=1, alternative=side).pvalue <= look.level
        )
    return stopped.mean()


@pytest.mark.slow
@pytest.mark.parametrize("ns", REGISTERED)
@pytest.mark.parametrize("spending", Spending)
@pytest.mark.parametrize("two_sided", [True, False])
def test_on_noise_the_error_over_all_looks_is_alpha(ns, spending, two_sided):
    runs = 60_000
    found = any_look_error(ns, spending, two_sided, runs)
    assert found <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)
    assert found >= 0.044  # and nothing is given away


def test_one_look_is_the_usual_test():
    assert looks([8], 0.05)[0].level == pytest.approx(0.05, abs=1e-6)
    assert any_look_p([0.03], [8]) == pytest.approx(0.03, rel=2e-3)


@pytest.mark.parametrize("spending", Spending)
def test_the_p_of_all_looks_stops_where_the_looks_do(spending):
    rng = np.random.default_rng(5)
    for _ in range(3):
        ps = rng.beta(0.5, 2, 3).tolist()
        p = any_look_p(ps, [5, 8, 12], spending)
        for alpha in (0.01, 0.05, 0.2):
            made = looks([5, 8, 12], alpha, spending)
            stops = any(p <= look.level for p, look in zip(ps, made, strict=True))
            assert stops == (p <= alpha)


def test_looks_to_come_change_no_level_that_was_used():
    first = looks([5], planned=12)
    assert first[0] == looks([5, 8, 12])[0]
    assert looks([5, 8], planned=12) == looks([5, 8, 12])[:2]


def test_more_is_spent_late_by_obrien_and_fleming():
    early, even = looks([6, 12]), looks([6, 12], spending=Spending.POCOCK)
    assert early[0].level < even[0].level
    assert early[1].level > even[1].level


def test_the_price_is_more_seeds_at_most_and_fewer_on_average():
    for spending in Spending:
        found = price([4, 8, 12], spending=spending)
        assert found.expected < found.expected_null <= found.most == 12
        assert found.fixed <= 12
        assert found.error <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)
    assert price([4, 8, 12], spending=Spending.POCOCK).effect > price([4, 8, 12]).effect


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: looks([]), "they rise"),
        (lambda: looks([5, 5]), "they rise"),
        (lambda: looks([1, 5]), "at 2 seeds or more"),
        (lambda: looks([5, 8], planned=6), "6 are planned"),
        (lambda: looks([5], alpha=1.0), "between 0 and 1"),
        (lambda: any_look_p([0.1], [5, 8]), "each look has one"),
    ],
)
def test_impossible_looks_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


@pytest.mark.parametrize("g", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("values", [[0.1, 0.5], [0.4, 0.9, 0.2, 0.8, -0.3, 0.5], [-0.2, -0.9, 0.1]])
def test_the_e_value_is_the_bayes_factor_of_t(values, g):
    n = len(values)
    t = float(np.mean(values) / np.std(values, ddof=1) * math.sqrt(n))
    null = stats.t.pdf(t, n - 1)

    def factor(low: float, high: float, of) -> float:
        def inside(effect: float) -> float:
            return stats.nct.pdf(t, n - 1, effect * math.sqrt(n)) * of(effect) / null

        return integrate.quad(inside, low, high, limit=400)[0]

    prior = stats.norm(0, g)
    assert math.exp(log_e(values, prior_sd=g)) == pytest.approx(
        factor(-9 * g, 9 * g, prior.pdf), rel=1e-5
    )
    greater = math.exp(log_e(values, Alternative.GREATER, g))
    less = math.exp(log_e(values, Alternative.LESS, g))
    assert greater == pytest.approx(factor(0, 9 * g, lambda d: 2 * prior.pdf(d)), rel=1e-5)
    assert (greater + less) / 2 == pytest.approx(math.exp(log_e(values, prior_sd=g)))


@pytest.mark.parametrize("alternative", Alternative)
def test_on_noise_one_may_look_after_every_seed(alternative):
    rng, runs, stopped = np.random.default_rng(2), 150, 0
    for _ in range(runs):
        found = anytime(rng.normal(0, rng.lognormal(), 60), alternative)
        stopped += found.stopped is not None
        assert (found.stopped is None) == (found.p > 0.05)
    assert stopped / runs <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)


def test_the_confidence_sequence_is_what_the_e_value_does_not_reject():
    values = np.array([0.5, 0.8, 0.2, 0.9, 0.4, 0.7, 0.6])
    found = confidence_sequence(values, 0.9)
    for end in (found.low, found.high):
        assert math.exp(log_e(values - end)) == pytest.approx(10)
    assert math.isinf(confidence_sequence(values[:2]).high)
    last = anytime(values, level=0.9)
    assert (last.interval, last.state, last.n) == (found, State.OK, 7)
    assert last.p == pytest.approx(1 / last.largest)


@pytest.mark.slow
@pytest.mark.parametrize("alternative", Alternative)
def test_up_to_a_hundred_seeds_the_error_of_any_look_is_at_most_alpha(alternative):
    rng, runs = np.random.default_rng(6), 3000
    found = [anytime(rng.normal(size=100), alternative).stopped is not None for _ in range(runs)]
    assert np.mean(found) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.slow
def test_the_confidence_sequence_holds_the_truth_at_every_look():
    rng, runs, missed = np.random.default_rng(3), 1500, 0
    for _ in range(runs):
        x = rng.normal(0.7, 1, 60)
        seen = (confidence_sequence(x[:n]) for n in range(2, 61))
        missed += any(not i.low <= 0.7 <= i.high for i in seen)
    assert missed / runs <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)


def test_anytime_finds_an_effect_and_costs_more_than_one_look():
    rng = np.random.default_rng(1)
    found = anytime(rng.normal(2, 1, 20), Alternative.GREATER)
    assert found.stopped is not None
    assert found.stopped < 10
    assert found.e > 20
    cost = price_anytime(20)
    assert cost.fixed < cost.expected < cost.most == 20
    assert cost.error <= 0.05


def test_values_without_spread_have_no_e_value():
    assert anytime([0.5]).state is State.INSUFFICIENT_N
    assert anytime([0.5, 0.5, 0.5]).state is State.ZERO_VARIANCE
    with pytest.raises(ValueError, match="prior_sd is 0"):
        anytime([0.1, 0.2], prior_sd=0)


def test_with_one_look_the_p_is_that_of_the_paired_test():
    rng = np.random.default_rng(8)
    a, b = rng.normal(1, 1, 9), rng.normal(0, 1, 9)
    p = paired(a, b).p
    assert any_look_p([p], [9]) == pytest.approx(p, rel=2e-3)


def decided_by_e_values(x, aim: Aim, margin: float) -> bool:
    """As the analysis decides one claim, at 0.05."""
    above = anytime(x + margin, Alternative.GREATER).p
    match aim:
        case Aim.DIFFERS:
            return anytime(x).p <= 0.05
        case Aim.EQUIVALENT:
            return max(above, anytime(x - margin, Alternative.LESS).p) <= 0.05
        case _:
            return above <= 0.05


def found_share(aim: Aim, runs: int, n: int = 12) -> float:
    """How often the smallest effect of 12 pairs is found, by the tests themselves."""
    effect = smallest_effect(AnytimeDesign(n=n, aim=aim), 0.05)
    within = aim in (Aim.NONINFERIOR, Aim.EQUIVALENT)
    rng, margin = np.random.default_rng(31), effect if within else 0.0
    draws = (rng.normal(0.0 if within else effect, 1, n) for _ in range(runs))
    return np.mean([decided_by_e_values(x, aim, margin) for x in draws])


@pytest.mark.parametrize("aim", Aim)
def test_the_smallest_effect_of_e_values_is_found_four_times_in_five(aim):
    assert abs(found_share(aim, 300) - 0.8) < 0.03 + 2 * math.sqrt(0.16 / 300)


@pytest.mark.slow
@pytest.mark.parametrize("aim", Aim)
def test_the_smallest_effect_of_e_values_is_found_as_promised(aim):
    assert abs(found_share(aim, 3000) - 0.8) < 0.03


@pytest.mark.parametrize("spending", Spending)
@pytest.mark.parametrize("two_sided", [True, False])
def test_the_smallest_effect_at_looks_is_found_four_times_in_five(spending, two_sided):
    aim, ns, runs = Aim.DIFFERS if two_sided else Aim.DIRECTED, (5, 8, 12), 20_000
    effect = smallest_effect(LookDesign(ns=ns, spending=spending, aim=aim), 0.05)
    x = np.random.default_rng(9).normal(effect, 1, (runs, 12))
    found = np.zeros(runs, dtype=bool)
    side = "two-sided" if two_sided else "greater"
    for look in looks(ns, 0.05, spending, two_sided=two_sided):
        found |= stats.ttest_1samp(x[:, : look.n], 0, axis=1, alternative=side).pvalue <= look.level
    assert abs(found.mean() - 0.8) < 0.03


def test_a_design_that_is_looked_at_needs_more_seeds_than_one_that_is_not():
    design = AnytimeDesign(n=12, aim=Aim.DIRECTED)
    effect = smallest_effect(design, 0.05)
    assert fewest_seeds(design, effect, 0.05) == 12
    assert design.at(1).power(5.0, 0.05) == 0.0
    lower = AnytimeDesign(n=12, aim=Aim.NONINFERIOR, offset=-0.3)
    assert lower.power(1.0, 0.05) < AnytimeDesign(n=12, aim=Aim.NONINFERIOR).power(1.0, 0.05)
    assert LookDesign(ns=(5, 8, 12)).at(24).ns == (10, 16, 24)
