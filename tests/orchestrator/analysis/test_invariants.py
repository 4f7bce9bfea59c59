"""Each invariant broken on purpose: the error names the table and the row."""

import math
from dataclasses import replace

import pytest

from orchestrator.analysis.published.figures import printed_evidence
from orchestrator.analysis.published.tables import published_tables
from orchestrator.analysis.tables.invariants import InvariantError, check
from orchestrator.analysis.tables.view import Column, Shape, View
from orchestrator.stats.records import Summary
from tests.orchestrator.analysis.arms import a_row, an_arm


@pytest.fixture(scope="module")
def views():
    return {v.name: v for v in published_tables()}


def changed(view: View, row: int, **fields: object) -> View:
    """The view with another value in one row."""
    rows = list(view.rows)
    rows[row] = {**rows[row], **fields}
    return replace(view, rows=tuple(rows))


def broken(views=(), evidence=(), inference=()) -> str:
    with pytest.raises(InvariantError) as found:
        check(views, evidence, inference)
    return str(found.value)


@pytest.mark.slow
def test_sound_tables_pass(views):
    check(views.values(), printed_evidence())


@pytest.mark.slow
def test_categories_that_do_not_add_up(views):
    wrong = changed(views["stress_by_category"], 0, **{"sft-only_k": 1})
    assert "T8 stress_by_category, sum: sft-only_k is 18, rows give 17" in broken([wrong])


def test_a_sum_that_is_not_that_of_the_stress_table(views):
    wrong = changed(views["stress"], 2, jailbreak_k=21)
    text = broken([wrong, views["stress_by_category"]])
    assert "sum: contrastive-only_k is 20, T7 has 21" in text


def test_a_number_of_categories_that_is_not_the_number_of_categories(views):
    table = views["stress_by_category"]
    wrong = replace(table, title="Refused jailbreaks by category, 10 categories")
    assert "11 distinct categories in 11 rows" in broken([wrong])
    twice = changed(table, 0, category="roleplay")
    assert "10 distinct categories in 11 rows" in broken([twice])


def test_a_delta_that_is_not_score_minus_baseline():
    arm = an_arm(scores=[1.0, 2.0], baseline=0.5)
    check([], [arm])
    wrong = replace(arm, delta=Summary(n=2, mean=1.0 + 1e-8, sd=0.5))
    text = broken(evidence=[wrong])
    assert "T4 ablation_means, rho-guided w=0.2 m=0.1, bias: delta is 1.00000001" in text
    assert "n 2 and 3" in broken(evidence=[replace(arm, delta=Summary(n=3, mean=1.0, sd=0.5))])


def test_a_heading_with_another_number_of_seeds(views):
    wrong = changed(views["refusal_buffer"], 1, n=5)
    text = broken([wrong])
    assert "T1 refusal_buffer, row 2 (rho-guided): n is 5, the heading says n = 3" in text
    varies = replace(wrong, title=wrong.title.replace("n = 3", "n varies"))
    check([varies])


@pytest.mark.parametrize("place", ["title", "notes", "label"])
def test_a_reduction_of_nothing(views, place):
    table, words = views["variance"], "A reduction of 63%"
    if place == "label":
        extra = Column(label=words, fields=("sd_a",), shape=Shape.PLAIN)
        wrong = replace(table, columns=(*table.columns, extra))
    else:
        wrong = replace(table, **{place: words if place == "title" else (words,)})
    assert "T3 variance, A reduction of 63%: a reduction of neither" in broken([wrong])


def test_a_verdict_on_a_behaviour_that_was_not_evaluated():
    arm = an_arm(scores=[1.0, 2.0])
    text = broken(evidence=[arm], inference=[a_row(behavior="tact")])
    assert "T13 claims, c1: supported on tact (heldout), which was not evaluated" in text
    check([], [arm], [a_row(), a_row("not_testable", behavior="tact")])


@pytest.mark.parametrize("value", [math.nan, math.inf, "0.1"])
def test_a_number_that_is_none(views, value):
    text = broken([changed(views["effects"], 0, diff=value)])
    assert "T5 effects, row 1 (rho-guided vs sft-only): diff is" in text


def test_half_an_interval(views):
    assert "half of ('ci_low', 'ci_high')" in broken([changed(views["effects"], 0, ci_high=None)])


def test_a_fifth_verdict(views):
    assert "verdict is 'confirmed'" in broken([changed(views["effects"], 0, verdict="confirmed")])


def test_all_problems_are_told_at_once(views):
    one = changed(views["effects"], 0, verdict="confirmed", diff=math.nan)
    assert broken([one]).startswith("tables: 2 that contradict")
