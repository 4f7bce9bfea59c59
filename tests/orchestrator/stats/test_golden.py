"""Every statistic against numbers that were computed elsewhere."""

from dataclasses import replace

import pytest

from orchestrator.stats.beside.designs import MeanDesign, smallest_effect
from orchestrator.stats.effect import cohens_d
from orchestrator.stats.exact import min_page_p
from orchestrator.stats.means import student, welch
from orchestrator.stats.power import mde_welch, n_f_ratio, n_zero_events
from orchestrator.stats.proportions import newcombe
from orchestrator.stats.records import Alternative, Summary
from orchestrator.stats.trend import ordinal_contrast, page, steps_welch
from tests.orchestrator.stats.golden import CASES, CHECKS, Case, Copy

PUBLISHED = CASES["published"]
DOSES = CASES["G09"]["input"]["doses"]
ARMS = {
    behavior: [Summary(n=5, mean=mean, sd=sd) for mean, sd in arms]
    for behavior, arms in CASES["G09"]["input"]["arms"].items()
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_golden_case_holds(name):
    CHECKS[name](Copy(), Case(name))


def test_every_golden_case_has_a_check():
    assert set(CHECKS) == set(CASES) - {"published"}


def test_the_published_trends_have_their_recomputed_p():
    for behavior, p in PUBLISHED["trend_p_two_sided"].items():
        found = ordinal_contrast(ARMS[behavior], Alternative.TWO_SIDED)
        assert float(f"{found.p:.0e}") == pytest.approx(p)
    one_sided = ordinal_contrast(ARMS["factual"]).p
    assert round(one_sided, 4) == PUBLISHED["trend_p_factual_one_sided"]


@pytest.mark.parametrize("behavior", ARMS)
def test_the_published_steps_have_their_recomputed_p(behavior):
    found = [s.p for s in steps_welch(DOSES, ARMS[behavior])]
    assert found == pytest.approx(PUBLISHED["welch_step_p"][behavior], abs=5.01e-4)


def test_the_published_d_lies_within_the_rounding_of_the_published_means():
    for row in CASES["G01"]["input"]["rows"]:
        if (printed := PUBLISHED["printed_d"].get(row["name"])) is not None:
            assert cohens_d(*arms(row)) == pytest.approx(printed, rel=0.05)


def test_the_published_p_of_refusal_needs_three_seeds_and_the_sd_of_a_sample():
    (row,) = (r for r in CASES["G01"]["input"]["rows"] if r["name"] == "contrastive_vs_sft_refusal")
    a, b = arms(row)
    assert round(student(a, b).p, 4) == PUBLISHED["printed_p_refusal"]
    five = student(replace(a, n=5), replace(b, n=5))
    larger = [replace(s, sd=s.sd * (3 / 2) ** 0.5) for s in (a, b)]  # if sd were divided by n
    for other in (five, student(*larger), welch(a, b)):
        assert round(other.p, 4) != PUBLISHED["printed_p_refusal"]


def arms(row: dict) -> tuple[Summary, Summary]:
    mean_a, sd_a, n_a, mean_b, sd_b, n_b = row["args"]
    return Summary(n=n_a, mean=mean_a, sd=sd_a), Summary(n=n_b, mean=mean_b, sd=sd_b)


def test_the_unpaired_difference_of_refusals_has_its_interval():
    found = newcombe(20, 25, 17, 25)
    assert [round(found.low, 2), round(found.high, 2)] == PUBLISHED["newcombe_20_17_of_25"]


def test_planning_numbers_are_those_of_the_design():
    for n, sds in PUBLISHED["mde_welch"].items():
        assert round(mde_welch(int(n), int(n)), 1) == sds
    for n, sds in PUBLISHED["mde_paired_r_0.8_in_between_seed_sd"].items():
        pairs = MeanDesign(ns=(int(n),), sds=((2 * (1 - 0.8)) ** 0.5,))
        assert smallest_effect(pairs, 0.05) == pytest.approx(sds, rel=0.025)
    for ratio, n in PUBLISHED["n_f_ratio"].items():
        assert n_f_ratio(float(ratio)) == n
    for rate, n in PUBLISHED["n_zero_events"].items():
        assert n_zero_events(float(rate)) == n


def test_page_attains_its_smallest_p():
    rows = [[0.1, 0.2, 0.3, 0.4]] * 3
    assert page(rows).p == pytest.approx(min_page_p(3, 4))
