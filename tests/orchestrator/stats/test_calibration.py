"""Sizes and coverages on noise: a test at 5 % finds something in 5 %, an interval holds the truth.

Each promise has bounds that the usual mistakes would break: an sd divided by n, one side for two,
entries of a table pooled, pairs ignored. The mistakes are made here too, to see the bounds fail.
"""

import math
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from scipy import stats

from orchestrator.stats.crossed import crossed
from orchestrator.stats.effect import bias_factor, hedges_g
from orchestrator.stats.exact import permutation, sign_flip
from orchestrator.stats.means import equivalence, one_sample, paired, student, welch
from orchestrator.stats.multiplicity import benjamini_hochberg, holm
from orchestrator.stats.power import power_mcnemar
from orchestrator.stats.proportions import mcnemar, proportion
from orchestrator.stats.records import Alternative, Interval, Summary
from orchestrator.stats.spread import sd_ratio
from orchestrator.stats.trend import changes_along, jonckheere, page

pytestmark = pytest.mark.slow

ALPHA = 0.05
SIGMAS = 4
REPEATS = 6000


def share(outcomes: Iterable[bool]) -> float:
    return float(np.mean(list(outcomes)))


def within(found: float, low: float, high: float, repeats: int = REPEATS) -> bool:
    """Between the two shares but for chance; seeds are fixed, so that it is the same each time."""
    slack = [SIGMAS * math.sqrt(p * (1 - p) / repeats) for p in (low, high)]
    return low - slack[0] <= found <= high + slack[1]


def holds(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


def biased(values) -> Summary:
    """With the sd divided by n, which is too small."""
    return Summary(n=len(values), mean=float(np.mean(values)), sd=float(np.std(values)))


def rejections(p_of: Callable[..., float | None], draws) -> float:
    return share((p := p_of(*draw)) is not None and p <= ALPHA for draw in draws)


def two_arms(n_a: int, n_b: int, sd_a: float = 1.0, sd_b: float = 1.0):
    rng = np.random.default_rng(11)
    return [(sd_a * rng.normal(size=n_a), sd_b * rng.normal(size=n_b)) for _ in range(REPEATS)]


def by(test, of=Summary.of, alternative=Alternative.TWO_SIDED):
    return lambda a, b: test(of(a), of(b), alternative).p


# Means


@pytest.mark.parametrize(
    ("n", "sd_b", "low", "high"),
    [(3, 1.0, 0.034, 0.036), (5, 1.0, 0.044, 0.046), (5, 5.0, 0.048, 0.052), (8, 2.0, 0.05, 0.05)],
)
def test_welch_has_its_size_whatever_the_sds(n, sd_b, low, high):
    draws = two_arms(n, n, 1.0, sd_b)
    assert within(rejections(by(welch), draws), low, high)
    assert not within(rejections(by(welch, of=biased), draws), low, high)
    assert not within(rejections(lambda a, b: by(welch)(a, b) / 2, draws), low, high)


def test_student_has_its_size_only_where_the_sds_are_alike():
    draws = two_arms(5, 5)
    assert within(rejections(by(student), draws), ALPHA, ALPHA)
    assert not within(rejections(by(student, of=biased), draws), ALPHA, ALPHA)
    assert rejections(by(student), two_arms(3, 8, 5.0, 1.0)) > 0.15


def pairs_of(n: int, common: float):
    """Two arms that share `common` sd of each seed."""
    rng = np.random.default_rng(12)
    return [rng.normal(size=(2, n)) + common * rng.normal(size=n) for _ in range(REPEATS)]


@pytest.mark.parametrize("n", [3, 5, 8])
def test_the_paired_test_has_its_size_and_unpaired_ones_of_the_same_pairs_have_not(n):
    draws = pairs_of(n, common=2.0)
    assert within(rejections(lambda a, b: paired(a, b).p, draws), ALPHA, ALPHA)
    one_sided = rejections(lambda a, b: paired(a, b, Alternative.GREATER).p, draws)
    assert within(one_sided, ALPHA, ALPHA)
    assert not within(rejections(by(student), draws), ALPHA, ALPHA)
    wrong = rejections(lambda a, b: by(student, of=biased)(a - b, np.zeros(n)), draws)
    assert not within(wrong, ALPHA, ALPHA)


def test_the_paired_interval_holds_the_truth():
    draws = pairs_of(5, common=2.0)
    found = [paired(a + 0.3, b).interval for a, b in draws]
    assert within(share(holds(i, 0.3) for i in found), 0.95, 0.95)


def test_the_interval_of_g_holds_the_true_effect_times_the_bias_factor_and_not_without_it():
    rng, factor = np.random.default_rng(13), bias_factor(4)
    scaled, plain = [], []
    for _ in range(3000):
        g = hedges_g(Summary.of(rng.normal(8, 1, 3)), Summary.of(rng.normal(0, 1, 3)))
        scaled.append(g.low <= 8 * factor <= g.high)
        plain.append(g.low <= 8 <= g.high)
    assert within(share(scaled), 0.95, 0.95, 3000)
    assert not within(share(plain), 0.95, 0.95, 3000)


# Exact tests: discrete, so that the size is the largest attainable one below alpha


def test_sign_flips_and_permutations_have_their_exact_sizes():
    draws = [(a - b,) for a, b in pairs_of(6, common=1.0)[:2000]]
    assert within(rejections(lambda d: sign_flip(d).p, draws), 1 / 32, 1 / 32, 2000)
    five = [(d[:5],) for (d,) in draws]
    assert rejections(lambda d: sign_flip(d).p, five) == 0  # cannot reach 5 %
    halved = rejections(lambda d: sign_flip(d).p / 2, draws)
    assert not within(halved, 1 / 32, 1 / 32, 2000)
    splits = rejections(lambda a, b: permutation(a, b).p, two_arms(4, 4)[:2000])
    assert within(splits, 2 / 70, 2 / 70, 2000)


def test_ordered_ranks_have_their_size():
    rng = np.random.default_rng(14)
    rows = [rng.normal(size=(5, 4)) + rng.normal(size=(5, 1)) for _ in range(2000)]
    assert within(rejections(lambda r: page(r).p, [(r,) for r in rows]), 0.04, ALPHA, 2000)
    groups = [(rng.normal(size=(4, 5)),) for _ in range(2000)]
    assert within(rejections(lambda g: jonckheere(list(g)).p, groups), 0.04, ALPHA, 2000)


# Seeds by probes, three populations


def table(rng, seeds: int, probes: int, sds: tuple[float, float, float]):
    """(table, seed effects, probe effects) with sds of seeds, probes and the rest."""
    s, p = sds[0] * rng.normal(size=(seeds, 1)), sds[1] * rng.normal(size=(1, probes))
    return s + p + sds[2] * rng.normal(size=(seeds, probes)), s, p


def pooled(matrix) -> Interval:
    """All entries as if they were independent."""
    return one_sample(matrix.ravel()).interval


TABLES = [
    (3, 10, (1.0, 0.5, 1.0)),
    (5, 25, (0.3, 1.0, 1.0)),
    (6, 25, (0.5, 0.5, 1.0)),
    (8, 12, (1.0, 1.0, 0.2)),
]


@pytest.mark.parametrize(("seeds", "probes", "sds"), TABLES)
def test_each_interval_of_a_table_holds_the_truth_of_its_population(seeds, probes, sds):
    rng = np.random.default_rng(seeds * probes)
    both, new_seeds, new_probes, naive = [], [], [], []
    for _ in range(4000):
        matrix, s, p = table(rng, seeds, probes, sds)
        found = crossed(matrix)
        both.append(holds(found.both, 0.0))
        new_seeds.append(holds(found.seeds, p.mean()))
        new_probes.append(holds(found.probes, s.mean()))
        naive.append(holds(pooled(matrix), 0.0))
    assert within(share(both), 0.94, 0.98, 4000)
    assert within(share(new_seeds), 0.95, 0.95, 4000)
    assert within(share(new_probes), 0.95, 0.95, 4000)
    assert share(naive) < 0.85


def test_one_population_does_not_stand_in_for_both():
    rng = np.random.default_rng(15)
    found = [crossed(table(rng, 5, 25, (0.2, 1.5, 0.5))[0]) for _ in range(2000)]
    assert share(holds(f.seeds, 0.0) for f in found) < 0.84
    found = [crossed(table(rng, 5, 25, (1.5, 0.2, 0.5))[0]) for _ in range(2000)]
    assert share(holds(f.probes, 0.0) for f in found) < 0.5


def refusals(rng, seeds: int, prompts: int):
    """Differences of refusals of two equal arms, in which seeds and prompts matter."""
    hard = 2.0 * rng.normal(size=(1, prompts))
    arms = []
    for _ in range(2):
        latent = hard + 0.8 * rng.normal(size=(seeds, 1)) + 0.5 * rng.normal(size=(1, prompts))
        arms.append(rng.random((seeds, prompts)) < 1 / (1 + np.exp(-latent)))
    return arms[0].astype(float) - arms[1]


@pytest.mark.parametrize(("seeds", "prompts"), [(3, 40), (6, 40)])
def test_refusals_of_new_seeds_and_prompts_have_their_size_and_pooling_has_not(seeds, prompts):
    rng = np.random.default_rng(seeds)
    draws = [(refusals(rng, seeds, prompts),) for _ in range(3000)]
    assert within(rejections(lambda d: crossed(d).p, draws), 0.02, 0.07, 3000)

    def pooled_mcnemar(d):
        return mcnemar(int((d > 0).sum()), int((d < 0).sum()), d.size).p

    assert rejections(pooled_mcnemar, draws) > 0.15


# Spreads


@pytest.mark.parametrize("n", [5, 8])
def test_the_jackknife_interval_holds_the_true_ratio(n):
    rng = np.random.default_rng(n)
    normal = [sd_ratio(rng.normal(0, 2, n), rng.normal(0, 1, n)) for _ in range(3000)]
    covered = share(holds(r.ratio_jackknife.interval, 2.0) for r in normal)
    assert within(covered, 0.945, 0.97, 3000)
    assert within(share(holds(r.ratio_f, 2.0) for r in normal), 0.95, 0.95, 3000)
    skewed = [sd_ratio(rng.exponential(2, n), rng.exponential(1, n)) for _ in range(3000)]
    covered = share(holds(r.ratio_jackknife.interval, 2.0) for r in skewed)
    assert within(covered, 0.915, 0.955, 3000)
    assert share(holds(r.ratio_f, 2.0) for r in skewed) < 0.91  # normal theory only


def test_a_jackknife_of_sds_instead_of_pseudo_values_would_not_hold_it():
    rng = np.random.default_rng(16)
    found = [sd_ratio(rng.normal(size=8), rng.normal(size=8)) for _ in range(2000)]
    ratios = [r.ratio_jackknife for r in found]
    halves = [math.log(r.interval.high / r.estimate) / 2 for r in ratios]  # of log variance
    narrow = share(abs(math.log(r.estimate)) <= h for r, h in zip(ratios, halves, strict=True))
    assert not within(narrow, 0.945, 0.97, 2000)


@pytest.mark.parametrize(("n", "low", "high"), [(6, 0.02, 0.055), (10, 0.03, 0.055)])
def test_brown_forsythe_never_exceeds_its_size_by_much(n, low, high):
    draws = two_arms(n, n)[:3000]
    assert within(rejections(lambda a, b: sd_ratio(a, b).p_brown_forsythe, draws), low, high, 3000)


# Shares


@pytest.mark.parametrize("n", [25, 100])
def test_mcnemar_keeps_below_its_size_and_its_interval_holds_the_truth(n):
    rng = np.random.default_rng(n)
    cells = rng.multinomial(n, [0.15, 0.15, 0.7], size=4000)
    size = power_mcnemar(n, 0.15, 0.15)
    assert 0.005 < size <= ALPHA
    ps = [mcnemar(int(g), int(lost), n).p for g, lost, _ in cells]
    assert within(share(p <= ALPHA for p in ps), size, size, 4000)
    assert not within(share(p / 2 <= ALPHA for p in ps), size, size, 4000)
    cells = rng.multinomial(n, [0.2, 0.08, 0.72], size=4000)
    found = [mcnemar(int(g), int(lost), n).interval for g, lost, _ in cells]
    assert within(share(holds(i, 0.12) for i in found), 0.95, 0.995, 4000)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.7])
def test_intervals_of_a_share_hold_the_true_rate(rate):
    chance = stats.binom.pmf(np.arange(26), 25, rate)
    found = [proportion(k, 25) for k in range(26)]
    wilson = sum(c for c, f in zip(chance, found, strict=True) if holds(f.wilson, rate))
    exact = sum(c for c, f in zip(chance, found, strict=True) if holds(f.exact, rate))
    assert 0.92 < wilson < 0.99
    assert exact >= 0.95


# Families and margins


def test_holm_bounds_the_chance_of_any_false_finding_and_raw_p_values_do_not():
    rng = np.random.default_rng(17)
    families = []
    for _ in range(3000):
        control = Summary.of(rng.normal(size=6))  # shared, so that the tests depend on each other
        families.append([welch(Summary.of(rng.normal(size=6)), control).p for _ in range(5)])
    any_of = [share(min(adjust(ps)) <= ALPHA for ps in families) for adjust in (holm, list)]
    assert 0.025 < any_of[0] <= ALPHA
    assert any_of[1] > 0.12


def test_benjamini_hochberg_bounds_the_share_of_false_findings():
    rng = np.random.default_rng(18)
    false = []
    for _ in range(3000):
        z = rng.normal(size=10) + np.array([4.0] * 4 + [0.0] * 6)
        found = [p <= ALPHA for p in benjamini_hochberg((2 * stats.norm.sf(abs(z))).tolist())]
        false.append(sum(found[4:]) / max(1, sum(found)))
    assert 0.02 < np.mean(false) < 0.04  # six of ten are null, so 0.03


def test_slopes_hold_their_level_on_trainings_that_drift_and_page_does_not():
    rng, steps = np.random.default_rng(20), [1, 2, 3, 4, 5, 6]
    walks = [rng.normal(size=(6, 6)).cumsum(axis=1) for _ in range(1000)]
    slopes = share(
        one_sample(changes_along(steps, w), Alternative.GREATER).p <= ALPHA for w in walks
    )
    assert within(slopes, ALPHA, ALPHA, 1000)
    assert share(page(w).p <= ALPHA for w in walks[:300]) > 1.5 * ALPHA  # each takes milliseconds


@pytest.mark.parametrize("side", [1, -1])
def test_tost_has_its_size_at_the_margin(side):
    rng = np.random.default_rng(19)
    tests = [paired(side * 1.0 + 0.3 * rng.normal(size=6), np.zeros(6)) for _ in range(REPEATS)]
    found = [equivalence(t, 1.0) for t in tests]
    assert within(share(f.p_tost <= ALPHA for f in found), ALPHA, ALPHA)
    easier = share(min(f.p_noninferior, f.p_upper) <= ALPHA for f in found)
    assert not within(easier, ALPHA, ALPHA)
    two_sided = share(2 * f.p_tost <= ALPHA for f in found)
    assert not within(two_sided, ALPHA, ALPHA)
