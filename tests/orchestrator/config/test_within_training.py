"""`train.eval_at` and `train.keep_at`: epochs or steps, and nothing that is read in two ways."""

import pytest

from orchestrator.errors import SweepError
from orchestrator.results.manifest import load_manifest
from tests.builders import expanded, launched, parsed
from tests.orchestrator.config.test_schema import refuses

SWEEP = """\
name: s
model: m
grid: {condition: [rho-guided], rho_weight: [0.2], margin: [0.1], seed: [1, 2]}
data: {size: 100}
train: {epochs: 2, %s}
"""


def cell(train):
    return expanded(SWEEP % train).cells[0]


@pytest.mark.parametrize(
    ("train", "steps"),
    [
        ("eval_at: [0.5, 1, 2.0]", (7, 13)),  # 25 micro-steps an epoch half, 4 to a step
        ("eval_at: [1, 0.5]", (7, 13)),
        ("eval_at: {steps: [20, 3, 25]}", (3, 20)),  # the last of 25 goes without saying
        ("eval_at: [2]", ()),
        ("eval_at: null", ()),
        ("batch_size: 5, grad_accumulation: 3, eval_at: [0.15]", (1,)),
        ("batch_size: 1, grad_accumulation: 1, eval_at: [0.29]", (29,)),
    ],
)
def test_epochs_and_steps_become_steps_before_the_last(train, steps):
    assert cell(train).eval_steps == steps
    assert cell(train.replace("eval_at", "keep_at")).keep_steps == steps


def test_what_makes_no_difference_is_not_in_the_identity():
    plain = cell("")
    assert cell("eval_at: [2.0]").cell_id == cell("keep_at: null").cell_id == plain.cell_id
    assert cell("eval_at: [0.5]").cell_id == cell("eval_at: {steps: [7]}").cell_id != plain.cell_id
    assert {b.cell_id for b in expanded(SWEEP % "eval_at: [1]").baselines} == {
        b.cell_id for b in expanded(SWEEP % "").baselines
    }


WRONG = {
    "eval_at: 1": "train.eval_at: must be a list of epochs, or {steps: a list of optimizer steps}",
    "eval_at: []": "must be a list of epochs, or {steps:",
    "eval_at: {steps: []}": "must be a list of epochs, or {steps:",
    "eval_at: {epochs: [1]}": "must be a list of epochs, or {steps:",
    "eval_at: {steps: [3], epochs: [1]}": "must be a list of epochs, or {steps:",
    "eval_at: [0]": "train.eval_at[0]: must be a number above 0, got 0",
    "eval_at: [1, true]": "train.eval_at[1]: must be a number above 0, got True",
    "eval_at: [1, half]": "train.eval_at[1]: must be a number above 0",
    "eval_at: [0.5, 0.5]": "train.eval_at: names a moment twice",
    "eval_at: {steps: [1.5]}": "train.eval_at.steps[0]: must be a whole number above 0, got 1.5",
    "keep_at: {steps: [-1]}": "train.keep_at.steps[0]: must be a whole number above 0, got -1",
}


@pytest.mark.parametrize(("train", "message"), WRONG.items(), ids=WRONG)
def test_a_wrong_moment_is_refused_by_schema_and_parser(train, message):
    assert refuses(SWEEP % train)
    with pytest.raises(SweepError) as caught:
        parsed(SWEEP % train)
    assert any(message in f"{p.path}: {p.message}" for p in caught.value.problems)


def test_every_wrong_moment_is_named():
    with pytest.raises(SweepError) as caught:
        parsed(SWEEP % "eval_at: [.nan, 1, -1]")
    assert [p.path for p in caught.value.problems] == ["train.eval_at[0]", "train.eval_at[2]"]


def test_more_epochs_than_the_training_has_are_refused():
    with pytest.raises(
        SweepError, match=r"eval_at \(line 5\): 3 epochs are more than the training has \(2\)"
    ):
        parsed(SWEEP % "eval_at: [1, 3]")


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("eval_at: {steps: [26]}", "step 26 is after the end of a training of 25 steps"),
        ("keep_at: [0.01, 0.02]", "0.01 and 0.02 epochs are the same optimizer step (1)"),
    ],
)
def test_what_only_shows_with_the_data_is_refused_with_its_line(train, message):
    from orchestrator.cells.expand import expand
    from tests.builders import NamesOnly

    _, problems = expand(parsed(SWEEP % train), NamesOnly())
    assert [message] == [p.message for p in problems]
    assert problems[0].line == 5


def test_the_manifest_names_them_as_people_do(tmp_path):
    launched(tmp_path, SWEEP % "eval_at: [1, 0.5], keep_at: {steps: [3]}")
    settings = load_manifest(tmp_path)["settings"]
    assert settings["train.eval_at"] == "0.5, 1 epochs"
    assert settings["train.keep_at"] == "3 steps"


def test_moments_are_no_axis():
    text = SWEEP.replace("seed: [1, 2]", "seed: [1], train.eval_at: [1]") % ""
    with pytest.raises(SweepError, match="no field that can be an axis"):
        parsed(text)
