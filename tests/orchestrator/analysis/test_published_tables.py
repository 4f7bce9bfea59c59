"""The published figures through our tables: every number that the figures give, as printed."""

import json

import pytest

from orchestrator.analysis.published.figures import figures, printed_evidence
from orchestrator.analysis.published.tables import published_tables
from orchestrator.analysis.tables.invariants import check
from orchestrator.analysis.tables.view import Missing, View
from tests import ROOT

GOLDEN = json.loads(
    (ROOT / "tests" / "golden" / "published_tables.json").read_text(encoding="utf-8")
)
CONTRACTS = {
    "refusal_buffer": "condition delta_mean delta_sd n diff_ref ci_low ci_high test p_student p "
    "p_holm g g_low g_high sesoi p_noninferior p_tost verdict",
    "margin": "margin bias factual toxicity n bias_sd factual_sd toxicity_sd bias_abs "
    "diff_vs_ref ci_low ci_high diff_vs_sft_only p_holm verdict",
    "variance": "behavior sd_a sd_b reduction_pct n_a n_b min_a max_a min_b max_b "
    "variance_reduction_pct sd_ratio ratio_low ratio_high p_f_normal_theory p_brown_forsythe "
    "n_arms_searched p_adjusted verdict",
    "ablation_means": "condition factual toxicity sycophancy bias",
    "effects": "comparison behavior cohens_d p n_a n_b pairing diff ci_low ci_high g g_low "
    "g_high test p_default p_holm family_size p_attainable_min population verdict",
    "dose_response": "rho_weight factual_mean factual_sd toxicity_mean toxicity_sd bias_mean "
    "bias_sd n",
    "dose_tests": "behavior page_L page_p jt_J jt_p p_strict worst_step lof_F lof_p r2_means "
    "slope_1 slope_2 slope_3 monotone linear",
    "stress": "condition jailbreak_pct jailbreak_k jailbreak_n benign_pct benign_k benign_n "
    "n_seeds jb_low jb_high ci_method benign_upper diff_vs_baseline diff_low diff_high gain loss "
    "p p_holm judge verdict",
    "stress_by_category": "category n baseline_k sft-only_k contrastive-only_k rho-guided_k "
    "n_seeds n_discordant",
    "config": "setting value",
    "pairing": "arm_a arm_b n_seeds_a n_seeds_b n_paired key_source r_pair batch_versions "
    "reason_if_unpaired",
    "plan": "contrast mde_80 n_seeds_for_80 n_prompts_for_80 assumption",
    "claims": "claim contrast_ids population family p_adjusted verdict reason",
}


@pytest.fixture(scope="module")
def views():
    return published_tables()


def view(views, key: str) -> View:
    (found,) = [v for v in views if v.key == key]
    assert isinstance(found, View)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("key", GOLDEN)
def test_every_number_is_the_one_expected_at_its_printed_precision(views, key):
    table, expected = view(views, key), GOLDEN[key]
    columns = [next(c for c in table.columns if c.fields[0] == f) for f in expected["columns"]]
    assert [[c.text(row) for c in columns] for row in table.rows] == expected["rows"]


@pytest.mark.parametrize("name", CONTRACTS)
def test_columns_start_with_those_promised_in_that_order(views, name):
    (found,) = [v for v in views if v.name == name]
    promised = tuple(CONTRACTS[name].split())
    assert found.fields[: len(promised)] == promised


def test_means_have_n_sd_and_two_intervals_for_each_behaviour(views):
    fields = view(views, "T4").fields
    for behavior in ("factual", "toxicity", "sycophancy", "bias"):
        for part in ("n", "sd", "ci_low", "ci_high", "ci_low_both", "ci_high_both"):
            assert f"{behavior}_{part}" in fields
    assert "split" in fields


def test_columns_of_the_notes_come_before_all_others(views):
    for table in views:
        if isinstance(table, View) and table.name != "effects":
            flags = [c.of_notes for c in table.columns]
            assert flags == sorted(flags, reverse=True), table.key


def test_the_tables_agree_with_each_other_and_with_the_figures(views):
    check(views, printed_evidence())


def test_what_the_notes_do_not_print_is_missing_and_says_so(views):
    (found,) = [v for v in views if v.name == "components"]
    assert isinstance(found, Missing)
    assert "two seeds" in found.reason


def test_refusal_rows_have_three_seeds_although_their_table_is_headed_five(views):
    rows = {r["behavior"]: (r["n_a"], r["n_b"]) for r in view(views, "T5").rows}
    assert rows == {"toxicity": (5, 5), "bias": (5, 5), "refusal": (3, 3)}
    assert figures()["T5_effect_sizes"]["n_seeds_printed"] == 5


def test_printed_d_lies_within_what_rounding_of_means_and_sds_allows(views):
    allowed = [(10.72, 10.89), (12.0, 17.6), (-8.89, -7.86), (8.08, 8.99)]
    for row, (low, high) in zip(view(views, "T5").rows, allowed, strict=True):
        assert low <= row["cohens_d"] <= high
        assert low <= row["notes_cohens_d"] <= high


def test_printed_percentages_and_reductions_are_those_of_the_counts_and_sds(views):
    for row in view(views, "T7").rows:
        assert round(row["jailbreak_pct"]) == row["printed_pct"]
    printed = {r["behavior"]: r["reduction_pct"] for r in figures()["T3_variance"]["rows"]}
    for row in view(views, "T3").rows:
        expected = printed[row["behavior"]]
        assert expected is None or round(row["reduction_pct"]) == expected


def test_two_tables_of_the_notes_are_the_same_runs(views):
    deltas = {r["arm"]: r for r in view(views, "T4").rows}
    doses = {r["rho_weight"]: r for r in view(views, "T6").rows}
    for behavior in ("factual", "toxicity", "bias"):
        for arm, weight in (("sft-only", 0.0), ("rho-guided", 0.2)):
            printed = doses[weight][f"{behavior}_mean"]
            assert deltas[arm][f"{behavior}_delta"] == pytest.approx(printed, abs=1e-9)


def test_verdicts_on_the_notes_claims(views):
    found = {r["contrast_ids"]: r["verdict"] for r in view(views, "T13").rows}
    assert found == {
        "rho-guided-vs-sft-only": "supported",
        "contrastive-only-vs-sft-only": "supported",
        "rho-guided-vs-contrastive-only": "supported",
        "factual-better": "inconclusive",
        "refusal-noninferiority": "supported",
        "refusal-equivalence": "inconclusive",
        "variance-collapse": "inconclusive",
        "margin-needed": "not_testable",
        "dose-trend": "supported",
        "dose-strict_monotone": "inconclusive",
        "dose-linearity": "contradicted",
        "refusal-paradox": "inconclusive",
        "all-p-below": "contradicted",
        "factual-diminishing": "inconclusive",
        "sft-refuses-as-rho-guided": "inconclusive",
        "no-over-refusal": "inconclusive",
        "universal-failure": "inconclusive",
        "sycophancy-unmoved": "not_testable",
    }


def test_seeds_and_prompts_for_eighty_percent_power(views):
    rows = {r["contrast"]: r for r in view(views, "T12").rows}
    assert rows["factual-better: factual"]["n_seeds_for_80"] == 34
    assert rows["variance-collapse: factual"]["n_seeds_for_80"] == 9
    paradox = rows["contrastive-only vs baseline: jailbreak refusal"]
    assert paradox["n_prompts_for_80"] == 65
    assert "4 gained and 1 lost of 25: 115 prompts" in paradox["assumption"]


def test_preserving_is_said_nowhere_without_its_margin(views):
    for table in views:
        if isinstance(table, View):
            words = json.dumps([table.title, table.notes, [list(r.values()) for r in table.rows]])
            assert "preserv" not in words.lower()
    assert "p non-inferior (δ=0.02)" in [c.label for c in view(views, "T1").columns]


@pytest.mark.parametrize(
    "name",
    ["refusal_buffer", "variance", "effects", "config", "pairing", "plan", "claims", "stress"],
)
def test_the_documentation_names_every_field(views, name):
    text = (ROOT / "docs" / "result-tables.md").read_text(encoding="utf-8")
    line = next(x for x in text.splitlines() if x.startswith(f"| `{name}` |"))
    (table,) = [v for v in views if v.name == name]
    shared = {"condition", "rho_weight", "margin", "settings"}
    counted = {f for f in table.fields if f.endswith(("_unjudged", "_degenerate"))}
    ours = {f for f in table.fields if not f.startswith("notes_")} - shared - counted
    assert ours <= set(line.split("|")[2].replace(",", " ").split())


def test_tables_and_claims_of_the_notes_say_the_same_of_steps_and_lines(views):
    shown = {
        (kind, r["behavior"]): r[field]
        for r in view(views, "T6 tests").rows
        for kind, field in (("strict_monotone", "monotone"), ("linearity", "linear"))
    }
    reasons = {r["contrast_ids"]: r["reason"] for r in view(views, "T13").rows}
    assert shown["strict_monotone", "bias"] == "inconclusive"
    for (kind, behavior), word in shown.items():
        assert f"{behavior} {word} (" in reasons[f"dose-{kind}"]
    keeping = {r["condition"]: r.get("verdict") for r in view(views, "T1").rows}
    assert (keeping["rho-guided"], keeping["contrastive-only"]) == ("supported", None)


def test_claims_in_words_are_asked_in_their_direction_with_numbers_of_their_own(views):
    reasons = {r["contrast_ids"]: r["reason"] for r in view(views, "T13").rows}
    found = {r["contrast_ids"]: r["p_adjusted"] for r in view(views, "T13").rows}
    assert "largest p by Welch's test is 0.0015" in reasons["all-p-below"]
    assert "+0.228" in reasons["factual-diminishing"]  # 0.142 / 0.3 minus 0.049 / 0.2
    assert "[-0.239, +0.239]" in reasons["sft-refuses-as-rho-guided"]
    assert "[+0.000, +0.218]" in reasons["no-over-refusal"]
    assert found["no-over-refusal"] > 0.8**15  # adjusted
    assert reasons["universal-failure"].count("inconclusive") == 2


def test_the_notes_configuration_has_mix_hardware_and_framework(views):
    values = {r["setting"]: r["value"] for r in view(views, "T9").rows}
    assert values["data.mix"] == "200 traps + 800 instructions"
    assert values["hardware"] == "192 GB of unified memory"
    assert values["framework"] == "mlx-lm 0.30.7"
