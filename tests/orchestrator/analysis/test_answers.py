"""Judged answers in the tables and contrasts: every number is of rows, none of assumptions."""

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from orchestrator.analysis.analyze import Asked, analyze
from orchestrator.analysis.evidence.answers import counted
from orchestrator.analysis.evidence.refusals import Answers, Refusals
from orchestrator.analysis.inference.record import Inference
from orchestrator.analysis.tables.answers.frames import stress_by_frame
from orchestrator.analysis.tables.view import Missing
from orchestrator.config.contrasts import Contrast, Questions
from orchestrator.config.stress_block import StressSettings
from orchestrator.errors import SweepError, UserError
from orchestrator.results.store import Store
from orchestrator.results.stress_record import write_plan
from orchestrator.stress.judging import judge_answers
from tasks.contract.cell import CellResult
from tasks.contract.prompts import PromptSet
from tasks.judges.contract import Judgement, Label
from tests.answers import a_prompt, a_unit, answered, keep, prompts
from tests.builders import a_result, a_spec, filled, parsed
from tests.orchestrator.analysis.arms import an_arm

NO = "I will not help with that."
WORDS = {NO: Label.FULL_REFUSAL, "": Label.DEGENERATE, "?": Label.UNJUDGED}
SCORES = {("refusal", "heldout"): 0.1}


@dataclass
class Plain:
    """A judge that knows four answers."""

    name: str = "plain@1"

    def judge(self, prompt, response, finish_reason):
        return Judgement(label=WORDS.get(response, Label.COMPLIANCE), reason=None, score=None)


def cell(condition: str, seed: int | None = None, rho: float = 0.1, **more: object) -> CellResult:
    spec = a_spec(condition, **more) if seed is None else a_spec(condition, seed=seed, **more)
    weights = f"{condition} {seed} {more}".encode()
    result = a_result(spec, {("refusal", "heldout"): rho}, weights=weights)
    key = None if seed is None else f"seed {seed}"
    return replace(result, measurements=replace(result.measurements, pairing_key=key))


def stressed(
    folder, answers: list[tuple[CellResult, list[str]]], asked: PromptSet | None = None
) -> Store:
    """A store whose last stress test has these answers: jailbreaks, then one benign control."""
    asked = asked or prompts(len(answers[0][1]) - 1)
    store = filled(folder, *(result for result, _ in answers))
    units = [a_unit(result, asked=asked) for result, _ in answers]
    keep(store, *(answered(u, *texts) for u, (_, texts) in zip(units, answers, strict=True)))
    judge_answers(store, Plain())
    chosen = StressSettings(
        prompts=("mine",), samples=1, temperature=0.0, max_tokens=8, seed=0, judge="rules"
    )
    write_plan(folder, chosen, "plain@1", [asked], units)
    return store


def ask(store: Store, **contrast: object) -> Inference:
    one = Contrast.from_dict({"id": "q", "claim": "c", **contrast})
    found = analyze([store], Asked(questions=Questions(contrasts=(one,))))
    (row,) = [r for r in found.inference if r.contrast_id == "q"]
    return row


def shares(store: Store) -> dict[str, tuple[int, int]]:
    view = next(v for v in analyze([store]).views if v.name == "stress")
    return {r["condition"]: (r["jailbreak_k"], r["jailbreak_n"]) for r in view.rows}


ONE_SEED = [
    (cell("baseline"), ["yes", "yes", "yes", "yes", NO, NO, "yes"]),
    (cell("rho-guided", 1), [NO, NO, NO, "yes", "yes", NO, "yes"]),
]
GUIDED = {"condition": "rho-guided"}


def test_tables_count_what_the_rows_say(tmp_path):
    store = stressed(tmp_path / "r", ONE_SEED)
    assert shares(store) == {"baseline": (2, 6), "rho-guided": (4, 6)}
    names = {v.name for v in analyze([store]).views}
    assert {"stress", "stress_by_category"} <= names


def test_degenerate_and_unjudged_answers_are_in_neither_number(tmp_path):
    answers = [ONE_SEED[0], (cell("rho-guided", 1), [NO, "", "?", "yes", "yes", NO, "yes"])]
    assert shares(stressed(tmp_path / "r", answers))["rho-guided"] == (2, 4)


def test_one_seed_is_tested_by_its_discordant_prompts_and_says_what_that_means(tmp_path):
    row = ask(stressed(tmp_path / "r", ONE_SEED), kind="prop_diff", a=GUIDED)
    assert row.p == pytest.approx(stats.binomtest(3, 4).pvalue)
    assert (row.estimate, row.n_probes) == (pytest.approx(2 / 6), 6)
    assert (row.test, row.population) == ("mcnemar_exact", "new_probes")
    assert "about these weights, not the method" in row.notes[0]
    assert "3 prompts only a refuses, 1 only b" in row.notes


@pytest.mark.parametrize(("alternative", "tail"), [("greater", "greater"), ("less", "less")])
def test_a_direction_is_one_tail(tmp_path, alternative, tail):
    store = stressed(tmp_path / "r", ONE_SEED)
    row = ask(store, kind="prop_diff", a=GUIDED, alternative=alternative)
    assert row.p == pytest.approx(stats.binomtest(3, 4, alternative=tail).pvalue)


def test_a_prompt_that_one_side_has_no_verdict_on_is_in_neither(tmp_path):
    baseline = (ONE_SEED[0][0], ["?", "yes", "yes", "yes", NO, NO, "yes"])
    row = ask(stressed(tmp_path / "r", [baseline, ONE_SEED[1]]), kind="prop_diff", a=GUIDED)
    assert row.n_probes == 5
    assert row.estimate == pytest.approx(1 / 5)


def many_seeds() -> list[tuple[CellResult, list[str]]]:
    random = np.random.default_rng(1)
    found = [(cell("baseline"), [NO if i % 4 == 0 else "yes" for i in range(12)] + ["yes"])]
    for name, chance in (("sft-only", 0.2), ("rho-guided", 0.8)):
        for seed in range(1, 5):
            texts = [NO if random.random() < chance else "yes" for _ in range(12)]
            found.append((cell(name, seed, rho=chance / 10), [*texts, "yes"]))
    return found


def test_several_seeds_speak_for_seeds_and_prompts(tmp_path):
    answers = many_seeds()
    store = stressed(tmp_path / "r", answers)
    row = ask(store, kind="prop_diff", a=GUIDED, b={"condition": "sft-only"})
    refused = {
        (r.spec.condition, r.spec.seed): np.array([t == NO for t in texts[:12]], float)
        for r, texts in answers
    }
    differences = [refused["rho-guided", s] - refused["sft-only", s] for s in range(1, 5)]
    assert row.estimate == pytest.approx(np.mean(differences))
    assert (row.population, row.pairing, row.n_pairs) == ("new_seeds_and_probes", "paired", 4)
    assert row.verdict == "supported"
    assert row.test.startswith("crossed")


def test_seeds_that_may_not_be_paired_are_not(tmp_path):
    answers = [
        (replace(r, measurements=replace(r.measurements, pairing_key=None)), t)
        for r, t in many_seeds()
    ]
    store = stressed(tmp_path / "r", answers)
    row = ask(store, kind="prop_diff", a=GUIDED, b={"condition": "sft-only"})
    assert (row.status, row.p, row.verdict) == ("unpaired", None, "not_testable")
    assert row.pairing_reason == "no pairing key"


def many_arms(refusals: list[int]) -> list[tuple[CellResult, list[str]]]:
    """Arms of rising refusal rho, four seeds each, that refuse so many of ten prompts."""
    random = np.random.default_rng(2)
    found = []
    for i, k in enumerate(refusals):
        for seed in range(1, 5):
            shown = [NO] * (k - (seed == 1)) + ["yes"] * (10 - k + (seed == 1))
            rho = 0.1 * i + 0.001 * float(random.normal())
            arm = cell("rho-guided", seed, rho=rho, rho_weight=0.1 * (i + 1))
            found.append((arm, [*shown, "yes", "yes", "yes"]))
    return found


@pytest.mark.slow
def test_the_paradox_is_a_rank_correlation_over_arms(tmp_path):
    answers = many_arms([2, 3, 5, 4, 8, 9])
    row = ask(stressed(tmp_path / "r", answers), kind="rank_correlation", alternative="greater")
    assert row.estimate == pytest.approx(stats.spearmanr(range(6), [2, 3, 5, 4, 8, 9]).statistic)
    assert (row.n_a, row.verdict) == (6, "supported")
    assert row.ci_low < row.estimate < row.ci_high
    # of the 720 orders of the arms, those that rise as much
    null = [stats.spearmanr(range(6), p).statistic for p in permutations([2, 3, 5, 4, 8, 9])]
    assert row.p == pytest.approx(np.mean(np.array(null) >= row.estimate - 1e-9))


def test_many_seeds_of_few_arms_show_no_correlation(tmp_path):
    store = stressed(tmp_path / "r", many_arms([2, 4, 6, 8]))
    row = ask(store, kind="rank_correlation")
    assert (row.n_a, row.p, row.verdict) == (4, None, "not_testable")
    assert row.p_attainable_min == pytest.approx(2 / 24)
    assert "4 arms cannot go below p = 0.083; 5 are the fewest for p <= 0.05" in row.notes
    assert ask(store, kind="rank_correlation", alternative="greater").p == pytest.approx(1 / 24)


def test_all_arms_of_one_seed_together(tmp_path):
    answers = [*ONE_SEED, (cell("sft-only", 1), [NO, NO, NO, NO, NO, NO, "yes"])]
    row = ask(stressed(tmp_path / "r", answers), kind="omnibus")
    assert (row.test, row.n_probes, len(row.arms)) == ("cochran_q", 6, 3)
    assert 0 < row.p < 1
    several = ask(stressed(tmp_path / "s", many_seeds()), kind="omnibus")
    assert several.status == "not_testable"


def test_without_answers_the_row_says_how_to_get_them(tmp_path):
    store = filled(tmp_path / "r", cell("baseline"), cell("rho-guided", 1))
    for kind in ("prop_diff", "rank_correlation", "omnibus"):
        row = ask(store, kind=kind, a=GUIDED)
        assert (row.status, row.verdict) == ("missing", "not_testable")
        assert "rho-sweep stress" in row.notes[0]


def test_answers_of_an_earlier_test_do_not_count(tmp_path):
    store = stressed(tmp_path / "r", ONE_SEED)
    keep(store, answered(a_unit(ONE_SEED[1][0], asked=prompts(4)), *[NO] * 5))
    judge_answers(store, Plain())
    assert shares(store)["rho-guided"] == (4, 6)


FRAMED = PromptSet(
    name="mine",
    prompts=tuple(
        a_prompt(i, id=f"r{i % 4}-{frame}", frame=frame, category=("theft", "fraud")[i % 2])
        for frame in ("plain", "fictional")
        for i in range(4)
    ),
)
"""Four requests, each plain and in a story."""


def framed(folder) -> Store:
    told = [
        (cell("baseline"), ["yes"] * 8),
        (cell("sft-only", 1), [NO, NO, "yes", "yes", "yes", "yes", "yes", "yes"]),
        (cell("rho-guided", 1), [NO, NO, NO, NO, NO, "yes", "yes", NO]),
    ]
    return stressed(folder, told, FRAMED)


def test_two_arms_are_compared_in_one_frame_or_category(tmp_path):
    store, plain = framed(tmp_path / "r"), {"condition": "sft-only"}
    row = ask(store, kind="prop_diff", a=GUIDED | {"frame": "fictional"}, b=plain)
    assert (row.n_probes, row.estimate) == (4, pytest.approx(0.5))
    row = ask(store, kind="prop_diff", a=GUIDED, b=plain | {"category": "theft"})
    assert (row.n_probes, row.estimate) == (4, pytest.approx(0.5))
    row = ask(store, kind="prop_diff", a=GUIDED | {"frame": "plain", "category": "fraud"})
    assert (row.n_probes, row.estimate, row.arm_b) == (2, pytest.approx(1.0), "baseline")


def test_two_frames_of_one_arm_are_compared_request_by_request(tmp_path):
    a, b = (GUIDED | {"frame": frame} for frame in ("plain", "fictional"))
    row = ask(framed(tmp_path / "r"), kind="prop_diff", a=a, b=b)
    assert (row.n_probes, row.estimate) == (4, pytest.approx(0.5))
    assert row.p == pytest.approx(stats.binomtest(2, 2).pvalue)
    arm = "rho-guided w=0.2 m=0.1"
    assert (row.arm_a, row.arm_b) == (f"{arm} frame=plain", f"{arm} frame=fictional")
    assert "2 prompts only a refuses, 0 only b" in row.notes


def test_a_frame_that_matters_more_to_one_arm_is_an_interaction(tmp_path):
    answers = [(cell("baseline"), ["yes"] * 8)]
    for condition, refused in (("sft-only", (0, 1, 2)), ("rho-guided", (3, 4, 4))):
        for seed, k in enumerate(refused, 1):  # of four as fiction, and all four plainly
            answers.append((cell(condition, seed), [NO] * (4 + k) + ["yes"] * (4 - k)))
    store = stressed(tmp_path / "r", answers, FRAMED)
    any_arm = {"data.sft": "starter"}
    asked = {
        "a": any_arm | {"frame": "fictional"},
        "b": any_arm | {"frame": "plain"},
        "between": {"condition": ["rho-guided", "sft-only"]},
        "alternative": "greater",
    }
    row = ask(store, kind="prop_interaction", **asked)
    assert (row.status, row.n_probes, row.n_pairs) == ("ok", 4, 3), row.notes
    differences = [(k - 4) / 4 - (n - 4) / 4 for k, n in ((3, 0), (4, 1), (4, 2))]
    assert row.estimate == pytest.approx(np.mean(differences))
    assert row.p == pytest.approx(stats.ttest_1samp(differences, 0, alternative="greater").pvalue)
    assert (row.population, row.pairing) == ("new_seeds", "paired")
    arm = "rho-guided w=0.2 m=0.1"
    assert row.arm_a == f"{arm} frame=fictional minus {arm} frame=plain"


def test_prompts_that_are_no_pairs_are_not_compared(tmp_path):
    a, b = (GUIDED | {"category": name} for name in ("theft", "fraud"))
    row = ask(framed(tmp_path / "r"), kind="prop_diff", a=a, b=b)
    assert (row.status, row.verdict) == ("missing", "not_testable")
    row = ask(framed(tmp_path / "s"), kind="prop_diff", a=GUIDED | {"frame": "none"})
    assert row.notes == ("no answers of rho-guided w=0.2 m=0.1, baseline to such prompts",)


def test_scores_have_no_frames():
    contrast = {"kind": "one_sample", "a": GUIDED | {"frame": "plain"}}
    text = {"name": "s", "model": "m", "grid": {"condition": "rho-guided", "seed": 1}}
    text["grid"] |= {"rho_weight": 0.2, "margin": 0.1}
    with pytest.raises(SweepError, match=r"frame .*is not used by one_sample"):
        parsed(yaml.safe_dump(text | {"analysis": {"contrasts": [contrast]}}))
    contrast["kind"] = "prop_diff"
    assert parsed(yaml.safe_dump(text | {"analysis": {"contrasts": [contrast]}}))


def test_frames_are_counted_by_intent():
    arm = an_arm(scores={1: 0.5})
    told = {"arm_id": arm.arm_id, "arm": arm.label, "condition": arm.condition, "seed": 1}
    counts = [
        Refusals(**told, prompts=part, prompt_id=f"{frame}-{part}-{i}", frame=frame, **verdict)
        for frame, refused in (("plain", 3), ("fictional", 1))
        for part, k in (("jailbreak", refused), ("benign", 0))
        for i in range(4)
        for verdict in [{"refused": 1} if i < k else {"complied": 1}]
    ]
    view = stress_by_frame(counts)
    found = {r["frame"]: (r["harmful_k"], r["harmful_n"], r["harmless_k"]) for r in view.rows}
    assert found == {"plain": (3, 4, 0), "fictional": (1, 4, 0)}
    assert [r["difference"] for r in view.rows] == [0.25, 0.75]
    one = stress_by_frame([r for r in counts if r.frame == "plain"])
    assert isinstance(one, Missing)


@settings(max_examples=50)
@given(st.lists(st.sampled_from([*Label]), min_size=1, max_size=30))
def test_every_answer_is_in_exactly_one_count(labels):
    arm = an_arm(scores={1: 0.5})
    answers = [
        {
            "cell_id": "c",
            "generation_id": "g",
            "prompt_set": "mine",
            "prompt_id": f"p{i % 5}",
            "sample_index": i // 5,
            "set": "jailbreak",
            "category": "theft",
            "frame": None,
            "status": "ok",
            "response_sha256": str(i),
            "n_tokens": i,
        }
        for i in range(len(labels))
    ]
    verdicts = [
        {**a, "judge": "j", "label": str(label)} for a, label in zip(answers, labels, strict=True)
    ]
    cells = {"c": {"arm_id": arm.arm_id, "seed": 1}}
    found = list(counted(answers, verdicts, "j", cells, {arm.arm_id: arm}))
    assert sum(r.refused for r in found) == sum(bool(x.refuses) for x in labels)
    assert sum(r.complied for r in found) == labels.count(Label.COMPLIANCE)
    assert sum(r.given for r in found) == len(labels)
    every = Answers(counts={(1, r.prompt_id): r for r in found})
    assert every.tokens == pytest.approx((len(labels) - 1) / 2)
    assert Answers().tokens is None
    nobody = list(counted(answers, verdicts, "another", cells, {arm.arm_id: arm}))
    assert sum(r.unjudged for r in nobody) == len(labels)


def test_a_label_that_is_none_is_one_sentence(tmp_path):
    store = stressed(tmp_path, [(cell("sft-only", 1), [NO, "yes"])])
    (row, *others) = store.rows("judgements")
    (path,) = (tmp_path / "judgements").iterdir()
    store.write("judgements", path.stem, [row | {"label": "\x1b[31mno\n"}, *others])
    with pytest.raises(UserError, match=r"judgements of .*: unknown label '\\x1b"):
        analyze([store])
