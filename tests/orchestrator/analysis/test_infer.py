"""Contrasts on results made by hand: the right arms, the right test, the right word."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from orchestrator.analysis.analyze import analyze
from orchestrator.analysis.evidence.frame import Probes
from orchestrator.analysis.inference.record import Family, Inference
from orchestrator.config.contrasts import Contrast
from orchestrator.errors import UserError
from orchestrator.results.registration import Registered, Registration
from orchestrator.results.store import Store
from orchestrator.stats.crossed import crossed
from tasks.contract.cell import CellResult, ProbeScoreRow, Status
from tests.builders import a_result, a_spec, filled, launched
from tests.orchestrator.analysis.asking import ask, guided, keyed, plain, scored

SEEDS = range(1, 7)
UP = {s: 0.5 + 0.01 * s + 0.003 * (s % 3) for s in SEEDS}
DOWN = {s: 0.1 + 0.01 * s for s in SEEDS}


def two_arms(folder, *, keys: bool = True) -> Store:
    cells = [scored("baseline", 0.25)]
    cells += [scored("rho-guided", v, seed=s, key=keys) for s, v in UP.items()]
    cells += [scored("sft-only", v, seed=s, key=keys) for s, v in DOWN.items()]
    return filled(folder, *cells)


def one(rows: tuple[Inference, ...]) -> Inference:
    (row,) = rows
    return row


def test_arms_with_the_same_pairing_keys_are_paired(tmp_path):
    row = one(ask(two_arms(tmp_path / "r"), kind="mean_diff", a=guided(), b=plain()))
    expected = stats.ttest_rel(list(UP.values()), list(DOWN.values()))
    assert (row.test, row.pairing, row.n_pairs, row.pairing_reason) == ("paired", "paired", 6, None)
    assert row.p == pytest.approx(expected.pvalue)
    assert (row.ci_low, row.ci_high) == pytest.approx(tuple(expected.confidence_interval()))
    assert row.p_attainable_min == 2 / 2**6
    assert row.verdict == "supported"


def test_without_pairing_keys_the_test_is_welchs_and_the_row_says_why(tmp_path):
    row = one(ask(two_arms(tmp_path / "r", keys=False), kind="mean_diff", a=guided(), b=plain()))
    expected = stats.ttest_ind(list(UP.values()), list(DOWN.values()), equal_var=False)
    assert (row.test, row.pairing, row.n_pairs) == ("welch", "none", None)
    assert row.pairing_reason == "no pairing key"
    assert row.p == pytest.approx(expected.pvalue)


@pytest.mark.parametrize(
    ("alternative", "verdict"), [("greater", "supported"), ("less", "contradicted")]
)
def test_a_claim_in_the_wrong_direction_is_contradicted(tmp_path, alternative, verdict):
    store = two_arms(tmp_path / "r")
    row = one(ask(store, kind="mean_diff", a=guided(), b=plain(), alternative=alternative))
    assert row.verdict == verdict


def test_one_seed_gives_a_difference_but_no_p(tmp_path):
    store = filled(tmp_path / "r", keyed("rho-guided", 1.0, 1), keyed("sft-only", 0.25, 1))
    row = one(ask(store, kind="mean_diff", a=guided(), b=plain()))
    assert (row.estimate, row.p, row.verdict) == (0.75, None, "not_testable")
    assert row.status == "insufficient_n"


def test_equal_differences_have_no_variance_and_no_p(tmp_path):
    cells = [keyed("rho-guided", 0.5 + s, s) for s in SEEDS]
    cells += [keyed("sft-only", 0.25 + s, s) for s in SEEDS]
    row = one(ask(filled(tmp_path / "r", *cells), kind="mean_diff", a=guided(), b=plain()))
    assert (row.estimate, row.p, row.status) == (0.25, None, "zero_variance")
    assert row.verdict == "not_testable"


def test_an_arm_that_is_not_there_is_named(tmp_path):
    store = filled(tmp_path / "r", *(keyed("rho-guided", v, s) for s, v in UP.items()))
    row = one(ask(store, kind="mean_diff", a=guided(), b=plain()))
    assert (row.status, row.verdict, row.p) == ("missing", "not_testable", None)
    assert row.notes == ("no scored cell has condition=sft-only",)


def test_a_missing_seed_is_dropped_from_both_arms_and_never_0(tmp_path):
    cells = [keyed("rho-guided", v if s != 3 else None, s) for s, v in UP.items()]
    cells += [keyed("sft-only", v, s) for s, v in DOWN.items()]
    row = one(ask(filled(tmp_path / "r", *cells), kind="mean_diff", a=guided(), b=plain()))
    kept = [s for s in SEEDS if s != 3]
    expected = stats.ttest_rel([UP[s] for s in kept], [DOWN[s] for s in kept])
    assert (row.n_a, row.n_b, row.n_pairs) == (5, 6, 5)
    assert row.p == pytest.approx(expected.pvalue)


def test_an_arm_is_tested_against_its_baseline(tmp_path):
    row = one(ask(two_arms(tmp_path / "r"), kind="one_sample", a=plain(), alternative="less"))
    deltas = np.array(list(DOWN.values())) - 0.25
    expected = stats.ttest_1samp(deltas, 0.0, alternative="less")
    assert (row.pairing, row.arm_b, row.n_a) == ("fixed_baseline", "baseline", 6)
    assert (row.estimate, row.p) == pytest.approx((deltas.mean(), expected.pvalue))


def test_arms_of_different_baselines_are_not_compared(tmp_path):
    cells = [keyed("rho-guided", v, s) for s, v in UP.items()]
    other = [
        replace(c, spec=replace(c.spec, max_length=32))
        for c in (keyed("sft-only", v, s) for s, v in DOWN.items())
    ]
    rows = ask(filled(tmp_path / "r", *cells, *other), kind="mean_diff", a=guided(), b=plain())
    assert one(rows).status == "missing"
    digest = [replace(c, spec=_other_probes(c)) for c in other]
    with pytest.raises(UserError, match="different baselines"):
        ask(filled(tmp_path / "s", *cells, *digest), kind="mean_diff", a=guided(), b=plain())


def _other_probes(cell: CellResult):
    return replace(
        cell.spec, max_length=64, probes=replace(cell.spec.probes, digest="other probes")
    )


@pytest.mark.slow
def test_a_second_axis_gives_a_row_each_and_never_mixes(tmp_path):
    cells = []
    for epochs, shift in ((1, 0.0), (2, 1.0)):
        cells += [keyed("rho-guided", v + shift, s, epochs=epochs) for s, v in UP.items()]
        cells += [keyed("sft-only", v, s, epochs=epochs) for s, v in DOWN.items()]
    rows = ask(filled(tmp_path / "r", *cells), kind="mean_diff", a=guided(), b=plain())
    found = {r.arm_a.rpartition("=")[2]: r.estimate for r in rows}
    gap = np.mean(list(UP.values())) - np.mean(list(DOWN.values()))
    assert found == {"1": pytest.approx(gap), "2": pytest.approx(gap + 1)}
    named = guided() | {"train.epochs": 2}
    assert len(ask(filled(tmp_path / "s", *cells), kind="mean_diff", a=named, b=plain())) == 1


@pytest.mark.parametrize(
    ("kind", "sesoi", "verdict"),
    [
        ("noninferiority", 0.05, "supported"),
        ("equivalence", 0.05, "contradicted"),
        ("equivalence", 1.0, "supported"),
    ],
)
def test_a_margin_decides_what_not_worse_and_equivalent_mean(tmp_path, kind, sesoi, verdict):
    store = two_arms(tmp_path / "r")
    row = one(ask(store, kind=kind, a=guided(), b=plain(), sesoi=sesoi))
    assert (row.verdict, row.sesoi, row.ci_level) == (verdict, sesoi, 0.9)
    assert row.p == (row.p_noninferior if kind == "noninferiority" else row.p_tost)


def test_two_sided_and_equivalent_within_the_margin_contradicts_a_difference(tmp_path):
    cells = [keyed("rho-guided", 0.5 + 0.001 * (s % 2), s) for s in SEEDS]
    cells += [keyed("sft-only", 0.5 + 0.001 * (s % 3), s) for s in SEEDS]
    store = filled(tmp_path / "r", *cells)
    rows = [
        one(ask(store, kind="mean_diff", a=guided(), b=plain(), **more))
        for more in ({}, {"sesoi": 0.01})
    ]
    assert [r.verdict for r in rows] == ["inconclusive", "contradicted"]
    assert rows[0].mde_80 > 0
    assert rows[0].n_for_80 is None or rows[0].n_for_80 > len(SEEDS)


def doses(folder, values: dict[float, list[float]], *, keys: bool = True) -> Store:
    """Weight 0 is sft-only; one value a seed."""
    cells = []
    for weight, scores in values.items():
        for seed, rho in enumerate(scores, 1):
            name = "sft-only" if weight == 0 else "rho-guided"
            more = {} if weight == 0 else {"rho_weight": weight}
            cells.append(scored(name, rho, seed=seed, key=keys, **more))
    return filled(folder, *cells)


RISING = {
    0: [0.01, 0.02, 0.00, 0.03],
    0.1: [0.11, 0.13, 0.12, 0.10],
    0.2: [0.21, 0.22, 0.23, 0.2],
    0.5: [0.51, 0.53, 0.5, 0.54],
}


@pytest.mark.slow
@pytest.mark.parametrize(("keys", "test"), [(True, "page_exact"), (False, "jonckheere_exact")])
def test_a_trend_takes_sft_only_for_weight_0(tmp_path, keys, test):
    store = doses(tmp_path / "r", RISING, keys=keys)
    arm = {"condition": "rho-guided", "margin": 0.1}
    up = one(ask(store, kind="trend", a=arm, over="rho_weight", alternative="greater"))
    down = one(ask(store, kind="trend", a=arm, over="rho_weight", alternative="less"))
    both = one(ask(store, kind="trend", a=arm, over="rho_weight"))
    assert (up.test, len(up.arms), up.arm_a) == (test, 4, "sft-only")
    assert [r.verdict for r in (up, down, both)] == ["supported", "contradicted", "supported"]
    assert both.p == pytest.approx(2 * up.p)
    assert up.estimate == pytest.approx(0.505)


def test_a_trend_with_one_flat_step_is_not_strictly_monotone(tmp_path):
    flat = RISING | {0.2: [0.12, 0.11, 0.13, 0.11]}
    arm = {"condition": "rho-guided", "margin": 0.1}
    for name, values, verdict in (("a", RISING, "supported"), ("b", flat, "inconclusive")):
        store = doses(tmp_path / name, values)
        row = one(
            ask(store, kind="strict_monotone", a=arm, over="rho_weight", alternative="greater")
        )
        assert row.verdict == verdict
    assert "0.1 to 0.2" in row.notes[0]


def test_falling_doses_are_strictly_monotone_downwards(tmp_path):
    falling = {w: [-v for v in values] for w, values in RISING.items()}
    arm = {"condition": "rho-guided", "margin": 0.1}
    store = doses(tmp_path / "r", falling)
    rows = [
        one(ask(store, kind="strict_monotone", a=arm, over="rho_weight", alternative=alternative))
        for alternative in ("less", "greater")
    ]
    assert [r.verdict for r in rows] == ["supported", "contradicted"]
    assert rows[0].estimate < 0


def test_linearity_can_be_contradicted_but_never_supported(tmp_path):
    arm = {"condition": "rho-guided", "margin": 0.1}
    bent = RISING | {0.5: [0.22, 0.24, 0.23, 0.21]}
    rows = [
        one(ask(doses(tmp_path / n, v), kind="linearity", a=arm, over="rho_weight"))
        for n, v in (("a", RISING), ("b", bent))
    ]
    assert [r.verdict for r in rows] == ["inconclusive", "contradicted"]


def test_too_few_doses_are_said(tmp_path):
    store = doses(tmp_path / "r", {0: RISING[0], 0.1: RISING[0.1]})
    arm = {"condition": "rho-guided", "margin": 0.1}
    row = one(ask(store, kind="trend", a=arm, over="rho_weight"))
    assert (row.status, row.notes) == ("missing", ("needs 3 doses along rho_weight, has 2",))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "keys", "test"),
    [
        (8, True, "pitman_morgan"),
        (4, True, "pitman_morgan"),
        (8, False, "brown_forsythe"),
        (5, False, "jackknife_log_variance"),
        (3, True, None),
    ],
)
def test_spread_is_tested_by_what_the_seeds_allow(tmp_path, n, keys, test):
    wide = [(-1) ** i * (0.2 + 0.05 * i) for i in range(n)]
    cells = [scored("sft-only", v, seed=i, key=keys) for i, v in enumerate(wide)]
    narrow = [0.01 * v + 0.001 * i for i, v in enumerate(wide)]
    cells += [scored("rho-guided", v, seed=i, key=keys) for i, v in enumerate(narrow)]
    store = filled(tmp_path / "r", *cells)
    row = one(ask(store, kind="sd_ratio", a=guided(), b=plain(), alternative="less"))
    assert row.test == test
    assert row.verdict == ("supported" if test else "not_testable")
    assert (row.estimate is None) == (test is None)
    if test:
        assert row.n_for_80 is not None
        assert row.mde_80 > 0
        assert row.ci_high < 0
        assert row.pairing == ("paired" if keys else "none")


def test_more_spread_than_claimed_contradicts_less_spread(tmp_path):
    wide = [(-1) ** i * (0.2 + 0.05 * i) for i in range(8)]
    cells = [keyed("rho-guided", v, i) for i, v in enumerate(wide)]
    cells += [keyed("sft-only", 0.01 * v + 0.001 * i, i) for i, v in enumerate(wide)]
    store = filled(tmp_path / "r", *cells)
    row = one(ask(store, kind="sd_ratio", a=guided(), b=plain(), alternative="less"))
    assert row.verdict == "contradicted"
    assert row.estimate > 0


def with_gaps(
    name: str, seed: int, gaps: dict[str, float], clusters: dict[str, str] | None = None
) -> CellResult:
    result = keyed(name, float(np.mean(list(gaps.values()))), seed)
    rows = tuple(
        ProbeScoreRow(
            behavior="factual",
            split="train",
            probe_id=p,
            status="ok",
            gap=g,
            cluster=(clusters or {}).get(p),
        )
        for p, g in gaps.items()
    )
    return replace(result, probe_scores=rows)


def test_seeds_and_probes_both_vary_in_the_crossed_interval(tmp_path):
    random = np.random.default_rng(0)
    difference = 0.4 + random.normal(0, 0.1, (4, 1)) + random.normal(0, 0.2, (1, 9))
    cells = []
    for seed in range(4):
        base = random.normal(0, 1, 9)
        for name, gaps in (("sft-only", base), ("rho-guided", base + difference[seed])):
            cells.append(with_gaps(name, seed, {f"p{i}": float(g) for i, g in enumerate(gaps)}))
    store = filled(tmp_path / "r", *cells)
    widths = {}
    for population in ("new_seeds", "new_probes", "new_seeds_and_probes"):
        row = one(ask(store, kind="mean_diff", a=guided(), b=plain(), population=population))
        assert row.estimate == pytest.approx(difference.mean())
        widths[population] = row.ci_high - row.ci_low
        assert (row.p is None) == (population == "new_probes")
    assert row.n_probes == 9
    assert widths["new_seeds_and_probes"] > max(widths["new_seeds"], widths["new_probes"])


def clustered(
    folder: Path, times: Sequence[int], *, named: bool, population: str = "new_seeds_and_probes"
) -> Inference:
    """Nine pairs, each written so many times with a little noise, as from one template."""
    random, cells = np.random.default_rng(0), []
    difference = random.normal(0, 0.1, (4, 1)) + random.normal(0.1, 0.2, (1, len(times)))
    for seed in range(4):
        wide = np.repeat(difference[seed], times)
        ids = [f"p{k}" for k in range(len(wide))]
        names = [f"t{i}" for i, n in enumerate(times) for _ in range(n)]
        groups = dict(zip(ids, names, strict=True)) if named else None
        base = random.normal(0, 1, len(wide))
        for name, gaps in (("sft-only", base), ("rho-guided", base + wide)):
            cells.append(
                with_gaps(name, seed, dict(zip(ids, map(float, gaps), strict=True)), groups)
            )
    store = filled(folder, *cells)
    return one(ask(store, kind="mean_diff", a=guided(), b=plain(), population=population))


@pytest.mark.slow
@pytest.mark.parametrize("population", ["new_probes", "new_seeds_and_probes"])
def test_pairs_of_one_cluster_count_as_one(tmp_path, population):
    alone = clustered(tmp_path / "alone", [1] * 9, named=False, population=population)
    four = clustered(tmp_path / "four", [4] * 9, named=True, population=population)
    many = clustered(tmp_path / "many", [4] * 9, named=False, population=population)
    assert (four.estimate, four.ci_low, four.ci_high, four.p) == pytest.approx(
        (alone.estimate, alone.ci_low, alone.ci_high, alone.p)
    )
    assert (four.n_probes, many.n_probes) == (9, 36)
    assert many.ci_high - many.ci_low < four.ci_high - four.ci_low
    assert "36 probe pairs in 9 clusters; a cluster counts as one" in four.notes


def test_clusters_of_unlike_size_leave_the_estimate_as_it_is(tmp_path):
    sizes = [1, 5, 2, 1, 4, 3, 1, 2, 6]
    named, apart = (clustered(tmp_path / str(n), sizes, named=n) for n in (True, False))
    assert named.estimate == pytest.approx(apart.estimate)
    assert (named.n_probes, apart.n_probes) == (9, 25)


def test_on_noise_that_clusters_share_only_clusters_have_their_size():
    random, runs = np.random.default_rng(5), 400
    sizes = [1, 2, 3, 4, 5, 6] * 2
    place = np.repeat(range(len(sizes)), sizes)
    small = {"clusters": 0, "pairs": 0}
    for _ in range(runs):
        shared = random.normal(0, 0.2, (1, len(sizes))) + random.normal(0, 0.05, (5, 1))
        gaps = shared[:, place] + random.normal(0, 0.1, (5, len(place)))
        found = Probes(
            seeds=(1, 2, 3, 4, 5),
            probe_ids=tuple(map(str, range(len(place)))),
            gaps=gaps,
            clusters=tuple(f"c{i}" for i in place),
        )
        small["clusters"] += (crossed(found.table).p or 1.0) <= 0.05
        small["pairs"] += (crossed(gaps).p or 1.0) <= 0.05
    assert small["clusters"] / runs <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs)
    assert small["pairs"] / runs > 0.12


def test_new_probes_need_paired_seeds(tmp_path):
    row = one(
        ask(
            two_arms(tmp_path / "r", keys=False),
            kind="mean_diff",
            a=guided(),
            b=plain(),
            population="new_seeds_and_probes",
        )
    )
    assert (row.status, row.p, row.estimate, row.verdict) == (
        "unpaired",
        None,
        None,
        "not_testable",
    )


def test_registered_and_later_questions_are_adjusted_apart(tmp_path):
    store = two_arms(tmp_path / "r")
    raw = {"kind": "mean_diff", "a": guided(), "b": plain(), "claim": "c"}
    found = Registration(
        contrasts=tuple(
            Registered(contrast=Contrast.from_dict(raw | {"id": str(i), "claim": str(i)}), at=at)
            for i, at in enumerate(("2026-01-01", "2026-01-01", None, None, None))
        )
    )
    from orchestrator.analysis.analyze import analyze_frame
    from orchestrator.analysis.load import load_frame

    rows = analyze_frame(load_frame([store]), found).inference
    assert [(r.family, r.adjust, r.family_size) for r in rows] == [
        (Family.PRIMARY, "holm", 2),
        (Family.PRIMARY, "holm", 2),
        (Family.EXPLORATORY, "bh", 1),  # one test that was asked three times
        (Family.EXPLORATORY, "bh", 1),
        (Family.EXPLORATORY, "bh", 1),
    ]
    assert [r.p_adjusted / r.p for r in rows] == pytest.approx([2, 2, 1, 1, 1])


def test_results_that_ask_nothing_are_explored_against_sft_only(tmp_path):
    found = analyze([two_arms(tmp_path / "r")])
    (row,) = found.inference
    assert (row.family, row.registered, row.arm_b) == ("exploratory", False, "sft-only")
    store = filled(
        tmp_path / "s", scored("baseline", 0.0), *(keyed("rho-guided", v, s) for s, v in UP.items())
    )
    assert analyze([store]).inference[0].arm_b == "baseline"


def test_a_question_after_the_data_comes_as_exploratory(tmp_path):
    rows = ask(two_arms(tmp_path / "r"), kind="mean_diff", a=guided(), b=plain())
    assert all(r.family is Family.EXPLORATORY and not r.registered for r in rows)


def test_a_question_is_registered_for_the_cells_of_its_own_sweep_only(tmp_path):
    text = """\
name: {name}
model: toy
probes: {{evaluate: [factual], train: [factual]}}
grid: {{condition: [sft-only, rho-guided], rho_weight: [{weight}], margin: [0.1], seed: [1, 2, 3]}}
analysis:
  contrasts:
    - {{id: q, claim: "{name}", kind: mean_diff, a: {{condition: rho-guided}}, \
b: {{condition: sft-only}}}}
"""
    stores = []
    for name, weight in (("one", 0.1), ("two", 0.4)):
        store, expansion = launched(tmp_path / name, text.format(name=name, weight=weight))
        for spec in expansion.all:
            pull = spec.hinge.rho_weight if spec.hinge else 0.0
            seed = spec.seed or 0
            result = a_result(spec, {("factual", "train"): 0.1 * seed + pull * (1 + 0.01 * seed)})
            store.commit(result, attempts=1, ray=None)
        stores.append(store)
    found = {
        (r.claim, r.arm_a.split()[1]): r.family
        for r in analyze(stores).inference
        if r.split == "train"
    }
    assert found == {
        ("one", "w=0.1"): Family.PRIMARY,
        ("one", "w=0.4"): Family.EXPLORATORY,
        ("two", "w=0.1"): Family.EXPLORATORY,
        ("two", "w=0.4"): Family.PRIMARY,
    }


def test_a_behaviour_that_was_not_scored_is_an_error_with_a_hint(tmp_path):
    with pytest.raises(UserError, match=r'"factul" is not evaluated.*did you mean "factual"'):
        ask(two_arms(tmp_path / "r"), kind="mean_diff", a=guided(), b=plain(), behaviors=["factul"])


def test_a_contradicted_row_names_the_p_it_rests_on(tmp_path):
    store = two_arms(tmp_path / "r")
    row = one(ask(store, kind="mean_diff", a=guided(), b=plain(), alternative="less"))
    against = stats.ttest_rel(list(UP.values()), list(DOWN.values()), alternative="greater")
    assert row.notes == (f"the opposite has p {against.pvalue:.2g}, adjusted",)


def test_only_scored_cells_count(tmp_path):
    cells = [keyed("rho-guided", v, s) for s, v in UP.items()]
    store = filled(tmp_path / "r", *cells, a_result(a_spec("sft-only"), {}))
    row = one(ask(store, kind="mean_diff", a=guided(), b=plain()))
    assert row.status == "missing"


def tables(folder, seeds: int, probes: int, shift: float, scatter: float) -> Store:
    """Two arms whose difference varies over probes and, a little, over seeds."""
    rng = np.random.default_rng(4)
    tilt = rng.normal(0, scatter, probes)
    cells = []
    for seed in range(seeds):
        base = rng.normal(0, 0.05, probes)
        for name, gaps in (("sft-only", base), ("rho-guided", base + shift + tilt)):
            seen = gaps + rng.normal(0, 0.01, probes)
            cells.append(with_gaps(name, seed, {f"p{i}": float(g) for i, g in enumerate(seen)}))
    return filled(folder, *cells)


@pytest.mark.parametrize("kind", ["noninferiority", "equivalence"])
def test_a_margin_for_new_probes_is_tested_against_their_scatter(tmp_path, kind):
    store = tables(tmp_path / "r", 6, 12, shift=-0.05, scatter=0.2)
    asked = {"kind": kind, "a": guided(), "b": plain(), "sesoi": 0.1}
    seeds = one(ask(store, **asked))
    both = one(ask(store, **asked, population="new_seeds_and_probes"))
    assert seeds.verdict == "supported"
    assert both.test.startswith("crossed")
    assert (both.verdict, both.n_probes, both.population) == (
        "inconclusive",
        12,
        "new_seeds_and_probes",
    )
    assert both.se > 3 * seeds.se
    assert both.ci_high - both.ci_low > 3 * (seeds.ci_high - seeds.ci_low)
    assert both.mde_80 > 3 * seeds.mde_80
    assert both.p == (both.p_noninferior if kind == "noninferiority" else both.p_tost)


@pytest.mark.slow
@pytest.mark.parametrize("population", ["new_probes", "new_seeds_and_probes"])
@pytest.mark.parametrize("kind", ["mean_diff", "one_sample"])
def test_numbers_of_seeds_alone_stand_in_no_row_about_probes(tmp_path, kind, population):
    untrained = {f"p{i}": 0.01 * i for i in range(8)}
    store = tables(tmp_path / "r", 6, 8, shift=0.1, scatter=0.1)
    store.commit(with_gaps("baseline", 0, untrained), attempts=1, ray=None)
    arms = {"a": guided()} | ({"b": plain()} if kind == "mean_diff" else {})
    row = one(ask(store, kind=kind, population=population, **arms))
    assert row.estimate is not None
    assert row.n_probes == 8
    assert (row.p_exact, row.p_student, row.p_attainable_min) == (None, None, None)
    assert (row.cohens_d, row.hedges_g, row.g_low, row.g_high) == (None, None, None, None)


def test_planning_numbers_are_about_the_verdict_in_its_family(tmp_path):
    """The smallest effect of one claim of six is that at a sixth of the level."""
    store = two_arms(tmp_path / "r")
    alone = one(ask(store, kind="mean_diff", a=guided(), b=plain(), alternative="greater"))
    sd = np.std([UP[s] - DOWN[s] for s in SEEDS], ddof=1)

    def power(row, alternative: str) -> float:
        limit = stats.t.isf(0.05 / row.family_size / (1 + (alternative == "two-sided")), 5)
        return float(stats.nct.sf(limit, 5, row.mde_80 / sd * 6**0.5))

    assert power(alone, "greater") == pytest.approx(0.8, abs=1e-3)
    low, high = np.sqrt(5 / stats.chi2.isf([0.1, 0.9], 5)) * alone.mde_80
    assert (alone.mde_low, alone.mde_high) == pytest.approx((low, high))


def notes_of(row: Inference) -> str:
    return "; ".join(row.notes)


def test_seeds_without_a_partner_are_counted(tmp_path):
    cells = [keyed("rho-guided", 0.5 + 0.013 * (s % 5), s) for s in range(1, 9)]
    cells += [keyed("sft-only", 0.1 + 0.011 * (s % 3), s) for s in range(7, 15)]
    store = filled(tmp_path / "r", *cells)
    row = one(ask(store, kind="mean_diff", a=guided(), b=plain()))
    assert (row.n_pairs, row.n_a, row.n_b) == (2, 8, 8)
    assert "paired on 2 of 8 and 8 seeds" in row.notes
    claims = next(v for v in analyze([store]).views if v.name == "claims")
    assert "paired on 2 of 8 and 8 seeds" in claims.rows[0]["reason"]


@pytest.mark.parametrize("keys", [True, False])
def test_seeds_that_diverged_or_have_no_score_are_counted_in_the_claim(tmp_path, keys):
    cells = []
    for seed in range(1, 9):
        found = scored("rho-guided", 0.5 + 0.013 * seed, seed=seed, key=keys)
        if seed > 4:
            found = a_result(found.spec, {}, status=Status.DIVERGED)
        cells.append(found)
        rho = None if seed == 2 else 0.1 + 0.011 * (seed % 3)
        cells.append(scored("sft-only", rho, seed=seed, key=keys))
    store = filled(tmp_path / "r", *cells)
    expected = (
        "seeds lost: 4 of 8 of rho-guided w=0.2 m=0.1 (4 diverged), "
        "1 of 8 of sft-only (1 without a score)"
    )
    assert expected in one(ask(store, kind="mean_diff", a=guided(), b=plain())).notes
    claims = next(v for v in analyze([store]).views if v.name == "claims")
    assert expected in claims.rows[0]["reason"]


def test_a_complete_row_says_nothing_of_losses(tmp_path):
    row = one(ask(two_arms(tmp_path / "r"), kind="mean_diff", a=guided(), b=plain()))
    assert "seeds" not in notes_of(row)
