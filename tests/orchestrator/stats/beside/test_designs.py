"""What a plan promises is what the tests find: each design against results drawn at random."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.power import TTestPower

from orchestrator.stats.beside.counted_designs import McNemarDesign, TrendDesign
from orchestrator.stats.beside.designs import (
    Aim,
    CrossedDesign,
    MeanDesign,
    Outlook,
    SdDesign,
    fewest_seeds,
    range_of,
    smallest_effect,
)
from orchestrator.stats.crossed import crossed
from orchestrator.stats.means import (
    equivalence,
    paired,
    satterthwaite,
    t_p,
    variance_of_mean,
    welch,
)
from orchestrator.stats.multiplicity import holm
from orchestrator.stats.proportions import mcnemar
from orchestrator.stats.records import Alternative, Summary
from orchestrator.stats.spread import compare_sds
from orchestrator.stats.trend import jonckheere, page

RUNS = 2000
WITHIN = 0.03


@dataclass(frozen=True, kw_only=True)
class Case:
    """A design, and the p of its test on results drawn with an effect."""

    design: Any
    p: Any
    family: int = 1
    alpha: float = 0.05
    runs: int = 4 * RUNS


def pair_p(n, r, sd_a=1.0, sd_b=1.0, alternative=Alternative.TWO_SIDED):
    def p(rng, effect):
        b = rng.normal(size=n)
        a = sd_a * (r * b + math.sqrt(1 - r * r) * rng.normal(size=n)) + effect
        return paired(a, sd_b * b, alternative).p

    return p


def welch_p(n_a, n_b, sd_a, sd_b):
    def p(rng, effect):
        a, b = rng.normal(effect, sd_a, n_a), rng.normal(0, sd_b, n_b)
        return welch(Summary.of(a), Summary.of(b)).p

    return p


def four_p(n, sds):
    def p(rng, effect):
        arms = [Summary.of(rng.normal(0, sd, n)) for sd in sds]
        diff = effect + sum(s * a.mean for s, a in zip((1, -1, -1, 1), arms, strict=True))
        se, df = satterthwaite([(variance_of_mean(a), a.n - 1) for a in arms])
        return t_p(diff / se, df, Alternative.TWO_SIDED)

    return p


def margin_p(n, kind, true=0.0):
    def p(rng, margin):
        found = equivalence(paired(rng.normal(true, 1, n), np.zeros(n)), margin)
        return getattr(found, kind)

    return p


def sds_p(n, r):
    def p(rng, effect):
        b = rng.normal(size=n)
        a = (r or 0.0) * b + math.sqrt(1 - (r or 0.0) ** 2) * rng.normal(size=n)
        return compare_sds(math.exp(effect) * a, b, paired=r is not None).p

    return p


def mcnemar_p(n, discordant):
    def p(rng, effect):
        gain, loss = (discordant + effect) / 2, (discordant - effect) / 2
        found = rng.multinomial(n, [gain, loss, 1 - gain - loss])
        return mcnemar(int(found[0]), int(found[1]), n).p

    return p


def table_p(s, n, seed, probe, rest):
    def p(rng, effect):
        table = effect + rng.normal(0, rest, (s, n))
        table += rng.normal(0, seed, (s, 1)) + rng.normal(0, probe, (1, n))
        return crossed(table).p or 1.0

    return p


def answers(rng, s, n, effect):
    """Refusals of one arm minus those of another, of prompts and seeds that differ."""
    level = rng.normal(0, 1, (1, n))
    tilt, shift = rng.normal(0, 0.25, (1, n)), rng.normal(0, 0.1, (s, 1))
    chance = scipy_stats.norm.cdf(level + tilt + shift + effect)
    one = rng.random((s, n)) < chance
    two = rng.random((s, n)) < scipy_stats.norm.cdf(level)
    return one.astype(float) - two


def shares_case(s, n):
    rng, effect = np.random.default_rng(5), 0.55
    large = answers(rng, 300, 1500, effect)
    seen = CrossedDesign.of(crossed(large))
    design = replace(seen, n_seeds=s, n_probes=n)

    def p(rng, _):
        return crossed(answers(rng, s, n, effect)).p or 1.0

    return design, p, float(large.mean())


def rows_p(n, k, *, paired_seeds):
    def p(rng, effect):
        rise = np.linspace(0, effect, k)
        level = rng.normal(0, 3, (n, 1)) if paired_seeds else 0.0
        rows = rng.normal(size=(n, k)) + rise + level
        ups = [page(s * rows) if paired_seeds else jonckheere((s * rows).T) for s in (1, -1)]
        return min(1.0, 2 * min(u.p for u in ups))

    return p


def family_p(one, size):
    """Adjusted p of the first of a family whose others find nothing: their p is uniform."""

    def p(rng, effect):
        return holm([one(rng, effect), *rng.random(size - 1)])[0]

    return p


R = 0.8
SD_Z = math.sqrt(2 * (1 - R))
CASES = {
    "6 pairs": Case(design=MeanDesign(ns=(6,), sds=(SD_Z,)), p=pair_p(6, R)),
    "8 pairs, one-sided": Case(
        design=MeanDesign(ns=(8,), sds=(SD_Z,), aim=Aim.DIRECTED),
        p=pair_p(8, R, alternative=Alternative.GREATER),
    ),
    "5 against 5": Case(design=MeanDesign(ns=(5, 5), sds=(1.0, 1.0)), p=welch_p(5, 5, 1, 1)),
    "3 against 3": Case(design=MeanDesign(ns=(3, 3), sds=(1.0, 1.0)), p=welch_p(3, 3, 1, 1)),
    "4 against 10, sds 1 and 3": Case(
        design=MeanDesign(ns=(4, 10), sds=(1.0, 3.0)), p=welch_p(4, 10, 1, 3)
    ),
    "10 against 4, sds 1 and 3": Case(
        design=MeanDesign(ns=(10, 4), sds=(1.0, 3.0)), p=welch_p(10, 4, 1, 3)
    ),
    "sds of 8 pairs": Case(design=SdDesign(ns=(8, 8), r_pair=0.6), p=sds_p(8, 0.6)),
    "sds of 8 against 8": Case(design=SdDesign(ns=(8, 8)), p=sds_p(8, None)),
    "sds of 5 against 5": Case(design=SdDesign(ns=(5, 5)), p=sds_p(5, None)),
    "sds of 130 against 130": Case(design=SdDesign(ns=(130, 130)), p=sds_p(130, None), runs=1000),
    "60 prompts": Case(
        design=McNemarDesign(n=60, discordant=0.4, two_sided=True), p=mcnemar_p(60, 0.4)
    ),
    "6 seeds by 20 probes": Case(
        design=CrossedDesign(n_seeds=6, n_probes=20, var_seed=0.01, var_probe=0.04, var_resid=0.09),
        p=table_p(6, 20, 0.1, 0.2, 0.3),
    ),
    "4 seeds by 8 probes": Case(
        design=CrossedDesign(n_seeds=4, n_probes=8, var_seed=0.04, var_probe=0.0, var_resid=0.09),
        p=table_p(4, 8, 0.2, 0.0, 0.3),
    ),
    "Page, 6 seeds by 4 doses": Case(
        design=TrendDesign(ns=(6,) * 4, paired=True, two_sided=True),
        p=rows_p(6, 4, paired_seeds=True),
    ),
    "Jonckheere, 4 doses of 5": Case(
        design=TrendDesign(ns=(5,) * 4, paired=False, two_sided=True),
        p=rows_p(5, 4, paired_seeds=False),
    ),
    "not below, 8 pairs": Case(
        design=MeanDesign(ns=(8,), sds=(1.0,), aim=Aim.NONINFERIOR),
        p=margin_p(8, "p_noninferior"),
    ),
    "equivalent, 8 pairs": Case(
        design=MeanDesign(ns=(8,), sds=(1.0,), aim=Aim.EQUIVALENT), p=margin_p(8, "p_tost")
    ),
    "equivalent, 8 pairs that differ": Case(
        design=MeanDesign(ns=(8,), sds=(1.0,), aim=Aim.EQUIVALENT, offset=0.4),
        p=margin_p(8, "p_tost", true=-0.4),
    ),
    "four means of 5": Case(
        design=MeanDesign(ns=(5,) * 4, sds=(1.0, 1.0, 2.0, 2.0)), p=four_p(5, (1, 1, 2, 2))
    ),
    "6 pairs, one of 6 claims": Case(
        design=MeanDesign(ns=(6,), sds=(SD_Z,)),
        p=family_p(pair_p(6, R), 6),
        family=6,
    ),
    "5 against 5, one of 6 claims": Case(
        design=MeanDesign(ns=(5, 5), sds=(1.0, 1.0)),
        p=family_p(welch_p(5, 5, 1, 1), 6),
        family=6,
    ),
}
QUICK = (
    "6 pairs",
    "four means of 5",
    "3 against 3",
    "sds of 8 pairs",
    "equivalent, 8 pairs that differ",
)


def check(case: Case, runs: int) -> None:
    level = case.alpha / case.family
    effect = smallest_effect(case.design, level)
    promised = case.design.power(effect, level)
    assert promised == pytest.approx(0.8, abs=0.01)
    rng = np.random.default_rng(11)
    found = np.mean([case.p(rng, effect) <= case.alpha for _ in range(runs)])
    assert abs(found - promised) < WITHIN + 2 * math.sqrt(0.16 / runs)


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_the_smallest_effect_is_found_four_times_in_five(name):
    check(CASES[name], 1000)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_design_finds_what_it_promises(name):
    check(CASES[name], CASES[name].runs)


@pytest.mark.slow
def test_shares_of_seeds_and_prompts_are_found_as_promised():
    design, p, effect = shares_case(6, 25)
    rng = np.random.default_rng(3)
    found = np.mean([p(rng, effect) <= 0.05 for _ in range(RUNS)])
    assert abs(found - design.power(effect, 0.05)) < WITHIN + 2 * math.sqrt(0.16 / RUNS)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.05 / 6])
@pytest.mark.parametrize("n", [3, 6, 20])
def test_the_power_of_pairs_is_exact(n, alpha):
    design = MeanDesign(ns=(n,), sds=(1.0,))
    assert design.power(1.0, alpha) == pytest.approx(TTestPower().power(1.0, n, alpha), abs=1e-4)
    assert design.power(smallest_effect(design, alpha), alpha) == pytest.approx(0.8, abs=1e-4)
    one_sided = replace(design, aim=Aim.DIRECTED).power(1.0, alpha)
    expected = TTestPower().power(1.0, n, alpha, alternative="larger")
    assert one_sided == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_seeds_are_the_fewest(name):
    case = CASES[name]
    effect = 1.1 * smallest_effect(case.design, 0.05)
    n = fewest_seeds(case.design, effect, 0.05)
    powers = [case.design.at(m).power(effect, 0.05) for m in (n - 1, n)]
    assert powers[0] < 0.8 <= powers[1]
    larger = smallest_effect(case.design, 0.01)  # None: distances to a median scatter too much
    assert larger is None or larger > effect / 1.1


def test_a_choice_among_several_is_paid_for():
    design = MeanDesign(ns=(6,), sds=(1.0,))
    assert Outlook(design=design, effect=1.0, tests=4).reach(0.04) == Outlook(
        design=design, effect=1.0
    ).reach(0.01)


def test_a_claim_in_the_wrong_direction_has_no_seeds():
    design = MeanDesign(ns=(6,), sds=(1.0,), aim=Aim.DIRECTED)
    assert Outlook(design=design, effect=-1.0).reach(0.05).n_for is None
    assert Outlook(design=design, effect=1.0).reach(0.05).n_for > 6
    assert fewest_seeds(design, 1e-6, 0.05) is None


def test_one_seed_finds_nothing():
    for design in (MeanDesign(ns=(1,), sds=(1.0,)), SdDesign(ns=(3, 3), r_pair=0.5)):
        assert Outlook(design=design).reach(0.05).mde is None


def test_the_range_is_that_of_the_estimated_sd():
    found = Outlook(design=MeanDesign(ns=(6,), sds=(0.1,)), sd_df=5).reach(0.05)
    low, high = (0.1 * math.sqrt(5 / scipy_stats.chi2.isf(q, 5)) for q in (0.1, 0.9))
    for sd, limit in ((low, found.mde_low), (high, found.mde_high)):
        there = smallest_effect(MeanDesign(ns=(6,), sds=(sd,)), 0.05)
        assert limit == pytest.approx(there, rel=1e-3)
    assert (found.mde_low, found.mde_high) == range_of(found.mde, 5)


@pytest.mark.parametrize(("level", "power"), [(0.0, 0.8), (0.9, 0.8), (0.05, 1.0)])
def test_impossible_targets_are_refused(level, power):
    with pytest.raises(ValueError, match="0 < alpha < power < 1"):
        smallest_effect(MeanDesign(ns=(5,), sds=(1.0,)), level, power)
