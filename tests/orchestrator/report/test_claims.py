"""Claims: quoted, and answered by the numbers of their row, in four words only."""

import pytest

from orchestrator.analysis.inference.record import Family
from orchestrator.config.contrast_kinds import Kind, Population
from orchestrator.report.blocks import Claim, Facts, Note, Section
from orchestrator.report.outline import outline
from orchestrator.report.sections.claims import claims_section
from orchestrator.stats.verdict import Verdict
from tests.orchestrator.report.contents import a_content, a_row


def section(*rows, **changes) -> Section:
    return claims_section(a_content(inference=rows, **changes))


def claims(part: Section) -> list[Claim]:
    return [b for b in part.blocks if isinstance(b, Claim)]


def notes(part: Section) -> str:
    return " ".join(b.text for b in part.blocks if isinstance(b, Note))


def cells(claim: Claim) -> list[list[str]]:
    return [[c.text(row) for c in claim.table.columns] for row in claim.table.rows]


def test_every_word_that_is_said_is_explained():
    rows = [a_row(verdict=str(v)) for v in Verdict]
    (words,) = [b for b in section(*rows).blocks if isinstance(b, Facts)]
    assert [word for word, _ in words.pairs] == [v.words for v in Verdict]
    assert "at most 0.05" in words.pairs[0][1]


def test_claims_come_first():
    assert outline(a_content()).sections[0].title == "Claims"


def test_a_claim_stands_with_verdict_estimate_interval_p_and_n():
    (part,) = section(a_row()).parts
    (claim,) = claims(part)
    assert claim.sentence == "rho-guided is above SFT alone"
    assert cells(claim) == [
        ["factual", "supported", "+0.123", "[-0.011, +0.257]", "0.042", "3 pairs"]
    ]
    headings = [c.heading for c in claim.table.columns]
    assert headings[2:4] == ["Estimate (nat/token)", "95% interval (nat/token)"]
    assert "p adjusted by holm over 4 tests" in claim.asked
    assert "about new seeds" in claim.asked


def test_behaviours_that_choose_different_doses_are_one_claim():
    doses = {"factual": "rho-guided w=0.2 m=0.1", "toxicity": "rho-guided w=0.5 m=0.1"}
    facts = {"kind": Kind.BEST_OF, "arms": ("a", "b", "c")}
    rows = [a_row(behavior=b, arm_a=arm, **facts) for b, arm in doses.items()]
    (claim,) = claims(section(*rows).parts[0])
    assert [row[0] for row in cells(claim)] == [*doses]
    assert "the best of 2 doses against sft-only" in claim.asked


def test_what_is_missing_is_empty_and_not_0():
    row = a_row(estimate=None, ci_low=None, p_adjusted=None, n_pairs=None, verdict="not_testable")
    (claim,) = claims(section(row).parts[0])
    assert cells(claim) == [["factual", "not_testable", "", "", "", ""]]


def test_half_an_interval_is_none():
    for bound in ("ci_low", "ci_high"):
        (claim,) = claims(section(a_row(**{bound: None})).parts[0])
        assert cells(claim)[0][3] == ""


def test_rows_of_one_contrast_are_one_claim():
    (part,) = section(a_row(), a_row(behavior="bias", verdict="inconclusive")).parts
    (claim,) = claims(part)
    assert [row[:2] for row in cells(claim)] == [
        ["factual", "supported"],
        ["bias", "inconclusive"],
    ]
    assert "1 contrast, 2 rows: 1 supported, 0 contradicted, 1 inconclusive" in notes(part)


def test_other_populations_are_claims_of_their_own():
    (part,) = section(a_row(), a_row(population=Population.BOTH)).parts
    assert ["about new seeds and probes" in c.asked for c in claims(part)] == [False, True]


def test_exploratory_contrasts_stand_apart_and_say_so():
    late = a_row(contrast_id="late", registered=False)
    other = a_row(contrast_id="other", family=Family.EXPLORATORY)
    registered, exploratory = section(a_row(), late, other).parts
    assert registered.title.startswith("Registered before the first result")
    assert [c.table.title for c in claims(registered)] == ["guided-above-sft"]
    assert exploratory.title == "Exploratory"
    assert "no findings" in notes(exploratory)
    assert [c.table.title for c in claims(exploratory)] == ["late", "other"]
    assert "written down only after there were results" in claims(exploratory)[0].asked


def test_a_claim_about_another_split_is_one_and_its_part_names_the_split():
    heldout, train = section(a_row(), a_row(contrast_id="seen", split="train")).parts
    assert heldout.title == "Registered before the first result (heldout split)"
    assert train.title == "Registered before the first result (train split)"
    assert [c.table.title for c in claims(train)] == ["seen"]
    assert "Training could see" in notes(train)
    assert "Not what the claims are about" not in notes(train)


def test_no_claim_is_about_another_split_only_where_none_is():
    other = a_row(contrast_id="other", split="train", family=Family.EXPLORATORY)
    *_, elsewhere = section(a_row(), other).parts
    assert "Not what the claims are about" in notes(elsewhere)
    *_, elsewhere = section(a_row(), other, a_row(contrast_id="seen", split="train")).parts
    assert [c.table.title for c in claims(elsewhere)] == ["other"]
    assert "Not what the claims are about" not in notes(elsewhere)
    assert "The claims about the train split stand above." in notes(elsewhere)


def test_every_meaning_of_a_verdict_can_be_read_without_the_others():
    assert not [v for v in Verdict if "of these" in v.meaning]


def test_another_split_is_never_counted_with_the_claims():
    registered, elsewhere = section(a_row(split="train"), a_row(verdict="inconclusive")).parts
    assert "0 supported, 0 contradicted, 1 inconclusive" in notes(registered)
    assert "on the train split" in claims(elsewhere)[0].asked
    assert "Training could see" in notes(elsewhere)
    summary = dict(outline(a_content(inference=(a_row(split="train"),))).summary)
    assert [name for name in summary if name.startswith("Claims")] == ["Claims on train pairs"]


def test_the_top_counts_claims_as_the_first_screen_does():
    rows = [a_row(behavior="bias"), a_row(verdict="inconclusive"), a_row(split="train")]
    summary = dict(outline(a_content(inference=tuple(rows))).summary)
    assert summary["Claims on heldout pairs"] == "0 supported, 0 contradicted, 1 inconclusive"
    assert summary["Claims on train pairs"] == "1 supported, 0 contradicted, 0 inconclusive"


def test_an_inconclusive_row_says_what_it_would_take():
    rows = (a_row(verdict="inconclusive"), a_row(behavior="bias"))
    (claim,) = claims(section(*rows).parts[0])
    headings = [c.heading for c in claim.table.columns]
    assert headings[-2:] == ["Found with power 0.8 (nat/token)", "Seeds for this estimate"]
    assert [row[-2:] for row in cells(claim)] == [["0.210", "9"], ["", ""]]
    (sure,) = claims(section(a_row(verdict="supported")).parts[0])
    assert len(sure.table.columns) == len(claim.table.columns) - 2


def test_a_remark_names_its_rows_where_it_is_not_about_all():
    rows = (a_row(pairing="none", pairing_reason="seeds differ"), a_row(behavior="bias"))
    (claim,) = claims(section(*rows).parts[0])
    assert claim.table.notes == ("factual: Not paired: seeds differ.",)
    both = [a_row(behavior=b, notes=("Two batches.",)) for b in ("bias", "factual")]
    (claim,) = claims(section(*both).parts[0])
    assert claim.table.notes == ("Two batches.",)


def test_a_status_and_an_unreachable_p_are_said():
    row = a_row(status="zero_variance", p_attainable_min=0.25, verdict="not_testable")
    (claim,) = claims(section(row).parts[0])
    assert "Zero variance." in claim.table.notes
    assert "With these seeds an exact test cannot go below p = 0.25." in claim.table.notes


def test_units_follow_the_kind():
    for kind, unit in ((Kind.SD_RATIO, "log ratio of sds"), (Kind.PROP_DIFF, "proportion")):
        (claim,) = claims(section(a_row(kind=kind)).parts[0])
        assert claim.table.columns[2].unit == unit


def test_there_may_be_no_registered_contrast():
    registered, _ = section(a_row(registered=False)).parts
    assert notes(registered) == "There is none."


@pytest.mark.parametrize(("alpha", "told"), [(0.05, False), (0.01, True)])
def test_too_few_seeds_are_too_few_for_the_level_of_the_analysis(alpha, told):
    found = str(section(a_row(p_attainable_min=0.02), alpha=alpha))
    assert ("an exact test cannot go below p = 0.02" in found) == told
