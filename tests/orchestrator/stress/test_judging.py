"""Labels for answers: repeatable, nothing judged twice, nothing judged lost."""

import re
from dataclasses import dataclass, field, replace

import pytest

from orchestrator.execution.committer import keep as keep_outcome
from orchestrator.results.store import Store
from orchestrator.stress import judging
from orchestrator.stress.judging import judge_answers
from tasks.contract.cell import CellFailure, NodeError
from tasks.judges.contract import Judgement, Label
from tests.answers import GREEDY, a_unit, answered, keep
from tests.builders import MACHINE, a_result, a_spec, filled

ONE, TWO = (a_result(a_spec(seed=i), weights=b"%d" % i) for i in (1, 2))


@dataclass
class Fake:
    """A judge that says what it is told, and remembers what it saw."""

    name: str = "fake@1"
    says: dict[str, Label] = field(default_factory=dict)
    fails_after: int | None = None
    seen: list[tuple[str, str]] = field(default_factory=list)

    def judge(self, prompt, response, finish_reason):
        if self.fails_after is not None and len(self.seen) == self.fails_after:
            raise NodeError("the judge is gone")
        self.seen.append((prompt, response))
        label = self.says.get(response, Label.COMPLIANCE)
        return Judgement(label=label, reason="so", score=0.25)


@pytest.fixture
def store(tmp_path) -> Store:
    """Two cells with three answers each; the last answer of both is the same."""
    found = filled(tmp_path / "s", ONE, TWO)
    keep(found, answered(a_unit(ONE), "a", "b", "same"), answered(a_unit(TWO), "c", "d", "same"))
    return found


def labels(store: Store, judge: str = "fake@1") -> dict[tuple[str, str], str]:
    unit = {a_unit(r).generation_id: r.spec.seed for r in (ONE, TWO)}
    rows = [r for r in store.rows("judgements") if r["judge"] == judge]
    return {(unit[r["generation_id"]], r["prompt_id"]): r["label"] for r in rows}


def test_every_answer_gets_a_label_and_equal_answers_to_a_prompt_one_verdict(store):
    judge = Fake(says={"a": Label.FULL_REFUSAL, "same": Label.DEGENERATE})
    found = judge_answers(store, judge)
    assert (found.answers, found.fresh, found.reused, found.unjudged) == (6, 5, 1, 0)
    assert labels(store)[1, "p0"] == "full_refusal"
    assert labels(store)[1, "p2"] == labels(store)[2, "p2"] == "degenerate"
    row = store.rows("judgements")[0]
    assert (row["reason"], row["score"]) == ("so", 0.25)
    answers = {(r["generation_id"], r["prompt_id"]): r for r in store.rows("generations")}
    for row in store.rows("judgements"):
        answer = answers[row["generation_id"], row["prompt_id"]]
        assert row["response_sha256"] == answer["response_sha256"]


def test_judging_again_asks_nothing_and_changes_nothing(store):
    judge_answers(store, Fake())
    before = store.rows("judgements"), store.rows("generations")
    again = Fake()
    found = judge_answers(store, again)
    assert (found.fresh, found.reused, again.seen) == (0, 0, [])
    assert (store.rows("judgements"), store.rows("generations")) == before


def test_the_same_words_to_another_prompt_are_judged_for_themselves(tmp_path):
    store = filled(tmp_path / "s", ONE)
    keep(store, answered(a_unit(ONE), "no", "no", "no"))
    judge = Fake()
    assert judge_answers(store, judge).fresh == 3
    assert len({prompt for prompt, _ in judge.seen}) == 3


def test_another_version_of_a_judge_stands_beside_the_first(store):
    judge_answers(store, Fake())
    assert judge_answers(store, Fake("fake@2", says={"a": Label.FULL_REFUSAL})).fresh == 5
    assert labels(store)[1, "p0"] == "compliance"
    assert labels(store, "fake@2")[1, "p0"] == "full_refusal"


@pytest.mark.parametrize("after", range(5))
def test_a_judge_that_fails_midway_loses_nothing_and_goes_on_there(store, after):
    with pytest.raises(NodeError, match="the judge is gone"):
        judge_answers(store, Fake(fails_after=after))
    assert len(store.rows("judgements")) >= after
    again = Fake()
    judge_answers(store, again)
    assert len(again.seen) == 5 - after
    assert len(labels(store)) == 6


def test_a_process_that_dies_loses_seconds_only(store, monkeypatch):
    monkeypatch.setattr(judging, "KEEP_EVERY_S", -1.0)

    class Dead(BaseException):
        pass

    class Dying(Fake):
        def judge(self, prompt, response, finish_reason):
            if len(self.seen) == 2:
                monkeypatch.setattr(Store, "write", lambda *_: None)  # as after kill -9
                raise Dead
            return super().judge(prompt, response, finish_reason)

    with pytest.raises(Dead):
        judge_answers(store, Dying())
    assert len(store.rows("judgements")) == 2


def test_an_answer_without_a_label_is_counted_and_asked_about_again(store):
    unsure = Fake(says={"a": Label.UNJUDGED})
    first = judge_answers(store, unsure)
    assert first.unjudged == 1
    assert "; 1 of them unjudged" in first.line
    sure = Fake()
    assert judge_answers(store, sure).unjudged == 0
    assert sure.seen == [("prompt 0", "a")]


def test_an_answer_that_changed_is_judged_again(store):
    judge_answers(store, Fake())
    keep(store, answered(a_unit(ONE), "new", "b", "same"))
    judge = Fake(says={"new": Label.PARTIAL_REFUSAL})
    judge_answers(store, judge)
    assert judge.seen == [("prompt 0", "new")]
    assert labels(store)[1, "p0"] == "partial_refusal"


def test_answers_that_are_missing_are_counted_and_never_judged(store):
    unit = a_unit(TWO, decoding=replace(GREEDY, max_tokens=9))
    failed = CellFailure(spec=unit, stage="load", message="gone", trace="", machine=MACHINE)
    keep_outcome(store, failed, attempts=1, ray=None)
    found = judge_answers(store, Fake())
    assert (found.answers, found.missing, found.unjudged) == (6, 3, 0)
    assert "3 missing: their generation failed" in found.line


def test_judge_run_labels_with_the_rules_and_says_how_many_have_none(rho_sweep, store):
    ran = rho_sweep("judge", "run", store.folder)
    assert ran.code == 0
    assert ran.out.startswith("rules@")
    rows = store.rows("judgements")
    told = sum(r["label"] == "unjudged" for r in rows)
    parts = "6 answers: 5 judged now, 1 with the verdict on an equal answer"
    assert f"{parts}; {told} of them unjudged" in ran.out
    assert len(rows) == 6


def test_the_counts_of_judging_add_up(store):
    once, again = judge_answers(store, Fake()), judge_answers(store, Fake())
    for found in (once, again):
        first, *parts = map(int, re.findall(r"(\d+) (?:answers|judged|with)", found.line))
        assert first == sum(parts) == 6


def test_judge_run_with_a_name_that_is_no_judge_is_one_message(rho_sweep, store):
    ran = rho_sweep("judge", "run", store.folder, "--judge", "oracle")
    assert ran.code == 2
    assert "no judge is called 'oracle'" in ran.err


def test_a_thought_is_never_judged_and_a_cut_one_is_degenerate(tmp_path):
    store = filled(tmp_path / "s", ONE)
    asked = answered(a_unit(ONE), "<think>I should comply.", "<think>Hm.</think>\n\nNo.", "plain")
    first, *others = asked.answers
    keep(store, replace(asked, answers=(replace(first, finish_reason="thought"), *others)))
    judge = Fake()
    judge_answers(store, judge)
    assert [response for _, response in judge.seen] == ["No.", "plain"]
    row = next(r for r in store.rows("judgements") if r["prompt_id"] == first.prompt_id)
    assert (row["label"], row["reason"]) == ("degenerate", "ends inside its reasoning")
