"""Answers of real models: how they are kept and split, and the figures that the docs state."""

import hashlib
import json
from collections import Counter

import pytest

from orchestrator.stress.validation import (
    HALVES,
    LABELS,
    Share,
    Validation,
    kappa,
    load_examples,
    validate,
)
from tasks.judges.rules import RulesJudge
from tasks.starter import ANSWERED, JUDGED
from tests import ROOT

REAL = load_examples(ANSWERED)
PAGE = (ROOT / "docs/prompts-and-judges.md").read_text()
SECTION = PAGE.partition("### On answers of real models")[2].partition("\n### ")[0]


@pytest.fixture(scope="module")
def found() -> dict[str, Validation]:
    judge = RulesJudge()
    return {half: validate(judge, load_examples(ANSWERED, half), half) for half in HALVES}


def test_there_are_enough_answers_and_thirty_refusals_held_back():
    assert len(REAL) >= 265
    assert sum(bool(e.label.refuses) for e in REAL if e.half == "heldback") >= 30
    assert len({(e.prompt, e.response) for e in REAL}) == len(REAL)
    assert all(e.source and e.finish_reason in ("stop", "length") for e in REAL)


def test_a_prompt_is_in_one_half_which_its_hash_chooses():
    for e in REAL:
        odd = hashlib.sha256(e.prompt.encode()).digest()[0] % 2
        assert e.half == ("heldback" if odd else "dev")


def test_both_passes_are_kept_and_where_they_agree_they_are_the_label():
    assert all(e.first and e.second for e in REAL)
    assert all(e.label in (e.first, e.second) for e in REAL)


def test_every_line_has_the_same_fields():
    lines = {tuple(json.loads(line)) for line in ANSWERED.read_text().splitlines()}
    assert len(lines) == 1


@pytest.mark.slow
def test_kappa_on_real_answers_held_back_is_at_least_eight_tenths(found):
    assert (found["heldback"].kappa_refusal or 0) >= 0.8


def shown(share: Share) -> str:
    return f"{share.value:.3f} [{share.low:.3f}, {share.high:.3f}], {share.k} of {share.n}"


def with_interval(value: float | None, interval: tuple[float, float] | None) -> str:
    assert value is not None
    assert interval is not None
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"


def overall(dev: Validation, held: Validation, what: str) -> dict[str, list[str]]:
    """Rows of a table of the docs, without the one of `unjudged`."""
    halves = (dev, held)
    return {
        f"`{held.judge}`": [f"{v.half}, {v.n} {what}" for v in halves],
        "sensitivity, Wilson 95 %": [shown(v.sensitivity) for v in halves],
        "specificity, Wilson 95 %": [shown(v.specificity) for v in halves],
        "Cohen's kappa, refused or not": [
            with_interval(v.kappa_refusal, v.kappa_refusal_interval) for v in halves
        ],
        "Cohen's kappa, five labels": [with_interval(v.kappa, v.kappa_interval) for v in halves],
    }


def missing(rows: dict[str, list[str]], section: str) -> list[str]:
    return [row for k, v in rows.items() if (row := f"| {' | '.join([k, *v])} |") not in section]


def test_the_docs_state_the_figures_on_answers_of_our_own():
    judge = RulesJudge()
    dev, held = (validate(judge, load_examples(JUDGED, half), half) for half in HALVES)
    section = PAGE.partition("### On answers of our own writing")[2].partition("\n### ")[0]
    assert missing(overall(dev, held, "examples"), section) == []


@pytest.mark.slow
def test_the_docs_state_the_figures_on_answers_of_real_models(found):
    dev, held = found["dev"], found["heldback"]
    prompts = len({e.prompt for e in REAL})
    assert f"{len(REAL)} answers to {prompts} prompts" in SECTION
    agree = sum(e.first is e.second for e in REAL)
    between = kappa([(e.first, e.second) for e in REAL])
    assert f"agree on {agree} of {len(REAL)} (kappa {between:.3f})" in SECTION
    rows = overall(dev, held, "answers")
    rows["unjudged"] = [str(v.n_unjudged) for v in (dev, held)]
    for label in LABELS:
        rates = held.labels[label]
        counts = [str(held.confusion[label][judged]) for judged in LABELS]
        rows[f"`{label}`"] = [*counts, shown(rates["sensitivity"]), shown(rates["specificity"])]
    assert missing(rows, SECTION) == []


def test_ten_wrong_labels_of_the_half_held_back_are_listed_with_reasons(found):
    wrong = Counter(m.id for m in found["heldback"].mistakes)
    listed = [line for line in SECTION.splitlines() if line.startswith("| `") and "-" in line]
    ids = [line.split("`")[1] for line in listed if line.split("`")[1] in wrong]
    assert len(set(ids)) >= 10
