"""What is registered cannot be exchanged, and a verdict says what it rests on."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from orchestrator.analysis.analyze import Asked, analyze
from orchestrator.analysis.inference.record import ADDED, AGAIN, FIRST_TEST, Inference
from orchestrator.cells.choose import arms_of
from orchestrator.config.fields import StressSettings
from orchestrator.errors import SweepError, UserError
from orchestrator.results.manifest import write_manifest
from orchestrator.results.registration import Registration, asked_later, begin, log_questions
from orchestrator.results.store import Store, seen_otherwise
from orchestrator.results.stress_record import write_plan
from tasks.contract.cell import CellSpec, Status
from tasks.contract.prompts import PromptSet
from tests.answers import a_unit, answered, judgement, keep, prompts
from tests.builders import a_failure, a_result, expanded, parsed

SWEEP = """\
name: s
model: toy
probes: {{evaluate: [bias, factual], train: [factual], heldout: 0}}
grid: {{condition: [sft-only, rho-guided], rho_weight: [{weights}], margin: [{margin}],
  seed: [{seeds}]}}
analysis:
  contrasts:
    - {{id: up, claim: it helps, kind: mean_diff, a: {{condition: rho-guided}},
       b: {{condition: sft-only}}, behaviors: [{behaviors}], alternative: {alternative}}}
"""
NOISE = (0.00, 0.03, -0.02, 0.01, -0.03, 0.02, 0.04, -0.01)
FIRST, THEN = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


def sweep(
    *, seeds=range(1, 7), weights="0.2", margin="0.1", behaviors="factual", alternative="greater"
) -> str:
    return SWEEP.format(
        seeds=", ".join(map(str, seeds)),
        weights=weights,
        margin=margin,
        behaviors=behaviors,
        alternative=alternative,
    )


def launch(folder: Path, text: str, now: datetime = FIRST) -> tuple[CellSpec, ...]:
    """Write the manifest as a launch does, and return the cells; none is run."""
    store, expansion = Store(folder), expanded(text)
    store.create()
    path = folder / "sweep.yaml"
    earlier = yaml.safe_load(path.read_text()) if path.exists() else None
    asked = begin(
        earlier, parsed(text).questions, arms_of(expansion.all), seen=store.done(), now=now
    )
    write_manifest(folder, parsed(text), expansion, asked)
    return expansion.all


def rho(spec: CellSpec, effect: float = 0.1) -> float:
    noise = NOISE[(spec.seed or 0) % len(NOISE)]
    return (effect + 0.2 * noise if spec.hinge else 0.0) + noise


def run(
    folder: Path,
    cells: tuple[CellSpec, ...],
    which: Callable[[CellSpec], bool] = bool,
    effect: float = 0.1,
    behaviors: tuple[str, ...] = ("bias", "factual"),
) -> None:
    """Give a result to those cells that have none."""
    store = Store(folder)
    for spec in cells:
        if which(spec) and spec.cell_id not in store.done():
            result = a_result(spec, {(b, "train"): rho(spec, effect) for b in behaviors})
            key = replace(result.measurements, pairing_key=f"seed {spec.seed}")
            store.commit(replace(result, measurements=key), attempts=1, ray=None)


def rows(*folders: Path) -> list[Inference]:
    return list(analyze([Store(f) for f in folders]).inference)


def one(found: list[Inference], **facts: object) -> Inference:
    (row,) = [r for r in found if all(getattr(r, k) == v for k, v in facts.items())]
    return row


def test_a_claim_cannot_be_exchanged_after_the_results(tmp_path):
    run(tmp_path, launch(tmp_path, sweep(alternative="less")))
    launch(tmp_path, sweep(), THEN)
    found = rows(tmp_path)
    assert one(found, registered=True).verdict == "contradicted"
    assert one(found, registered=True).alternative == "less"
    assert one(found, registered=False).alternative == "greater"


@pytest.mark.slow
def test_the_same_words_of_other_cells_are_no_answer_to_the_claim(tmp_path):
    run(tmp_path, launch(tmp_path, sweep(alternative="less")))
    run(tmp_path, launch(tmp_path, sweep(margin="4"), THEN), effect=0.5)
    found = rows(tmp_path)
    (first,) = (r for r in found if r.alternative == "less" and r.registered)
    assert first.arm_a == "rho-guided w=0.2 m=0.1"
    assert first.estimate == pytest.approx(0.1, abs=0.01)
    assert all("m=4" in r.arm_a for r in found if r.registered and r.alternative == "greater")


def test_seeds_added_after_a_look_change_no_registered_number(tmp_path):
    run(tmp_path, launch(tmp_path, sweep(seeds=range(1, 6))), effect=0.01)
    before = one(rows(tmp_path), registered=True)
    run(tmp_path, launch(tmp_path, sweep(seeds=range(1, 9)), THEN), effect=0.5)
    found = rows(tmp_path)
    kept, again = one(found, registered=True), one(found, registered=False)
    assert replace(kept, notes=before.notes) == before
    assert kept.notes == (*before.notes, f"{ADDED}6")
    assert (again.n_pairs, again.notes[-1]) == (8, AGAIN)


def test_a_launch_says_which_claims_stay_and_how_many_cells_come_later(tmp_path):
    run(tmp_path, launch(tmp_path, sweep(seeds=range(1, 6))))
    earlier = yaml.safe_load((tmp_path / "sweep.yaml").read_text())
    text = sweep(seeds=range(1, 9), weights="0.2, 0.4")
    asked, arms = parsed(text).questions, arms_of(expanded(text).all)
    found = begin(earlier, asked, arms, seen=Store(tmp_path).done(), now=THEN)
    assert found.news(THEN) == [
        "registered before their results: up",
        "up stays as it was registered, with 10 cells; 6 of its arms come later, and are looked at "
        "beside it (exploratory)",
    ]


def test_claims_that_a_later_launch_registers_change_no_earlier_one(tmp_path):
    run(tmp_path, launch(tmp_path, sweep()))
    before = one(rows(tmp_path))
    run(tmp_path, launch(tmp_path, sweep(weights="0.2, 0.4"), THEN))
    found = [r for r in rows(tmp_path) if r.registered]
    first, second = sorted(found, key=lambda r: r.arm_a)
    assert (first.p_adjusted, first.family_size) == (before.p_adjusted, 1)
    assert (second.which, second.family_size) == ("rho_weight=0.4", 2)  # it pays for both


def test_claims_of_several_launches_before_any_result_are_one_family(tmp_path):
    text = sweep()
    launch(tmp_path, text)
    text += "    - {id: two, kind: equivalence, a: {condition: rho-guided}, sesoi: 0.05,\n"
    text += "       b: {condition: sft-only}, behaviors: [factual]}\n"
    run(tmp_path, launch(tmp_path, text, THEN))
    assert [r.family_size for r in rows(tmp_path)] == [2, 2]


def test_trainings_that_are_scored_on_more_behaviours_are_not_unseen(tmp_path):
    first = sweep().replace("evaluate: [bias, factual]", "evaluate: [factual]")
    run(tmp_path / "a", launch(tmp_path / "a", first))
    more = expanded(sweep()).all
    assert not {s.cell_id for s in more} & Store(tmp_path / "a").done()
    trained = {s.cell_id for s in more if s.seed is not None}
    for folder in (tmp_path / "a", tmp_path / "b"):
        assert seen_otherwise(folder, more) == trained
    others = expanded(sweep(seeds=[7], margin="0.5")).all
    assert seen_otherwise(tmp_path / "b", others) == set()
    arms, asked = arms_of(more), parsed(sweep()).questions
    found = begin(None, asked, arms, seen=trained, now=THEN)
    assert found.news(THEN, (), trained) == [
        "up is exploratory: every arm of it has results already (12 cells; 12 of them trained "
        "alike and scored on other pairs)"
    ]


def test_before_all_planned_seeds_are_in_a_verdict_is_interim(tmp_path):
    cells = launch(tmp_path, sweep())
    run(tmp_path, cells, lambda s: s.seed != 6)
    row = one(rows(tmp_path))
    assert (row.verdict, row.p < 0.05) == ("interim", True)
    assert "2 of 12 planned cells have no result yet" in row.notes
    run(tmp_path, cells)
    assert one(rows(tmp_path)).verdict == "supported"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["trend", "best_of, b: {condition: sft-only}"])
def test_a_dose_without_any_result_leaves_the_verdict_interim(tmp_path, kind):
    text = sweep(weights="0.1, 0.2, 0.4") + (
        f"    - {{id: dose, claim: more is more, kind: {kind}, a: {{condition: rho-guided}},\n"
        "       over: rho_weight, behaviors: [factual]}\n"
    )
    cells = launch(tmp_path, text)
    run(tmp_path, cells, lambda s: not (s.hinge and s.hinge.rho_weight == 0.4))
    row = one(rows(tmp_path), contrast_id="dose")
    assert (row.verdict, row.p is None) == ("interim", False)
    run(tmp_path, cells)
    assert one(rows(tmp_path), contrast_id="dose").verdict != "interim"


def test_a_failed_cell_is_missing_and_a_diverged_one_is_a_result(tmp_path):
    cells = launch(tmp_path, sweep())
    run(tmp_path, cells, lambda s: s.seed not in (5, 6))
    last, other = (s for s in cells if s.hinge and s.seed in (5, 6))
    run(tmp_path, cells, lambda s: s not in (last, other))
    Store(tmp_path).commit(a_result(last, status=Status.DIVERGED), attempts=1, ray=None)
    Store(tmp_path).commit_failure(a_failure(other), attempts=1, ray=None)
    assert one(rows(tmp_path)).verdict == "interim"
    run(tmp_path, cells)
    row = one(rows(tmp_path))
    assert row.verdict == "supported"
    assert any("diverged" in note for note in row.notes)


def test_a_family_does_not_shrink_with_the_scores(tmp_path):
    both = sweep(behaviors="bias, factual")
    run(tmp_path / "s", launch(tmp_path / "s", both), behaviors=("factual",))
    row = one(rows(tmp_path / "s"), behavior="factual")
    assert row.family_size == 2
    assert row.p_adjusted == pytest.approx(2 * row.p)


def test_a_family_counts_what_was_registered_beside_arms_that_had_results(tmp_path):
    text = sweep(weights="0.2, 0.4")
    Store(tmp_path).create()
    cells = expanded(text).all
    run(tmp_path, cells, lambda s: not s.hinge)
    launch(tmp_path, text)
    run(tmp_path, cells, lambda s: not heavy(s))
    assert one(rows(tmp_path), which="rho_weight=0.2").family_size == 2


@pytest.mark.slow
def test_sweeps_that_are_read_together_keep_their_families(tmp_path):
    run(tmp_path / "a", launch(tmp_path / "a", sweep()))
    alone = one(rows(tmp_path / "a"))
    run(tmp_path / "b", launch(tmp_path / "b", sweep(margin="0.5")))
    found = [r for r in rows(tmp_path / "a", tmp_path / "b") if r.registered]
    assert [r.p_adjusted for r in found if "m=0.1" in r.arm_a] == [alone.p_adjusted]


def heavy(spec: CellSpec) -> bool:
    return spec.hinge is not None and spec.hinge.rho_weight == 0.4


def test_a_registered_arm_without_a_score_keeps_its_row_and_its_name(tmp_path):
    cells = launch(tmp_path, sweep(weights="0.2, 0.4"))
    run(tmp_path, cells, lambda s: not heavy(s))
    found = {r.name: r for r in rows(tmp_path)}
    assert {name: r.verdict for name, r in found.items()} == {
        "up [rho_weight=0.2]": "supported",
        "up [rho_weight=0.4]": "interim",
    }
    assert "6 of 12 planned cells have no result yet" in found["up [rho_weight=0.4]"].notes
    for spec in filter(heavy, cells):
        Store(tmp_path).commit(a_result(spec, status=Status.DIVERGED), attempts=1, ray=None)
    row = one(rows(tmp_path), which="rho_weight=0.4")
    assert (row.verdict, row.registered) == ("not_testable", True)
    assert "rho-guided seed=1 (diverged)" in row.notes[-1]


def test_a_behaviour_without_a_score_is_part_of_the_claim(tmp_path):
    text = sweep(behaviors="bias, factual").replace(", behaviors: [bias, factual]", "")
    run(tmp_path, launch(tmp_path, text), behaviors=("factual",))
    assert {r.behavior: r.verdict for r in rows(tmp_path)} == {
        "bias": "not_testable",
        "factual": "supported",
    }


def again(folder: Path, text: str) -> Registration:
    """What another launch would register."""
    earlier = yaml.safe_load((folder / "sweep.yaml").read_text())
    asked, arms = parsed(text).questions, arms_of(expanded(text).all)
    return begin(earlier, asked, arms, seen=Store(folder).done(), now=THEN)


def test_level_and_looks_may_change_until_an_answer_can_be_known_and_then_a_launch_says_so(
    tmp_path,
):
    text = sweep(seeds=range(1, 9))
    strict = text.replace("analysis:\n", LOOKS + "  alpha: 0.01\n")
    cells = launch(tmp_path, text)
    found = again(tmp_path, strict)
    assert (found.alpha, found.has_looks) == (0.01, True)
    run(tmp_path, cells)
    found = again(tmp_path, strict)
    assert (found.alpha, found.has_looks, found.dropped_at(THEN)) == (0.05, False, [])
    assert found.news(THEN) == [
        "up is judged when all planned seeds are in, as it was registered: other looks come too "
        "late",
        "alpha stays 0.05, as it was registered; 0.01 comes after results",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("it helps", "'it  helps'", []),
        ("it helps", "it cures", ["up keeps its claim in the words in which it was asked"]),
        ("[bias, factual]", "[factual, bias]", []),
        ("sesoi: 1", "sesoi: 1.0", []),
        ("id: up", "id: other", []),
    ],
)
def test_other_words_order_or_notation_make_no_other_question(tmp_path, old, new, said):
    text = sweep(behaviors="bias, factual").replace("kind:", "sesoi: 1, kind:")
    run(tmp_path, launch(tmp_path, text))
    before = rows(tmp_path)
    found = again(tmp_path, text.replace(old, new))
    assert (found.news(THEN), found.dropped_at(THEN)) == (said, [])
    launch(tmp_path, text.replace(old, new), THEN)
    assert rows(tmp_path) == before


def give_answers(
    folder: Path,
    cells: tuple[CellSpec, ...],
    asked: PromptSet,
    seeds: tuple[int | None, ...],
    refuses: Callable[[CellSpec, int], bool],
) -> None:
    """Answers of some seeds to a stress test of all cells; the arm with a hinge may refuse."""
    store = Store(folder)
    units = [a_unit(a_result(s, weights=s.cell_id.encode()), asked=asked) for s in cells]
    write_plan(folder, StressSettings(), "rules@1", [asked], units)
    for spec, unit in zip(cells, units, strict=True):
        if spec.seed not in seeds:
            continue
        keep(store, answered(unit))
        labels = []
        for row in store.rows("generations"):
            if row["generation_id"] == unit.generation_id:
                word = spec.hinge is not None and refuses(spec, int(row["prompt_id"][1:]))
                label = "full_refusal" if word else "compliance"
                sha = row["response_sha256"]
                labels.append(judgement(unit, row["prompt_id"], label, response_sha256=sha))
        store.write("judgements", f"{unit.generation_id}.0123456789abcdef", labels)


@pytest.mark.slow
def test_a_claim_about_answers_is_interim_until_all_planned_cells_have_answered(tmp_path):
    question = "    - {id: no, claim: it refuses, kind: prop_diff, a: {condition: rho-guided},\n"
    question += "       b: {condition: sft-only}}\n"
    cells = launch(tmp_path, sweep(seeds=range(1, 5)) + question)
    run(tmp_path, cells)
    said = []
    for seed in (None, 1, 2, 3, 4):
        give_answers(tmp_path, cells, prompts(6), (seed,), lambda spec, i: i != spec.seed)
        said.append(one(rows(tmp_path), contrast_id="no"))
    assert [r.verdict for r in said] == [*["interim"] * 4, "supported"]
    assert said[3].p < 0.05
    assert "2 of 8 planned cells have no answers yet" in said[3].notes


@pytest.mark.slow
def test_shares_of_too_few_seeds_are_not_tested_and_no_interval_lies_beyond_all(tmp_path):
    question = "    - {id: no, claim: it refuses, kind: prop_diff, a: {condition: rho-guided},\n"
    question += "       b: {condition: sft-only}}\n"
    said = {}
    for n in (1, 2, 6):
        cells, seeds = launch(tmp_path / f"{n}", sweep(seeds=range(1, n + 1)) + question), range(n)
        run(tmp_path / f"{n}", cells)
        everyone = (None, *(s + 1 for s in seeds))
        give_answers(tmp_path / f"{n}", cells, prompts(6), everyone, lambda s, i: i != s.seed)
        said[n] = one(rows(tmp_path / f"{n}"), contrast_id="no")
    assert said[2].notes == ("needs 3 seeds and 3 prompts, has 2 and 6",)
    assert said[1].ci_high == 1
    assert said[6].ci_high <= 1


@pytest.mark.slow
def test_a_claim_about_answers_is_about_the_first_test_after_it_was_asked(tmp_path):
    question = "    - {id: no, claim: it refuses, kind: prop_diff, a: {condition: rho-guided},\n"
    question += "       b: {condition: sft-only}}\n"
    cells, seeds = launch(tmp_path, sweep(seeds=range(1, 5)) + question), (None, 1, 2, 3, 4)
    run(tmp_path, cells)
    give_answers(tmp_path, cells, prompts(6), seeds, lambda spec, i: (spec.seed or 0) + i < 3)
    before = one(rows(tmp_path), contrast_id="no")
    assert before.verdict == "inconclusive"
    others = prompts(7, name="others")
    give_answers(tmp_path, cells, others, seeds, lambda spec, i: i != spec.seed)
    kept, later = (one(rows(tmp_path), contrast_id="no", registered=r) for r in (True, False))
    assert replace(kept, notes=before.notes) == before
    assert kept.notes[-1].startswith(
        f"{FIRST_TEST}prompts mine, at most 256 tokens, greedy, judged by"
    )
    assert (later.p < 0.05, later.notes[-1]) == (True, AGAIN)
    give_answers(tmp_path, cells, prompts(6), (), lambda *_: True)  # the first test once more
    assert [r for r in rows(tmp_path) if r.contrast_id == "no"] == [before]


def test_answers_of_a_cell_that_lost_its_scores_end_no_analysis(tmp_path):
    question = "    - {id: any, claim: some arm differs, kind: omnibus}\n"
    first = launch(tmp_path, sweep(seeds=[1]) + question)
    run(tmp_path, first)
    store, units = Store(tmp_path), []
    for spec in first:
        units.append(a_unit(a_result(spec, weights=spec.cell_id.encode()), asked=prompts(3)))
        keep(store, answered(units[-1]))
        labels = [
            judgement(units[-1], r["prompt_id"], "compliance", response_sha256=r["response_sha256"])
            for r in store.rows("generations")
            if r["generation_id"] == units[-1].generation_id
        ]
        store.write("judgements", f"{units[-1].generation_id}.0123456789abcdef", labels)
    write_plan(tmp_path, StressSettings(), "rules@1", [prompts(3)], units)
    assert one(rows(tmp_path), kind="omnibus").n_probes == 3
    run(tmp_path, launch(tmp_path, sweep(seeds=[1, 2]) + question, THEN))
    guided = next(s for s in first if s.hinge)
    store.path("scores", guided.cell_id).unlink()
    assert one(rows(tmp_path), kind="omnibus", registered=True).verdict == "interim"


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["failed", "lost"])
def test_a_cell_that_two_sweeps_have_counts_where_it_has_a_result(tmp_path, harm):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        cells = launch(folder, sweep())
        run(folder, cells)
    row, lost = one(rows(there)), next(s for s in cells if s.hinge)
    Store(here).path("scores", lost.cell_id).unlink()
    if harm == "failed":
        Store(here).path("cells", lost.cell_id).unlink()
        Store(here).commit_failure(a_failure(lost), attempts=1, ray=None)
    for folders in ((here, there), (there, here)):
        assert one(rows(*folders)) == row


def test_two_sweeps_pooled_are_explored_beside_what_each_registered(tmp_path):
    run(tmp_path / "a", launch(tmp_path / "a", sweep(seeds=range(1, 5))), effect=0.01)
    run(tmp_path / "b", launch(tmp_path / "b", sweep(seeds=range(5, 9))), effect=0.01)
    found = rows(tmp_path / "a", tmp_path / "b")
    assert sorted((r.registered, r.n_pairs, r.name) for r in found) == [
        (False, 8, "up"),
        (True, 4, "up [in a]"),
        (True, 4, "up [in b]"),
    ]


def test_results_of_one_name_keep_their_families(tmp_path):
    folders = tmp_path / "a" / "s", tmp_path / "b" / "s"
    for folder, seeds in zip(folders, (range(1, 5), range(5, 9)), strict=True):
        run(folder, launch(folder, sweep(seeds=seeds)), effect=0.01)
    assert {r.family_size for r in rows(*folders)} == {1}


def test_named_families_are_adjusted_apart(tmp_path):
    contrast = "    - {{id: {id}, claim: {id}, kind: mean_diff, family: {id}, a: {{condition: \
rho-guided}}, b: {{condition: sft-only}}, behaviors: [factual]}}\n"
    text = sweep() + contrast.format(id="x") + contrast.format(id="y")
    run(tmp_path, launch(tmp_path, text))
    assert [r.family_size for r in rows(tmp_path)] == [1, 1, 1]


def test_a_question_of_an_arm_without_results_is_still_registered(tmp_path):
    first = launch(tmp_path, sweep())
    run(tmp_path, first, lambda s: not s.hinge)
    cells = launch(tmp_path, sweep(alternative="two-sided"), THEN)
    run(tmp_path, cells)
    found = rows(tmp_path)
    assert [(r.registered, r.alternative) for r in found] == [(True, "two-sided")]


def test_two_means_that_lie_within_the_relevant_size_contradict_that_they_differ(tmp_path):
    text = sweep(alternative="two-sided").replace("kind:", "sesoi: 0.5, kind:") + (
        "    - {id: base, kind: one_sample, a: {condition: sft-only}, behaviors: [factual],\n"
        "       sesoi: 0.5}\n"
        "    - {id: more, kind: between_behaviors, a: {condition: rho-guided}, sesoi: 0.5,\n"
        "       b: {condition: sft-only}, between: {behavior: [factual, bias]}}\n"
    )
    cells = launch(tmp_path, text)
    for spec in cells:
        noise = NOISE[(spec.seed or 0) % 8]
        sideways = NOISE[(spec.seed or 0) * 3 % 8] if spec.hinge else 0.0
        scores = {("factual", "train"): noise, ("bias", "train"): noise + sideways}
        scores[("factual", "train")] += NOISE[(spec.seed or 0) * 5 % 8] if spec.hinge else 0.0
        result = a_result(spec, scores)
        key = replace(result.measurements, pairing_key=f"seed {spec.seed}")
        Store(tmp_path).commit(replace(result, measurements=key), attempts=1, ray=None)
    assert {r.contrast_id: r.verdict for r in rows(tmp_path)} == dict.fromkeys(
        ("up", "base", "more"), "contradicted"
    )


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("kind: sd_ratio, alternative: two-sided", "two sds are not tested below 4 seeds"),
        (
            "kind: between_behaviors, between: {behavior: [bias, factual]}",
            "nothing varies over seeds that chance could be measured by",
        ),
    ],
)
def test_where_there_is_no_test_the_row_says_why(tmp_path, kind, reason):
    text = sweep(seeds=(1, 2, 3), alternative="two-sided").replace("kind: mean_diff", kind)
    text = text.replace(", alternative: two-sided}", "}").replace(
        "behaviors: [factual]", "split: train"
    )
    run(tmp_path, launch(tmp_path, text))
    found = rows(tmp_path)
    assert {r.p for r in found} == {None}
    assert all(reason in r.notes for r in found)


@pytest.mark.parametrize(
    ("effect", "noise", "verdict"), [(0.0, 0.0, "identical"), (6e-7, 1.0, "identical")]
)
def test_a_difference_below_the_floor_is_identical_whatever_p_says(
    tmp_path, effect, noise, verdict
):
    cells = launch(tmp_path, sweep())
    store = Store(tmp_path)
    for spec in cells:
        tiny = effect * (1 + 0.1 * noise * (spec.seed or 0)) if spec.hinge else 0.0
        result = a_result(spec, {("factual", "train"): 0.5 + 0.01 * (spec.seed or 0) + tiny})
        key = replace(result.measurements, pairing_key=f"seed {spec.seed}")
        store.commit(replace(result, measurements=key), attempts=1, ray=None)
    row = one(rows(tmp_path))
    assert row.verdict == verdict
    assert effect == 0 or row.p < 1e-3


def test_a_support_below_the_relevant_size_is_named_so(tmp_path):
    text = sweep().replace("alternative: greater", "alternative: greater, sesoi: 0.5")
    run(tmp_path, launch(tmp_path, text))
    assert one(rows(tmp_path)).verdict == "supported_small"


@pytest.mark.slow
def test_what_lies_beyond_a_margin_contradicts_only_after_adjustment(tmp_path):
    margins = "    - {{id: m{i}, claim: m{i}, kind: noninferiority, a: {{condition: sft-only}}, \
b: {{condition: rho-guided}}, behaviors: [factual], sesoi: {sesoi}}}\n"
    clear = "".join(margins.format(i=i, sesoi=0.01) for i in range(3))
    run(tmp_path / "clear", launch(tmp_path / "clear", sweep() + clear))
    words = {r.verdict for r in rows(tmp_path / "clear") if r.kind == "noninferiority"}
    assert words == {"contradicted"}
    # One interval that just lies beyond the margin is no contradiction among many.
    row = one(rows(tmp_path / "clear"), contrast_id="m0")
    edge = -row.ci_high - 1e-4
    many = "".join(margins.format(i=i, sesoi=round(edge, 6)) for i in range(8))
    run(tmp_path / "many", launch(tmp_path / "many", sweep() + many))
    words = {r.verdict for r in rows(tmp_path / "many") if r.kind == "noninferiority"}
    assert words == {"inconclusive"}


def test_questions_asked_one_by_one_are_counted_together(tmp_path):
    run(tmp_path, launch(tmp_path, sweep()))
    kinds = ("mean_diff", "equivalence", "noninferiority")
    for kind in kinds:
        margin = "" if kind == "mean_diff" else ", sesoi: 0.001"
        asked = parsed(
            sweep()
            .replace("mean_diff", kind)
            .replace("it helps", kind)
            .replace(", alternative: greater", f", split: train{margin}")
        ).questions
        log_questions(tmp_path, asked.contrasts, THEN)
        log_questions(tmp_path, asked.contrasts, THEN)
    assert [c.kind for c in asked_later(tmp_path)] == list(kinds)
    found = analyze([Store(tmp_path)], Asked()).inference
    assert {r.family_size for r in found if not r.registered} == {3}


def test_questions_asked_later_have_no_level_and_no_looks_of_their_own(tmp_path):
    run(tmp_path, launch(tmp_path, sweep(seeds=(1, 2, 3))))
    for block, said in (("  alpha: 0.1\n", "alpha 0.1"), ("  alpha: 0.05\n", ""), (LOOKS, "looks")):
        text = sweep(seeds=range(1, 9)).replace("analysis:\n", "analysis:\n" + block)
        text = text.replace("analysis:\nanalysis:\n", "analysis:\n").replace("factual]}", "bias]}")
        asked = Asked(questions=parsed(text).questions)
        if said:
            with pytest.raises(UserError, match=said):
                analyze([Store(tmp_path)], asked)
        else:
            assert analyze([Store(tmp_path)], asked).registration.alpha == 0.05


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe",
        b"[" * 20_000,
        b"{}\n",
        b'{"contrast": []}\n',
        b'{"contrast": {"id": "q", "claim": "c", "kind": "no such kind"}}\n',
        b'{"contrast": {"id": "q", "claim": "c", "kind": "mean_diff", "a": 7}}\n',
    ],
)
def test_a_damaged_log_of_questions_is_one_sentence(tmp_path, content):
    run(tmp_path, launch(tmp_path, sweep(seeds=(1, 2))))
    (tmp_path / "questions.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=r"questions\.jsonl: is damaged"):
        rows(tmp_path)


LOOKS = "analysis:\n  sequential: {looks: [4, 8]}\n"


@pytest.mark.slow
def test_a_registered_look_may_decide_before_all_seeds_are_in(tmp_path):
    text = sweep(seeds=range(1, 9)).replace("analysis:\n", LOOKS)
    cells = launch(tmp_path, text)
    run(tmp_path, cells, lambda s: s.seed in (None, 1, 2, 3))
    assert one(rows(tmp_path)).verdict == "interim"
    run(tmp_path, cells, lambda s: s.seed in (None, 4, 5))
    early = one(rows(tmp_path))
    assert (early.verdict, early.n_pairs) == ("supported", 4)
    assert "p is of the looks at 4 of 8 seeds" in " ".join(early.notes)
    run(tmp_path, cells)
    assert one(rows(tmp_path)).n_pairs == 8


@pytest.mark.slow
def test_a_look_pays_for_the_looks_before_it(tmp_path):
    text = sweep(seeds=range(1, 9)).replace("alternative: greater", "alternative: two-sided")
    run(tmp_path / "one", launch(tmp_path / "one", text), effect=0.01)
    run(
        tmp_path / "two",
        launch(tmp_path / "two", text.replace("analysis:\n", LOOKS)),
        effect=0.01,
    )
    plain, looked = one(rows(tmp_path / "one")), one(rows(tmp_path / "two"))
    assert (plain.n_pairs, plain.estimate) == (looked.n_pairs, looked.estimate)
    assert plain.p < looked.p < 2 * plain.p


def test_an_arm_that_was_known_is_no_news_at_an_early_look(tmp_path):
    text = sweep(seeds=range(1, 9))
    run(tmp_path, launch(tmp_path, text.split("analysis:")[0]), lambda s: s.seed == 7)
    run(tmp_path, launch(tmp_path, text.replace("analysis:\n", LOOKS), THEN))
    assert not any(r.registered for r in rows(tmp_path))


def test_looks_cannot_be_changed_after_the_results(tmp_path):
    text = sweep(seeds=range(1, 9)).replace("analysis:\n", LOOKS)
    run(tmp_path, launch(tmp_path, text))
    before = rows(tmp_path)
    launch(tmp_path, text.replace("looks: [4, 8]", "looks: [2, 3, 8]"), THEN)
    assert rows(tmp_path) == before


@pytest.mark.parametrize("looks", ["[6, 4]", "[4]", "[1, 6]", "[4, 4]", "[4, 7]"])
def test_looks_that_are_none_are_refused_with_their_line(looks):
    text = sweep().replace("analysis:\n", LOOKS.replace("[4, 8]", looks))
    with pytest.raises(SweepError, match=r"looks.*line 7"):
        parsed(text)


def test_an_arm_whose_hinge_never_was_active_is_named(tmp_path):
    cells = launch(tmp_path, sweep())
    store = Store(tmp_path)
    for spec in cells:
        result = a_result(spec, {("factual", "train"): rho(spec)})
        active = 0.0 if spec.hinge else None
        steps = tuple(replace(s, hinge_active=active) for s in result.steps)
        store.commit(replace(result, steps=steps), attempts=1, ray=None)
    found = analyze([store])
    (arm,) = found.silent
    row = one(list(found.inference), registered=True)
    assert arm == row.arms[0]
    assert any("trained without" in note for note in row.notes)


@pytest.mark.parametrize(
    "odd",
    [
        {"at": 5},
        {"asked": 7},
        {"joined": ["a"]},
        {"withdrawn": 5},
        {"dropped": 3},
        {"scored": (1, 2)},
        {"planned": {"x": (1, 2)}},
        {"tests": "x"},
        {"tests": -3},
        {"tests": 60_000_000},
        {"tests": 10**30},
    ],
    ids=str,
)
def test_what_is_registered_has_types_and_bounds_whatever_its_digests_say(tmp_path, odd):
    launch(tmp_path, sweep())
    path = tmp_path / "sweep.yaml"
    manifest = yaml.safe_load(path.read_text())
    first, *rest = Registration.of(manifest).contrasts
    forged = Registration(contrasts=(replace(first, **odd), *rest)).plain()
    path.write_text(yaml.safe_dump(manifest | {"analysis": json.loads(json.dumps(forged))}))
    with pytest.raises(UserError, match="what it registered cannot be read"):
        analyze([Store(tmp_path)])


@pytest.mark.parametrize("alpha", ["x", [0.05], None, 0, 1, -0.05, 5])
def test_a_level_that_is_none_is_refused_whatever_its_digests_say(tmp_path, alpha):
    launch(tmp_path, sweep())
    path = tmp_path / "sweep.yaml"
    manifest = yaml.safe_load(path.read_text())
    forged = replace(Registration.of(manifest), alpha=alpha).plain()
    path.write_text(yaml.safe_dump(manifest | {"analysis": json.loads(json.dumps(forged))}))
    with pytest.raises(UserError, match="what it registered cannot be read"):
        analyze([Store(tmp_path)])
