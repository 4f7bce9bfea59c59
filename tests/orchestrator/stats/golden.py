"""Checks a copy of the statistics by the golden cases; tests also give it a mutated copy.

A check takes the copy and its case of tests/golden/statistics.json, and fails by assertion.
"""

import importlib
import json
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from tests import ROOT

CASES = json.loads((ROOT / "tests" / "golden" / "statistics.json").read_text())


class Copy:
    """A package of statistics, found by the name under which it is imported."""

    def __init__(self, package: str = "orchestrator.stats") -> None:
        self.package = package

    def __getattr__(self, module: str) -> Any:
        return importlib.import_module(f"{self.package}.{module}")

    def summary(self, mean: float, sd: float, n: int) -> Any:
        return self.records.Summary(n=n, mean=mean, sd=sd)


class Case:
    def __init__(self, name: str) -> None:
        self.input, self.expected = CASES[name]["input"], CASES[name]["expected"]
        self.rtol = CASES[name]["rtol"]

    def close(self, found: Any, expected: Any) -> None:
        assert found == pytest.approx(expected, rel=self.rtol, abs=1e-14)

    def interval(self, found: Any, expected: list[float]) -> None:
        self.close([found.low, found.high], expected)


def g01(lib: Copy, case: Case) -> None:
    for row, expected in zip(case.input["rows"], case.expected, strict=True):
        assert row["name"] == expected["name"]
        mean_a, sd_a, n_a, mean_b, sd_b, n_b = row["args"]
        _two_samples(
            lib, case, expected, lib.summary(mean_a, sd_a, n_a), lib.summary(mean_b, sd_b, n_b)
        )


def _two_samples(lib: Copy, case: Case, expected: dict[str, Any], a: Any, b: Any) -> None:
    welch, student = lib.means.welch(a, b), lib.means.student(a, b)
    for found, name in ((welch, "welch"), (student, "student")):
        assert (found.test, found.state, found.n_a, found.n_b) == (name, "ok", a.n, b.n)
        case.close(found.diff, expected["diff"])
        case.close(found.statistic, expected[f"t_{name}"])
        case.close(found.df, expected[f"df_{name}"])
        case.close(found.p, expected[f"p_{name}"])
    case.interval(welch.interval, expected["ci_welch"])
    case.close(lib.means.pooled_sd(a, b), expected["sd_pooled"])
    case.close(lib.effect.cohens_d(a, b), expected["d"])
    g = lib.effect.hedges_g(a, b)
    case.close([g.estimate, g.low, g.high], [expected["g"], *expected["g_ci"]])


def g02(lib: Copy, case: Case) -> None:
    a, b, e = case.input["a"], case.input["b"], case.expected
    t = lib.means.paired(a, b)
    assert (t.state, t.n_pairs) == ("ok", e["n"])
    case.close([t.diff, t.statistic, t.df, t.p], [e["diff"], e["t"], e["df"], e["p_t"]])
    case.interval(t.interval, e["ci"])
    case.close(t.r_pair, e["r_pair"])
    differences = [x - y for x, y in zip(a, b, strict=True)]
    summary = lib.records.Summary.of(differences)
    case.close([summary.sd, summary.mean / summary.sd], [e["sd_diff"], e["d_z"]])
    g = lib.effect.g_z(differences)
    case.close([g.estimate, g.low, g.high], [e["g_z"], *e["g_z_ci"]])
    flip = lib.exact.sign_flip(differences)
    case.close([flip.p, flip.p_attainable_min], [e["p_signflip"], e["p_signflip_min"]])


def g03(lib: Copy, case: Case) -> None:
    a, b = case.input["a"], case.input["b"]
    _two_samples(lib, case, case.expected, *(lib.records.Summary.of(x) for x in (a, b)))
    found = lib.exact.permutation(a, b)
    assert found.arrangements == case.expected["n_permutations"]
    case.close(found.p, case.expected["p_perm_exact_t"])


def g04(lib: Copy, case: Case) -> None:
    e = case.expected["raw"]
    found = lib.spread.sd_ratio(case.input["reference"], case.input["treated"])
    assert found.state == "ok"
    _described(case, found, e)
    case.close(found.p_brown_forsythe, e["p_brown_forsythe"])
    case.close(found.ratio, e["sd_ratio"])
    case.close(
        [found.ratio_jackknife.estimate, found.p_jackknife], [e["sd_ratio_jack"], e["p_jack"]]
    )
    case.interval(found.ratio_jackknife.interval, e["sd_ratio_ci_jack"])

    given, e = case.input["published"], case.expected["published"]
    found = lib.spread.sd_ratio_from_summaries(
        lib.summary(0.0, given["sd_reference"], given["n"]),
        lib.summary(0.0, given["sd_treated"], given["n"]),
    )
    _described(case, found, e)
    case.interval(found.reduction_f, e["reduction_pct_ci_F"])
    assert (found.p_brown_forsythe, found.ratio_jackknife) == (None, None)

    three = lib.spread.sd_ratio(case.input["reference"][:3], case.input["treated"][:3])
    assert (three.state, three.p_f) == (case.expected["n3_status"], None)


def _described(case: Case, found: Any, e: dict[str, Any]) -> None:
    case.close([found.sd_a, found.sd_b], [e["sd_x"], e["sd_y"]])
    case.close([found.f, found.p_f], [e["F"], e["p_F"]])
    case.close(
        [found.reduction_pct, found.variance_reduction_pct],
        [e["reduction_pct"], e["variance_reduction_pct"]],
    )
    case.interval(found.ratio_f, e["sd_ratio_ci_F"])


def g05(lib: Copy, case: Case) -> None:
    for (k, n), e in zip(case.input["cells"], case.expected, strict=True):
        found = lib.proportions.proportion(k, n)
        case.close(found.estimate, e["p"])
        case.interval(found.wilson, e["wilson"])
        case.interval(found.exact, e["clopper_pearson"])
        if e["one_sided_upper95"] is None:
            assert found.upper is None
        else:
            case.close(found.upper, e["one_sided_upper95"])


def g06(lib: Copy, case: Case) -> None:
    arms = case.input["order"]
    for pair, e in case.expected["bounds"].items():
        a, b = (arms.index(name) for name in pair.split("->"))
        categories = [(c["n"], c["refused"][a], c["refused"][b]) for c in case.input["categories"]]
        found = lib.proportions.mcnemar_bounds(categories)
        case.close([found.p_min, found.p_max], [e["mcnemar_p_min"], e["mcnemar_p_max"]])
        assert [list(f) for f in found.feasible] == e["feasible_gain_loss"]
        asked, *refused = (sum(c[i] for c in categories) for i in range(3))
        assert refused == [e["a"], e["b"]]
        p = lib.proportions.fisher(refused[0], asked, refused[1], asked)
        case.close(p, e["fisher_p"])
    for counts, e in zip(case.input["discordant"], case.expected["discordant"], strict=True):
        found = lib.proportions.mcnemar(*counts)
        assert counts == [e["gain"], e["loss"], e["n"]]
        case.close(found.p, e["p"])
        case.interval(found.interval, e["agresti_min_ci"])


def g07(lib: Copy, case: Case) -> None:
    matrix, e = case.input["matrix"], case.expected
    found = lib.proportions.cochran_q(matrix)
    case.close([found.q, found.df, found.p], [e["cochran"][k] for k in ("q", "df", "p")])
    pairs = []
    for a, b in combinations(range(4), 2):
        gain = sum(row[b] > row[a] for row in matrix)
        loss = sum(row[b] < row[a] for row in matrix)
        pairs.append(lib.proportions.mcnemar(gain, loss, len(matrix)))
    assert [(p.gain, p.loss) for p in pairs] == [(x["gain"], x["loss"]) for x in e["pairwise"]]
    case.close([p.p for p in pairs], [x["p"] for x in e["pairwise"]])
    case.close(lib.multiplicity.holm([p.p for p in pairs]), [x["p_holm"] for x in e["pairwise"]])


def g08(lib: Copy, case: Case) -> None:
    doses = case.input["doses"]
    for name, e in case.expected.items():
        rows, columns = case.input[name], list(zip(*case.input[name], strict=True))
        page, found = lib.trend.page(rows), lib.trend.jonckheere(columns)
        case.close([page.statistic, page.p], [e["page_L"], e["page_p"]])
        assert page.method == e["page_method"]
        case.close(found.statistic, e["jt_J"])
        if e["jt_p"] is None:
            assert found.method.startswith("permutation")
            assert found.p == pytest.approx(e["jt_p_normal_statsmodels"], rel=0.5)
        else:
            assert found.method == "exact"
            case.close(found.p, e["jt_p"])
        summaries = [lib.records.Summary.of(c) for c in columns]
        for kind, steps in (
            ("paired", lib.trend.steps_paired(doses, rows)),
            ("welch", lib.trend.steps_welch(doses, summaries)),
        ):
            assert [(s.low, s.high) for s in steps] == [(s["frm"], s["to"]) for s in e["steps"]]
            case.close([s.diff for s in steps], [s["diff"] for s in e["steps"]])
            case.close([s.p for s in steps], [s[f"p_{kind}"] for s in e["steps"]])
            case.close(lib.trend.strict_p(steps), e[f"p_strictly_monotone_{kind}"])


def g09(lib: Copy, case: Case) -> None:
    for behavior, e in case.expected.items():
        arms = [lib.summary(mean, sd, case.input["n"]) for mean, sd in case.input["arms"][behavior]]
        found = lib.dose.dose_shape(case.input["doses"], arms)
        case.close([found.intercept, found.slope], [e["intercept"], e["slope"]])
        case.close([found.r2_means, found.f_lack_of_fit], [e["r2_means"], e["F_lof"]])
        case.close(found.p_lack_of_fit, e["p_lof"])
        case.close(list(found.segment_slopes), e["segment_slopes"])
        assert found.df == tuple(e["df"])


def g10(lib: Copy, case: Case) -> None:
    given = case.input["published"]
    published = lib.means.welch(
        lib.summary(given["mean_a"], given["sd_a"], given["n"]),
        lib.summary(given["mean_b"], given["sd_b"], given["n"]),
    )
    raw = lib.means.paired(case.input["a"], case.input["b"])
    tests = [(f"paired_{d}", raw, d) for d in case.input["deltas"]]
    tests += [(f"published_rho_vs_sft_{d}", published, d) for d in given["deltas"]]
    assert {name for name, _, _ in tests} == set(case.expected)
    for name, test, delta in tests:
        e, found = case.expected[name], lib.means.equivalence(test, delta)
        case.close(
            [found.p_noninferior, found.p_upper, found.p_tost],
            [e["p_noninferior"], e["p_upper"], e["p_tost"]],
        )
        case.interval(found.interval, e["ci90"])


def g11(lib: Copy, case: Case) -> None:
    for name, matrix in (
        ("continuous", case.input["continuous"]),
        ("refusal", case.input["refusal_diff"]),
    ):
        e, found = case.expected[name], lib.crossed.crossed(np.array(matrix, dtype=float))
        assert (found.state, found.source) == ("ok", e["variance_source"])
        assert (found.n_seeds, found.n_probes) == np.shape(matrix)
        for field in ("mean", "ms_seed", "ms_probe", "ms_resid", "var_seed", "var_probe"):
            case.close(getattr(found, field), e[field])
        for field in ("var_resid", "se", "df", "t", "p"):
            case.close(getattr(found, field), e[field])
        case.interval(found.both, e["ci_new_seeds_new_probes"])
        case.interval(found.seeds, e["ci_new_seeds_same_probes"])
        case.interval(found.probes, e["ci_same_seeds_new_probes"])


def g12(lib: Copy, case: Case) -> None:
    e, power = case.expected, lib.power
    case.close(lib.multiplicity.holm(case.input["p"]), e["holm"])
    case.close(lib.multiplicity.benjamini_hochberg(case.input["p"]), e["bh"])
    _planning(case, power, e["power"])
    _attainable(case, lib.exact, e["power"])
    _degenerate(lib, case)


def _planning(case: Case, power: Any, e: dict[str, Any]) -> None:
    """Effects of the published table of doses, divided by the root mean square of both sds."""
    steps = (
        ("welch_n_factual_rho_vs_sft", 0.049, 0.039, 0.105),
        ("welch_n_factual_step_0_1_to_0_2", 0.011, 0.039, 0.052),
        ("welch_n_bias_step_0_1_to_0_2", 0.011, 0.003, 0.010),
    )
    for name, diff, sd_a, sd_b in steps:
        d = diff / ((sd_a**2 + sd_b**2) / 2) ** 0.5
        assert power.n_welch(d, sd_ratio=sd_a / sd_b) == e[name]
    case.close(power.power_welch(5, 1.5), e["welch_power_n5_d1_5"])
    case.close(power.power_f_ratio(5, 0.105 / 0.039), e["fratio_power_n5_2_692"])
    assert power.n_f_ratio(0.105 / 0.039) == e["fratio_n80_2_692"]
    case.close(power.power_mcnemar(25, 0.12, 0.0), e["mcnemar_power_25_12_0"])
    assert power.n_mcnemar(0.12, 0.0) == e["mcnemar_n80_12_0"]


def _attainable(case: Case, exact: Any, e: dict[str, Any]) -> None:
    for n, p in e["min_signflip_p"].items():
        case.close(exact.min_sign_flip_p(int(n)), p)
    for n, p in e["min_two_sample_perm_p"].items():
        case.close(exact.min_permutation_p(int(n), int(n)), p)
    for n, p in e["min_page_p_one_sided_k4"].items():
        case.close(exact.min_page_p(int(n), 4), p)


def _degenerate(lib: Copy, case: Case) -> None:
    """Without the pair that has a None, two equal differences are left, so its p is None, too."""
    one, zero, missing, infinite = case.input["degenerate"]
    e_one, e_zero, e_missing, _ = case.expected["degenerate"]
    for found in (
        lib.means.paired(one["a"], one["b"]),
        lib.means.welch(*(lib.records.Summary.of(one[k]) for k in "ab")),
    ):
        assert (found.state, found.p, found.interval) == (e_one["status"], None, None)
    found = lib.means.paired(zero["a"], zero["b"])
    assert (found.state, found.p, found.interval) == (e_zero["status"], None, None)
    case.close(found.diff, e_zero["diff"])
    found = lib.means.paired(missing["a"], missing["b"])
    assert (found.n_pairs, found.state) == (e_missing["n_pairs"], "zero_variance")
    found = lib.means.paired(missing["a"], [*missing["b"][:2], 0.65])
    assert (found.n_pairs, found.state) == (e_missing["n_pairs"], e_missing["status"])
    with pytest.raises(ValueError, match="inf"):
        lib.means.paired([float(x) for x in infinite["a"]], infinite["b"])


CHECKS: dict[str, Callable[[Copy, Case], None]] = {
    "G01": g01,
    "G02": g02,
    "G03": g03,
    "G04": g04,
    "G05": g05,
    "G06": g06,
    "G07": g07,
    "G08": g08,
    "G09": g09,
    "G10": g10,
    "G11": g11,
    "G12": g12,
}
