"""The `analysis:` block: what it may ask, and that a question is registered before the data."""

from datetime import UTC, datetime

import pytest
import yaml

from orchestrator.cells.choose import arms_of
from orchestrator.config.contrast_kinds import Kind
from orchestrator.config.contrasts import Contrast, Questions
from orchestrator.config.sweep_file import load, presets
from orchestrator.errors import SweepError, UserError
from orchestrator.results.registration import KEY, Registration, begin
from tasks.contract.cell import digest_of
from tests.builders import expanded, launched, parsed

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = datetime(2026, 2, 2, 3, 4, 5, tzinfo=UTC)
HEAD = """\
name: s
model: tiny
grid: {condition: [sft-only, rho-guided], rho_weight: [0.1, 0.2], margin: [0.1], seed: [1, 2]}
"""
ONE = """\
analysis:
  contrasts:
    - {id: up, kind: mean_diff, a: {condition: rho-guided, rho_weight: 0.2}, \
b: {condition: sft-only}, behaviors: [toxicity], alternative: greater}
"""
TREND = """\
    - {id: dose, kind: trend, over: rho_weight, a: {condition: rho-guided}}
"""


def questions(text: str) -> Questions:
    return parsed(HEAD + text).questions


def complaints(text: str) -> str:
    with pytest.raises(SweepError) as error:
        parsed(HEAD + text)
    return str(error.value)


def test_a_file_without_the_block_asks_nothing():
    assert questions("") == Questions()


def test_a_contrast_is_read_with_its_defaults():
    (one,) = questions(ONE).contrasts
    assert (one.id, one.kind, one.behaviors) == ("up", Kind.MEAN_DIFF, ("toxicity",))
    assert one.a == (("condition", "rho-guided"), ("rho_weight", 0.2))
    assert one.claim == "condition=rho-guided rho_weight=0.2 scores above condition=sft-only"
    assert (one.split, one.sesoi, str(one.population)) == (None, None, "new_seeds")


ABOUT = "analysis:\n  population: new_seeds_and_probes\n"


def test_a_population_of_the_block_holds_for_what_names_none_and_can_speak_about_it():
    named = ONE.replace("alternative: greater", "population: new_seeds, alternative: greater")
    up, dose = questions((ONE + TREND).replace("analysis:\n", ABOUT)).contrasts
    (own,) = questions(named.replace("analysis:\n", ABOUT)).contrasts
    written = [str(c.population) for c in (up, dose, own)]
    assert written == ["new_seeds_and_probes", "new_seeds", "new_seeds"]
    spelled = ONE.replace("greater", "greater, population: new_seeds_and_probes")
    assert up.digest == questions(spelled).contrasts[0].digest


def test_a_block_about_both_is_not_judged_at_any_time():
    text = ONE.replace("analysis:\n", ABOUT + "  sequential: {anytime: true}\n")
    assert "must be new_seeds; sequential.anytime is for the mean" in complaints(text)


def test_weight_0_names_the_sft_only_arm():
    text = ONE.replace("condition: sft-only", "condition: rho-guided, rho_weight: 0, margin: 0.1")
    (one,) = questions(text).contrasts
    assert one.b == (("condition", "sft-only"),)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("mean_diff", "mean_dif", 'did you mean "mean_diff"?'),
        ("kind: mean_diff, ", "", "contrasts[0].kind (line 6): is missing"),
        ("toxicity]", "toxicty]", 'did you mean "toxicity"?'),
        ("rho_weight: 0.2}", "rho_weight: 0.3}", "no cell of the grids has condition=rho-guided"),
        (
            "condition: sft-only",
            "rho_weight: 0.1",
            "b.condition (line 6): is missing: must be one of baseline, sft-only",
        ),
        ("b: {condition: sft-only}, ", "", "b (line 6): is missing; mean_diff compares a with b"),
        ("greater", "up", "must be one of two-sided, greater, less"),
        ("mean_diff", "noninferiority", "means nothing without a stated margin"),
        ("mean_diff", "trend", "over (line 6): is missing"),
        ("alternative: greater", "sesoi: -1", "sesoi (line 6): must be > 0, got -1"),
        ("alternative: greater", "splits: train", 'did you mean "split"?'),
        ("a: {condition: rho-guided,", "a: {condition: rho-guided, seed: 1,", "no field of an arm"),
        ("  contrasts:", "  alpha: 2\n  contrasts:", "alpha (line 5): must be <= 0.2, got 2"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(old, new, expected):
    assert old in ONE
    assert expected in complaints(ONE.replace(old, new))


def test_all_problems_come_at_once():
    text = ONE.replace("mean_diff", "mean").replace("greater", "up") + TREND.replace("over", "ower")
    assert "4 problems" in complaints(text) or "5 problems" in complaints(text)


def test_two_contrasts_may_not_share_an_id():
    assert "is given twice" in complaints(ONE + TREND.replace("dose", "up"))


def test_two_contrasts_may_not_ask_the_same():
    (_, entry) = ONE.split("  contrasts:\n")
    assert '"again" asks the same as "up"' in complaints(ONE + entry.replace("id: up", "id: again"))


@pytest.mark.parametrize("preset", presets())
def test_every_preset_with_seeds_asks_something_that_its_cells_can_answer(preset):
    sweep = load(preset)
    assert sweep.questions.contrasts
    assert len({c.id for c in sweep.questions.contrasts}) == len(sweep.questions.contrasts)


def test_a_contrast_survives_the_way_through_the_manifest(tmp_path):
    store, _ = launched(tmp_path / "r", HEAD + ONE + TREND)
    manifest = yaml.safe_load((store.folder / "sweep.yaml").read_text())
    found = Registration.of(manifest)
    assert tuple(r.contrast for r in found.contrasts) == questions(ONE + TREND).contrasts
    assert all(r.at for r in found.contrasts)


CELLS = expanded(HEAD).cells
ARMS = arms_of(expanded(HEAD).all)
SEEN = {c.cell_id for c in CELLS if c.seed == 1}
"""One seed of every arm has a result."""


def plan(text: str, earlier: dict | None = None, seen=(), now=NOW, arms=ARMS) -> Registration:
    return begin(earlier, questions(text), arms, seen=seen, now=now)


def test_a_question_asked_after_the_first_result_is_not_registered():
    first = plan(ONE).plain()
    second = plan(ONE + TREND, {KEY: first}, SEEN, LATER)
    assert [(r.contrast.id, r.at) for r in second.contrasts] == [
        ("up", NOW.isoformat()),
        ("dose", None),
    ]
    assert second.plain()["sha256"] != first["sha256"]


def test_a_manifest_that_does_not_seal_explored_questions_is_read_and_sealed():
    second = plan(ONE + TREND, {KEY: plan(ONE).plain()}, SEEN, LATER)
    older = second.plain() | {"sha256": plan(ONE).plain()["sha256"]}
    assert Registration.of({KEY: older}).plain() == second.plain()


def test_a_question_is_registered_while_one_of_its_arms_has_no_result():
    plain = {c.cell_id for c in CELLS if c.condition == "sft-only"}
    (one,) = plan(ONE, seen=plain).contrasts
    assert one.at == NOW.isoformat()
    assert set(one.scored) == plain
    guided = next(c.arm_id for c in CELLS if c.hinge and c.hinge.rho_weight == 0.2)
    assert one.covers([guided, CELLS[0].arm_id])
    assert not one.covers([CELLS[0].arm_id])


def test_a_registered_question_stays_when_the_file_drops_it_after_the_data():
    first = plan(ONE).plain()
    kept = plan("", {KEY: first}, SEEN, LATER)
    assert [(r.contrast.id, r.dropped) for r in kept.tested] == [("up", LATER.isoformat())]
    assert kept.dropped_at(LATER) == ["up"]


def test_a_question_taken_back_before_the_data_stays_in_the_history_only():
    first = plan(ONE).plain()
    kept = plan("", {KEY: first}, now=LATER)
    assert kept.tested == ()
    assert [(r.contrast.id, r.withdrawn) for r in kept.contrasts] == [("up", LATER.isoformat())]


def test_a_question_changed_after_the_data_is_another_question():
    first = plan(ONE).plain()
    both = plan(ONE.replace("greater", "less"), {KEY: first}, SEEN, LATER).contrasts
    assert [(r.contrast.id, r.contrast.alternative, r.at is None) for r in both] == [
        ("up", "greater", False),
        ("up.2", "less", True),
    ]


def test_seeds_that_come_after_the_data_are_no_part_of_what_was_registered():
    first = plan(ONE).plain()
    more = arms_of(expanded(HEAD.replace("[1, 2]", "[1, 2, 3]")).all)
    (one,) = plan(ONE, {KEY: first}, SEEN, LATER, more).contrasts
    assert one.cells == frozenset(
        c.cell_id for c in CELLS if not c.hinge or c.hinge.rho_weight == 0.2
    )
    (early, anew) = plan(ONE, {KEY: first}, (), LATER, more).contrasts
    assert early.withdrawn
    assert len(anew.cells) == 6


def test_an_arm_that_comes_after_the_data_is_registered_for_itself():
    text = ONE.replace(", rho_weight: 0.2}", "}")
    first = plan(text).plain()
    more = arms_of(expanded(HEAD.replace("[0.1, 0.2]", "[0.1, 0.2, 0.5]")).all)
    old, new = plan(text, {KEY: first}, SEEN, LATER, more).contrasts
    (added,) = new.planned.keys() - old.planned.keys()
    assert new.at == LATER.isoformat()
    assert new.covers([added])
    assert not any(new.covers([arm]) for arm in old.planned)


BOTH = ONE.replace(", rho_weight: 0.2}", "}")
KNOWN = {c.cell_id for c in CELLS if not c.hinge or c.hinge.rho_weight == 0.1}
"""Of the two comparisons of `BOTH`, one has results of both its arms."""


@pytest.mark.parametrize("other", ["", BOTH.replace("greater", "less")])
def test_a_question_stays_once_one_of_its_comparisons_has_results(other):
    first = plan(BOTH).plain()
    kept = plan(other, {KEY: first}, KNOWN, LATER)
    assert kept.dropped_at(LATER) == ["up"]


def test_what_was_known_when_it_was_asked_keeps_no_question():
    first = plan(BOTH, seen=KNOWN)
    assert [(r.at is None, r.tests) for r in first.contrasts] == [(False, 1)]
    (row,) = plan("", {KEY: first.plain()}, KNOWN, LATER).contrasts
    assert row.withdrawn == LATER.isoformat()


def test_a_known_arm_that_is_taken_out_of_the_grid_frees_no_question():
    first = plan(BOTH).plain()
    rest = [a for a in ARMS if not KNOWN.intersection(a.cells)]
    assert plan("", {KEY: first}, KNOWN, LATER, rest).dropped_at(LATER) == ["up"]


def test_a_question_that_nothing_was_planned_for_is_registered_once_something_is():
    alone = [a for a in ARMS if a.facts["condition"] != "sft-only"]
    first = plan(ONE, arms=alone)
    assert first.news(NOW) == ["up is exploratory: no planned cells can answer it"]
    (early, anew) = plan(ONE, {KEY: first.plain()}, (), LATER).contrasts
    assert (early.withdrawn, anew.at) == (LATER.isoformat(), LATER.isoformat())


def test_a_question_withdrawn_by_hand_is_refused():
    plain = plan(ONE).plain()
    plain["contrasts"][0]["withdrawn_at"] = LATER.isoformat()
    with pytest.raises(UserError, match="edited after it was registered"):
        Registration.of({KEY: plain})


def test_a_version_comes_back_from_the_manifest_as_it_was():
    plain = plan(ONE, {KEY: plan(ONE + TREND).plain()}, SEEN, LATER).plain()
    assert Registration.of({KEY: plain}).plain() == plain


def test_a_manifest_of_an_older_version_is_read():
    contrast = questions(ONE).contrasts[0]
    row = {"registered_at": "2026-01-01", "sha256": contrast.digest, **contrast.plain()}
    digest = digest_of([0.05, [contrast.digest]])
    old = {KEY: {"alpha": 0.05, "sha256": digest, "contrasts": [row]}}
    assert plan(ONE, old, SEEN, LATER).plain() == old[KEY]


def test_alpha_cannot_be_changed_after_the_data():
    first = plan(ONE).plain()
    loose = Questions(alpha=0.1, contrasts=questions(ONE).contrasts)
    assert begin({KEY: first}, loose, ARMS, seen=SEEN, now=LATER).alpha == 0.05


def test_an_edited_manifest_is_refused():
    plain = plan(ONE).plain()
    plain["contrasts"][0]["alternative"] = "less"
    with pytest.raises(UserError, match=r"edited after it was registered \(up\)"):
        Registration.of({KEY: plain})


def test_the_id_is_no_part_of_the_question_but_the_claim_is():
    (one,) = questions(ONE).contrasts
    renamed = Contrast.from_dict(one.plain() | {"id": "other"})
    reworded = Contrast.from_dict(one.plain() | {"claim": "something else"})
    assert renamed.digest == one.digest
    assert reworded.digest != one.digest
