"""What registered contrasts can find, before anything has run."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from scipy import stats

from orchestrator.analysis.inference.power import NO_E_VALUES, SEEDS_APART
from orchestrator.analysis.load import load_frame
from orchestrator.cells.choose import arms_of
from orchestrator.config.sweep_file import load
from orchestrator.inspection.plan import _power_lines, describe, plan
from orchestrator.inspection.plan_power import Power, power_of
from orchestrator.results.registration import begin
from orchestrator.stats.beside.designs import (
    Aim,
    CrossedDesign,
    MeanDesign,
    SdDesign,
    range_of,
    smallest_effect,
)
from orchestrator.stats.crossed import crossed
from tasks.contract.cell import CellResult, ProbeScoreRow
from tests.builders import expanded, filled, parsed
from tests.orchestrator.analysis.asking import keyed

SWEEP = """\
name: s
model: toy
grid: {{condition: [sft-only, rho-guided], rho_weight: [0.1, 0.2], margin: [0.1], seed: [{seeds}]}}
analysis:
  contrasts:
    - {{id: up, kind: mean_diff, a: {{condition: rho-guided, rho_weight: 0.2}}, \
b: {{condition: sft-only}}, behaviors: [factual], alternative: {alternative}}}
    - {{id: dose, kind: trend, over: rho_weight, a: {{condition: rho-guided}}, \
behaviors: [factual], alternative: {alternative}}}
    - {{id: spread, kind: sd_ratio, a: {{condition: rho-guided, rho_weight: 0.2}}, \
b: {{condition: sft-only}}, behaviors: [factual]}}
"""


def powers(n: int, alternative: str = "two-sided", pilot=None) -> dict[str, Power]:
    text = SWEEP.format(seeds=", ".join(map(str, range(1, n + 1))), alternative=alternative)
    found = power_of(parsed(text).questions, expanded(text).cells, pilot)
    return {p.contrast_id: p for p in found}


@pytest.mark.parametrize(
    ("n", "alternative", "smallest"),
    [(5, "two-sided", 0.0625), (5, "greater", 0.03125), (6, "two-sided", 0.03125)],
)
def test_the_smallest_p_is_that_of_the_exact_test(n, alternative, smallest):
    found = powers(n, alternative)["up"]
    assert (found.n, found.p_attainable_min) == (n, smallest)
    assert (found.warning is None) == (smallest <= 0.05)


def test_five_paired_seeds_are_warned_about():
    assert powers(5)["up"].warning == ("5 paired seeds cannot go below p = 0.0625 in an exact test")
    assert "not tested below 4" in powers(3)["spread"].warning
    assert powers(5)["spread"].warning is None
    assert powers(1)["up"].warning == "1 seed: nothing can be tested"


def test_a_trend_over_three_doses_counts_sft_only_as_one():
    assert powers(4, "greater")["dose"].p_attainable_min == pytest.approx(6.0**-4)
    assert powers(4)["dose"].p_attainable_min == pytest.approx(2 * 6.0**-4)


def test_the_smallest_effect_is_found_four_times_in_five():
    n = 8
    found = powers(n)["up"]
    assert found.family == 3
    limit = stats.t.isf(0.05 / 3 / 2, n - 1)
    power = stats.nct.sf(limit, n - 1, found.mde_sd * n**0.5)
    assert power == pytest.approx(0.8, abs=1e-3)
    assert (found.sd, found.mde) == (None, None)


def test_a_direction_and_a_smaller_family_find_smaller_effects():
    one_sided, limit = powers(8, "greater")["up"], stats.t.isf(0.05 / 3, 7)
    assert stats.nct.sf(limit, 7, one_sided.mde_sd * 8**0.5) == pytest.approx(0.8, abs=1e-3)
    assert one_sided.mde_sd < powers(8)["up"].mde_sd
    assert powers(8)["spread"].mde_ratio > powers(16)["spread"].mde_ratio > 1
    assert powers(8)["dose"].mde_sd > powers(8, "greater")["dose"].mde_sd


def test_a_pilot_gives_the_effect_in_nats_per_token(tmp_path):
    random = np.random.default_rng(0)
    pairs = random.normal(0, 0.1, (6, 2))
    cells = [keyed("rho-guided", float(a), s) for s, (a, _) in enumerate(pairs)]
    cells += [keyed("sft-only", float(b), s) for s, (_, b) in enumerate(pairs)]
    found = powers(8, pilot=load_frame([filled(tmp_path / "r", *cells)]))["up"]
    assert found.sd == pytest.approx((pairs[:, 0] - pairs[:, 1]).std(ddof=1))
    assert found.mde == pytest.approx(found.sd * found.mde_sd)
    assert found.assumption == "sd of the paired difference in the pilot"
    # the 80 % interval of an sd with 5 degrees of freedom
    factors = np.sqrt(5 / stats.chi2.isf([0.1, 0.9], 5))
    assert (found.mde_low, found.mde_high) == pytest.approx(tuple(found.mde * factors))


OF_SEVERAL_ARMS = """\
name: s
model: toy
grid: {condition: [sft-only, rho-guided], rho_weight: [0.1, 0.2, 0.5], margin: [0.1],
  train.epochs: [1, 2], seed: [1, 2, 3, 4, 5, 6]}
analysis:
  contrasts:
    - {id: twofold, kind: interaction, a: {condition: rho-guided, rho_weight: 0.2},
       b: {condition: sft-only}, between: {train.epochs: [2, 1]}, behaviors: [factual]}
    - {id: apart, kind: between_behaviors, a: {condition: rho-guided, rho_weight: 0.2,
       train.epochs: 1}, b: {condition: sft-only, train.epochs: 1},
       between: {behavior: [factual, toxicity]}}
    - {id: best, kind: best_of, over: rho_weight, a: {condition: rho-guided, train.epochs: 1},
       b: {condition: sft-only, train.epochs: 1}, behaviors: [factual]}
"""


def test_questions_about_several_arms_find_what_is_promised_four_times_in_five():
    random, runs = np.random.default_rng(3), 20_000
    found = {
        p.contrast_id: p
        for p in power_of(parsed(OF_SEVERAL_ARMS).questions, expanded(OF_SEVERAL_ARMS).cells)
    }
    level = 0.05 / found["best"].family

    def p_of(differences):
        return stats.ttest_1samp(differences, 0, axis=-1).pvalue

    one, other = random.normal(size=(2, runs, 6))
    seen = np.mean(p_of(one + found["apart"].mde_sd - other) <= level)
    assert seen == pytest.approx(0.8, abs=0.015)
    # trainings of unlike length have other batches, so that only the two of each length are paired
    assert found["twofold"].ns == (6, 6)
    p = stats.ttest_ind(one + found["twofold"].mde_sd, other, axis=-1, equal_var=False).pvalue
    assert np.mean(p <= level) == pytest.approx(0.8, abs=0.015)
    doses = random.normal(size=(3, runs, found["best"].n))
    doses[1] += found["best"].mde_sd
    assert np.mean(3 * p_of(doses).min(axis=0) <= level) == pytest.approx(0.8, abs=0.015)


def with_probes(name: str, seed: int, gaps: np.ndarray, **spec: object) -> CellResult:
    result = keyed(name, float(gaps.mean()), seed, **spec)
    rows = [
        ProbeScoreRow(
            behavior="factual", split="train", probe_id=f"p{i}", status="ok", gap=float(g)
        )
        for i, g in enumerate(gaps)
    ]
    return replace(result, probe_scores=tuple(rows))


def test_for_new_seeds_and_new_probes_a_pilot_gives_the_scatter_of_both(tmp_path):
    random = np.random.default_rng(0)
    apart = 0.1 * random.normal(size=(5, 1)) + 0.2 * random.normal(size=(1, 9))
    apart = apart + 0.1 * random.normal(size=(5, 9))
    cells = [with_probes("sft-only", s, np.zeros(9)) for s in range(5)]
    cells += [with_probes("rho-guided", s, row) for s, row in enumerate(apart)]
    text = SWEEP.format(seeds="1, 2, 3, 4, 5, 6, 7, 8", alternative="greater").replace(
        "id: up,", "id: up, population: new_seeds_and_probes, family: up,"
    )
    asked, specs = parsed(text).questions, expanded(text).cells
    found = power_of(asked, specs, load_frame([filled(tmp_path / "r", *cells)]))[0]
    seen = crossed(apart)
    design = replace(CrossedDesign.of(seen).at(8), aim=Aim.DIRECTED)
    assert found.mde == smallest_effect(design, 0.05)
    assert (found.mde_low, found.mde_high) == range_of(found.mde, seen.df)
    assert (found.mde_sd, found.warning) == (None, None)
    assert "9 probe pairs or clusters, both anew" in found.assumption
    without = power_of(asked, specs)[0]
    assert (without.mde, "--pilot" in without.warning) == (None, True)


def test_plan_prints_power_and_warns(tmp_path):
    few = [f"grids.{grid}.seed=[1, 2, 3]" for grid in range(3)]
    found = plan([load("quickstart", few)], tmp_path)
    text = "\n".join(describe(found))
    assert "power    rho-vs-sft: 3 seeds, exact p from 0.12, finds" in text
    assert text.count("power    rho-vs-sft") == 1  # a line a contrast, whatever its behaviours
    (line,) = (line for line in describe(found) if line.startswith("power    rho-vs-sft: "))
    assert line.count("; warning: 3 paired seeds cannot go below p = 0.125") == 1


@pytest.mark.slow
def test_planning_needs_no_test_and_so_loads_no_scipy_stats():
    code = "import sys, orchestrator.inspection.plan; print('scipy.stats' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def looked(sequential: str, asked: str, tmp_path, seeds: int = 12) -> tuple[Power, list[str]]:
    """What is planned for one contrast, and the lines of the plan about it."""
    text = f"""\
name: s
model: tiny
grid: {{condition: [sft-only, rho-guided], rho_weight: 0.2, margin: 0.1,
  seed: {[*range(1, seeds + 1)]}}}
analysis:
{sequential}
  contrasts:
    - {{id: up, a: {{condition: rho-guided}}, b: {{condition: sft-only}}, behaviors: [factual],
       {asked}}}
"""
    (power,) = power_of(parsed(text).questions, expanded(text).cells)
    shown = describe(plan([parsed(text)], tmp_path))
    return power, [line for line in shown if line.startswith("power")]


LOOKED = ("  sequential: {looks: [5, 8, 12]}", "  sequential: {anytime: true}")
ASKED = (
    "kind: mean_diff, alternative: greater",
    "kind: mean_diff",
    "kind: noninferiority, sesoi: 0.1",
    "kind: equivalence, sesoi: 0.1",
)


@pytest.mark.slow
@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("sequential", LOOKED)
def test_a_plan_names_the_price_of_looking_beside_one_look(tmp_path, sequential, asked):
    alone, lines = looked("", asked, tmp_path)
    assert (alone.price, alone.looks, len(lines)) == (None, None, 1)
    found, (power,) = looked(sequential, asked, tmp_path)
    assert found.mde_sd == found.price.effect > alone.mde_sd
    assert f"finds {found.mde_sd:.2f} sd" in power
    when = "after every seed" if "anytime" in sequential else "at 5, 8, 12 seeds"
    price = power.partition("; judged ")[2]
    assert price.startswith(f"{when}: {found.price.expected:.1f} seeds on average")
    assert price.endswith(f"12 at most, one look finds the same with {found.price.fixed}")
    assert ("without an effect" in price) == ("mean_diff" in asked)
    assert found.price.fixed <= 12


@pytest.mark.slow
def test_seeds_that_decide_nothing_are_warned_about(tmp_path):
    found, lines = looked(LOOKED[1], ASKED[1], tmp_path, seeds=2)
    assert found.price is None
    assert lines[-1].endswith("; warning: 2 seeds cannot decide it after every seed")
    found, lines = looked(LOOKED[1], "kind: equivalence, sesoi: 0.1", tmp_path, seeds=80)
    assert found.price.most == 80


APART = """\
name: s
model: toy
grids:
  - {condition: [sft-only], data.sft: [starter, alpaca], seed: [1, 2, 3, 4, 5, 6]}
  - {condition: rho-guided, data.sft: starter, rho_weight: [0.2, 0.4], margin: [0.1],
     seed: [11, 12, 13, 14, 15, 16, 17, 18]}
analysis:
  contrasts:
    - {id: seeds, kind: KIND, behaviors: [factual],
       a: {condition: rho-guided, rho_weight: 0.2}, b: {condition: sft-only, data.sft: starter}}
    - {id: texts, kind: KIND, behaviors: [factual],
       a: {condition: sft-only, data.sft: alpaca}, b: {condition: sft-only, data.sft: starter}}
"""


@pytest.mark.parametrize("kind", ["mean_diff", "equivalence, sesoi: 0.1", "sd_ratio"])
def test_arms_that_are_not_paired_are_planned_by_the_test_that_is_made(kind):
    text = APART.replace("KIND", kind)
    found = {p.contrast_id: p for p in power_of(parsed(text).questions, expanded(text).all)}
    assert [found[i].ns for i in ("seeds", "texts")] == [(8, 6), (6, 6)]
    for p in found.values():
        assert p.warning is None or kind == "sd_ratio"
        if kind == "sd_ratio":
            smallest = smallest_effect(SdDesign(ns=p.ns), 0.05 / 2)
            assert p.mde_ratio == (None if smallest is None else pytest.approx(np.exp(smallest)))
            assert (p.warning is None) == (smallest is not None)
        else:
            aim = Aim.DIFFERS if kind == "mean_diff" else Aim.EQUIVALENT
            design = MeanDesign(ns=p.ns, sds=(1.0, 1.0), aim=aim)
            assert p.mde_sd == smallest_effect(design, 0.05 / 2)
    if kind == "mean_diff":
        assert found["seeds"].p_attainable_min == pytest.approx(2 / 3003)
        assert "power    seeds: 8 and 6 seeds, not paired, exact p" in "\n".join(
            _power_lines([*found.values()])
        )


@pytest.mark.parametrize(
    ("population", "seeds", "said"),
    [
        ("new_probes", "1, 2, 3, 4", "no verdict comes of it"),
        ("new_seeds_and_probes", "1, 2", "2 seeds: new seeds and new probes take 3 at least"),
        ("new_seeds_and_probes", "1, 2, 3", "--pilot"),
    ],
)
def test_what_has_no_verdict_is_not_promised_one_by_a_pilot(population, seeds, said):
    text = SWEEP.format(seeds=seeds, alternative="greater")
    text = text.replace("{id: up,", f"{{id: up, population: {population},")
    assert said in (power_of(parsed(text).questions, expanded(text).all)[0].warning or "")


def test_a_test_that_needs_pairs_is_not_promised_without_them():
    text = APART.replace("KIND", "mean_diff, population: new_seeds_and_probes")
    warned = [p.warning for p in power_of(parsed(text).questions, expanded(text).all)]
    assert warned == [SEEDS_APART] * 2
    text = APART.replace("KIND", "mean_diff").replace(
        "analysis:\n", "analysis:\n  sequential: {anytime: true}\n"
    )
    assert {p.warning for p in power_of(parsed(text).questions, expanded(text).all)} == {
        NO_E_VALUES
    }


def test_a_pilot_that_has_one_arm_for_both_says_nothing_of_their_difference(tmp_path):
    text = SWEEP.format(seeds="1, 2, 3, 4, 5, 6", alternative="greater").replace(
        "rho_weight: 0.2}, b: {condition: sft-only}",
        "rho_weight: 0.2, train.learning_rate: 1.0e-4}, "
        "b: {condition: rho-guided, rho_weight: 0.2, train.learning_rate: 2.0e-4}",
    )
    text = text.replace("margin: [0.1],", "margin: [0.1], train.learning_rate: [1.0e-4, 2.0e-4],")
    random = np.random.default_rng(1)
    cells = [keyed("rho-guided", float(x), s) for s, x in enumerate(random.normal(0, 0.1, 6))]
    pilot = load_frame([filled(tmp_path / "r", *cells)])
    found = power_of(parsed(text).questions, expanded(text).cells, pilot)[0]
    assert found.mde is not None
    assert found.mde > 0.05
    assert found.assumption == "median sd of the pilot's arms, unpaired"


def test_a_kind_without_a_formula_is_said_to_have_none():
    text = SWEEP.format(seeds="1, 2, 3, 4", alternative="greater").replace(
        "kind: trend", "kind: strict_monotone"
    )
    lines = _power_lines(power_of(parsed(text).questions, expanded(text).all))
    assert "power    dose: 4 seeds, what it finds is not known: there is no formula" in lines


def test_what_is_registered_decides_level_looks_and_family():
    text = SWEEP.format(seeds="1, 2, 3, 4, 5, 6, 7, 8", alternative="greater")
    specs, now = expanded(text).all, datetime(2026, 1, 1, tzinfo=UTC)
    first = begin(None, parsed(text).questions, arms_of(specs), seen=(), now=now)
    changed = text.replace(
        "analysis:\n", "analysis:\n  alpha: 0.01\n  sequential: {looks: [4, 8]}\n"
    )
    changed = "".join(changed.partition("    - {id: dose")[:1])
    seen = [s.cell_id for s in specs]
    asked, plain = parsed(changed).questions, {"analysis": first.plain()}
    kept = begin(plain, asked, arms_of(specs), seen=seen, now=now.replace(month=2))
    (found,) = power_of(asked, specs, registration=kept)
    assert found == power_of(parsed(text).questions, specs)[0]


OF_ANSWERS = """\
name: s
model: toy
grid: {condition: [baseline, sft-only, rho-guided], rho_weight: [0.2], margin: [0.1], seed: [SEEDS]}
analysis:
  contrasts:
    - {id: pair, kind: prop_diff, a: {condition: rho-guided}, b: {condition: sft-only}}
    - {id: base, kind: prop_diff, a: {condition: rho-guided}}
    - {id: any, kind: omnibus}
    - {id: rank, kind: rank_correlation}
"""


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ("1", [None, None, None]),
        ("1, 2", ["2 seeds: new seeds and new prompts take 3 at least"] * 2 + ["one seed"]),
        ("1, 2, 3", [None, None, "one seed"]),
    ],
)
def test_a_contrast_on_answers_has_a_line_that_says_what_its_seeds_do_not_allow(seeds, said):
    text = OF_ANSWERS.replace("SEEDS", seeds)
    found = power_of(parsed(text).questions, expanded(text).all)
    assert [p.contrast_id for p in found] == ["pair", "base", "any", "rank"]
    for p, warning in zip(found, said, strict=False):
        assert (p.warning is None) if warning is None else (warning in p.warning)
    assert found[3].warning == "3 arms cannot go below p = 0.33"
    n = len(seeds.split(","))
    assert _power_lines(found)[0].startswith(
        f"power    pair: {n} seeds, what it finds follows from its prompts"
    )
