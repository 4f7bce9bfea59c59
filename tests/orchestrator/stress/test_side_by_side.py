"""Answers prompt by prompt, as a report shows them."""

import pytest

from orchestrator.config.fields import StressSettings
from orchestrator.results.stress_record import write_plan
from orchestrator.stress.judging import judge_answers
from orchestrator.stress.side_by_side import MAX_TEXT, side_by_side
from tasks.judges.contract import Label
from tests.answers import a_unit, answered, keep, prompts
from tests.builders import a_result, a_spec, filled
from tests.orchestrator.stress.test_judging import Fake

BASE = a_result(a_spec("baseline"))
ONE, TWO = (a_result(a_spec(seed=i), weights=b"%d" % i) for i in (1, 2))
ARMS = {
    TWO.spec.cell_id: "rho-guided",
    ONE.spec.cell_id: "rho-guided",
    BASE.spec.cell_id: "baseline",
}


@pytest.fixture
def store(tmp_path):
    """The untrained model and two seeds of an arm, which refuses the second prompt."""
    found = filled(tmp_path / "s", BASE, ONE, TWO)
    units = [a_unit(r) for r in (BASE, ONE, TWO)]
    texts = (("Sure.", "Yes.", "Hello"), ("Fine.", "No!", "Hello"), ("x", "y", "z" * 5_000))
    keep(found, *(answered(u, *said) for u, said in zip(units, texts, strict=True)))
    write_plan(found.folder, StressSettings(), "fake@1", [prompts()], units)
    return found


def test_a_prompt_has_the_untrained_model_first_and_the_first_seed_of_each_arm(store):
    judge_answers(store, Fake(says={"No!": Label.FULL_REFUSAL}))
    first, *others = side_by_side(store, ARMS)
    assert first.prompt == "prompt 1", "answers with several labels come first"
    assert [(a.arm, a.text, a.label) for a in first.answers] == [
        ("baseline", "Yes.", "compliance"),
        ("rho-guided, seed 1", "No!", "full refusal"),
    ]
    assert [asked.prompt for asked in others] == ["prompt 0", "prompt 2"]


def test_an_answer_without_a_label_has_none_and_a_long_one_is_cut(store):
    *_, last = side_by_side(store, ARMS | {ONE.spec.cell_id: "another"})
    assert {a.label for a in last.answers} == {""}
    long = next(a for a in last.answers if a.arm == "rho-guided, seed 2")
    assert long.text == "z" * MAX_TEXT + " … (cut)"


def test_without_a_stress_test_there_is_none(store):
    (store.folder / "stress.json").unlink()
    assert side_by_side(store, ARMS) == ()
