"""Refusals: one seed, several seeds, answers without a verdict, categories."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.analysis.evidence.refusals import stressed
from orchestrator.analysis.published.figures import figures
from orchestrator.analysis.tables.answers.categories import stress_by_category
from orchestrator.analysis.tables.answers.stress import stress
from orchestrator.analysis.tables.invariants import check
from orchestrator.analysis.tables.verdicts import Verdicts
from orchestrator.analysis.tables.view import Missing, View
from orchestrator.config.contrast_kinds import Kind
from orchestrator.stats.crossed import crossed
from orchestrator.stats.proportions import mcnemar, mcnemar_bounds, proportion
from tests.orchestrator.analysis.arms import a_row, answers

BASE = [True] * 5 + [False] * 15
GAINED = [True] * 12 + [False] * 8


def text(view: View, field: str, row: int) -> str:
    column = next(c for c in view.columns if c.fields[0] == field)
    return column.text(view.rows[row])


def test_one_seed_is_exact_mcnemar_against_the_baseline_and_says_whom_it_is_about():
    view = stress([*answers("baseline", BASE, seed=None), *answers("sft-only", GAINED)])
    row, expected = view.rows[1], mcnemar(7, 0, 20)
    assert (row["gain"], row["loss"], row["p"]) == (7, 0, expected.p)
    assert (row["diff_low"], row["diff_high"]) == (expected.interval.low, expected.interval.high)
    assert (row["jb_low"], row["ci_method"]) == (proportion(12, 20).wilson.low, "wilson")
    assert text(view, "jailbreak_pct", 1) == "60% (12/20)"
    assert "One seed: p is about these weights, not the method." in view.notes
    assert row["verdict"] is None
    asked = a_row(
        kind=Kind.PROP_DIFF, arms=("sft-only", "baseline"), behavior="jailbreak", split="answers"
    )
    counts = [*answers("baseline", BASE, seed=None), *answers("sft-only", GAINED)]
    told = [
        stress(counts, verdicts=Verdicts([replace(asked, estimate=e)])).rows[1]["verdict"]
        for e in (0.35, 0.2)
    ]
    assert told == ["supported", None]


def over_seeds(*seeds: list[bool]) -> View:
    counts = [*answers("baseline", BASE, seed=None)]
    for seed, verdicts in enumerate(seeds, 1):
        counts += answers("sft-only", verdicts, seed=seed)
    return stress(counts)


def test_three_seeds_vary_with_their_prompts_and_are_never_pooled():
    seeds = [GAINED, [*GAINED[1:], True], [*GAINED[4:], *[True] * 4]]
    row = over_seeds(*seeds).rows[1]
    expected = crossed(np.array(seeds, float) - np.array(BASE, float))
    assert (row["test"], row["p"], row["n_seeds"]) == ("crossed", expected.p, 3)
    assert (row["diff_low"], row["diff_high"]) == (expected.both.low, expected.both.high)
    assert (row["gain"], row["loss"]) == (None, None)
    assert row["ci_method"] == "seeds x prompts"
    assert 0 <= row["jb_low"] < row["jb_high"] <= 1


def test_two_seeds_are_a_difference_and_no_more():
    view = over_seeds(GAINED, [*GAINED[1:], True])
    row = view.rows[1]
    assert row["diff_vs_baseline"] == pytest.approx(0.35)
    assert row["p"] is row["jb_low"] is row["diff_low"] is None
    assert row["verdict"] is None
    assert "3 seeds and 3 prompts" in " ".join(view.notes)


def test_answers_without_a_verdict_are_in_neither_number_and_are_counted():
    verdicts = [True, False, None, True]
    view = stress(answers("sft-only", verdicts, degenerate=1))
    row = view.rows[0]
    assert (row["jailbreak_k"], row["jailbreak_n"]) == (2, 3)
    assert row["outside"] == "jailbreak: 1 unjudged, 4 degenerate"
    assert (row["jailbreak_unjudged"], row["jailbreak_degenerate"]) == (1, 4)
    assert "neither number" in " ".join(view.notes)


def test_only_prompts_judged_for_both_are_compared():
    base = answers("baseline", [True, False, None, False], seed=None)
    row = stress([*base, *answers("sft-only", [True, True, True, None])]).rows[1]
    assert (row["gain"], row["loss"]) == (1, 0)
    assert row["diff_vs_baseline"] == 0.5


def test_refusing_jailbreaks_and_refusing_their_twins_are_shown_apart():
    counts = [
        *answers("sft-only", GAINED),
        *answers("sft-only", [True, False, False, False], prompts="matched"),
        *answers("sft-only", [False] * 15, prompts="benign"),
    ]
    view = stress(counts)
    row = view.rows[0]
    assert (row["jailbreak_pct"], row["matched_pct"], row["benign_pct"]) == (60.0, 25.0, 0.0)
    assert row["jailbreak_minus_matched"] == pytest.approx(0.35)
    assert row["apart_low"] < 0.35 < row["apart_high"]
    assert row["benign_upper"] == pytest.approx(0.204, abs=5e-4)
    assert row["benign_upper_exact"] == pytest.approx(0.218, abs=5e-4)
    assert "matched_pct" in [c.fields[0] for c in view.shown]


def test_without_a_baseline_there_is_no_difference_and_nothing_is_tested():
    row = stress(answers("sft-only", GAINED)).rows[0]
    assert row.get("p") is row.get("diff_vs_baseline") is row.get("verdict") is None


def test_several_answers_to_a_prompt_are_no_independent_prompts():
    one = answers("sft-only", GAINED)
    twice = [_doubled(r) for r in one]
    row = stress([*answers("baseline", BASE, seed=None), *twice]).rows[1]
    assert (row["jailbreak_k"], row["jailbreak_n"]) == (24, 40)
    assert row["jb_low"] is row["p"] is row["gain"] is None
    assert row["diff_vs_baseline"] == pytest.approx(0.35)
    assert row["verdict"] is None


def _doubled(record):
    fields = {f: getattr(record, f) for f in record.__dataclass_fields__}
    counts = {"refused": 2 * record.refused, "complied": 2 * record.complied}
    return type(record)(**(fields | counts))


def test_cochrans_q_over_arms_of_one_seed_is_that_of_the_golden_matrix():
    matrix = _golden_matrix()
    names = ("baseline", "sft-only", "contrastive-only", "rho-guided")
    counts = []
    for i, name in enumerate(names):
        seed = None if name == "baseline" else 42
        counts += answers(name, [bool(row[i]) for row in matrix], seed=seed)
    view = stress(counts)
    assert any("4.38, df 3, p 0.223" in note for note in view.notes)
    by = {r["condition"]: r for r in view.rows}
    assert (by["sft-only"]["gain"], by["sft-only"]["loss"]) == (2, 1)
    assert (by["contrastive-only"]["gain"], by["contrastive-only"]["p"]) == (3, 0.25)
    assert by["contrastive-only"]["p_holm"] == 0.75


def _golden_matrix() -> list[list[int]]:
    """Answers with the published sums of each category, as many agreeing as possible."""
    rows = []
    for category in figures()["T8_stress_by_category"]["rows"]:
        n, refused = category["n"], category["refused"]
        rows += [[int(i < k) for k in refused] for i in range(n)]
    # Obfuscation loses one prompt and sycophancy gains another, so that the sums differ by two.
    return rows


def test_no_answers_is_missing():
    assert isinstance(stress([]), Missing)
    assert isinstance(stress_by_category([]), Missing)


def test_one_prompt_twice_in_a_cell_is_an_error():
    with pytest.raises(ValueError, match="p00 occurs twice"):
        stressed([*answers("sft-only", [True]), *answers("sft-only", [False])])


VERDICTS = st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=12)


@given(base=VERDICTS, arms=st.lists(VERDICTS, min_size=1, max_size=3), seeds=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_categories_always_add_up_to_the_whole(base, arms, seeds):
    counts = answers("baseline", base, seed=None)
    names = ("sft-only", "rho-guided", "shuffled-pairs")
    for name, verdicts in zip(names, arms, strict=False):
        for seed in range(seeds):
            counts += answers(name, verdicts[seed:] + verdicts[:seed], seed=seed)
    views = [stress(counts), stress_by_category(counts)]
    check(views)
    if isinstance(views[0], View):
        total = views[1].rows[-1]
        for row in views[0].rows:
            assert total[f"{row['arm']}_k"] == (row["jailbreak_k"] or 0)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_bounds_from_counts_hold_the_p_of_the_answers(pairs):
    base, arm = zip(*pairs, strict=True)
    row = stress(
        [*answers("baseline", list(base), seed=None), *answers("sft-only", list(arm))]
    ).rows[1]
    groups = [[p for i, p in enumerate(pairs) if i % 3 == c] for c in range(3)]
    sums = [(len(g), sum(a for a, _ in g), sum(b for _, b in g)) for g in groups if g]
    bounds = mcnemar_bounds(sums)
    assert bounds.p_min <= row["p"] <= bounds.p_max
    assert (row["gain"], row["loss"]) in bounds.feasible


def test_prompts_on_which_arms_differ_are_counted_by_category():
    counts = [
        *itertools.chain(
            answers("baseline", [True, True, False], seed=None),
            answers("sft-only", [True, False, False]),
        )
    ]
    rows = {r["category"]: r["n_discordant"] for r in stress_by_category(counts).rows}
    assert rows == {"a": 0, "b": 1, "c": 0, "sum": 1}
