"""A judge against people: known numbers, other people's formulas, and clear errors."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.proportion import proportion_confint

from orchestrator.errors import UserError
from orchestrator.stress.validation import (
    LABELS,
    Example,
    Share,
    compare,
    kappa,
    kappa_interval,
    load_examples,
    validate,
)
from tasks.contract.cell import NodeError
from tasks.judges.contract import Judgement, Label
from tasks.starter import EXAMPLES, JUDGED
from tests import ROOT

FULL, PARTIAL, COMPLIANCE = Label.FULL_REFUSAL, Label.PARTIAL_REFUSAL, Label.COMPLIANCE
DEGENERATE, UNJUDGED = Label.DEGENERATE, Label.UNJUDGED
labels = st.sampled_from(LABELS)


def example(number: int, label: Label) -> Example:
    return Example(id=str(number), prompt="p", response="r", label=label, half="dev")


def compared(*pairs: tuple[Label, Label]):
    examples = [example(i, label) for i, (label, _) in enumerate(pairs)]
    return compare("toy", examples, [Judgement(label=judged) for _, judged in pairs], "all")


def row(**changes: object) -> dict[str, object]:
    return {
        "id": "1",
        "prompt": "p",
        "response": "I can't help with that.",
        "label": "full_refusal",
        "half": "dev",
    } | changes


def jsonl(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(json.dumps(r) for r in rows))
    return path


# numbers


def test_refusals_in_full_and_in_part_count_alike_and_the_rest_does_not_refuse():
    found = compared(
        (FULL, PARTIAL),
        (PARTIAL, FULL),
        (FULL, COMPLIANCE),
        (COMPLIANCE, COMPLIANCE),
        (COMPLIANCE, FULL),
        (DEGENERATE, COMPLIANCE),
        (DEGENERATE, DEGENERATE),
    )
    assert (found.sensitivity.k, found.sensitivity.n) == (2, 3)
    assert (found.specificity.k, found.specificity.n) == (3, 4)


def test_what_is_unjudged_by_either_is_outside_numerator_and_denominator():
    judged = compared((FULL, FULL), (COMPLIANCE, COMPLIANCE))
    more = compared(
        (FULL, FULL),
        (COMPLIANCE, COMPLIANCE),
        (FULL, UNJUDGED),
        (COMPLIANCE, UNJUDGED),
        (UNJUDGED, FULL),
        (UNJUDGED, UNJUDGED),
    )
    assert (more.sensitivity, more.specificity) == (judged.sensitivity, judged.specificity)
    assert more.kappa_refusal == judged.kappa_refusal == 1
    assert (more.n, more.n_unjudged) == (6, 3)
    assert more.kappa < 1, "an abstention is a disagreement about the label"


def test_a_published_table_has_its_kappa():
    """20 and 15 agreements, 5 and 10 disagreements: observed 0.7, by chance 0.5."""
    pairs = [("y", "y")] * 20 + [("n", "n")] * 15 + [("y", "n")] * 5 + [("n", "y")] * 10
    assert kappa(pairs) == pytest.approx(0.4)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of its z value, unused
@given(st.lists(st.tuples(labels, labels), min_size=2, max_size=60))
def test_kappa_is_that_of_statsmodels(pairs):
    table = [[pairs.count((a, b)) for b in LABELS] for a in LABELS]
    assume(len({*(a for a, _ in pairs), *(b for _, b in pairs)}) > 1)
    assert kappa(pairs) == pytest.approx(cohens_kappa(table).kappa)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of its z value, unused
@given(st.lists(st.tuples(labels, labels), min_size=2, max_size=60))
def test_the_interval_of_kappa_is_that_of_statsmodels(pairs):
    table = [[pairs.count((a, b)) for b in LABELS] for a in LABELS]
    assume(len({*(a for a, _ in pairs), *(b for _, b in pairs)}) > 1)
    other = cohens_kappa(table)
    assume(other.var_kappa > 1e-9)  # below it rounding may make it negative, and its root nan
    expected = (other.kappa_low, min(other.kappa_upp, 1))
    assert kappa_interval(pairs) == pytest.approx(expected, abs=1e-9)


def test_every_label_has_rates_of_its_own():
    found = compared((FULL, FULL), (FULL, PARTIAL), (PARTIAL, PARTIAL), (COMPLIANCE, UNJUDGED))
    rates = found.labels["partial_refusal"]
    assert (rates["sensitivity"].k, rates["sensitivity"].n) == (1, 1)
    assert (rates["specificity"].k, rates["specificity"].n) == (2, 3)
    assert list(found.labels) == list(LABELS)


def test_kappa_does_not_exist_without_variety():
    assert kappa([]) is None
    assert kappa([(FULL, FULL)] * 3) is kappa_interval([(FULL, FULL)] * 3) is None
    assert compared((UNJUDGED, UNJUDGED)).kappa_refusal is None


@given(st.integers(0, 50), st.integers(0, 50))
def test_the_interval_is_wilsons(k, more):
    share = Share.of(k, k + more)
    if k + more == 0:
        assert (share.value, share.low, share.high) == (None, None, None)
    else:
        expected = proportion_confint(k, k + more, method="wilson")
        assert (share.low, share.high) == pytest.approx(expected, abs=1e-9)
        assert share.value == k / (k + more)


@given(st.lists(st.tuples(labels, labels), min_size=1, max_size=40))
def test_the_confusion_counts_every_example_once_and_mistakes_are_off_its_diagonal(pairs):
    found = compared(*pairs)
    cells = [(p, j, n) for p, judged in found.confusion.items() for j, n in judged.items()]
    assert sum(n for _, _, n in cells) == found.n == len(pairs)
    assert sum(n for p, j, n in cells if p != j) == len(found.mistakes)
    assert found.n_unjudged == sum(n for _, j, n in cells if j == UNJUDGED)


def test_the_judge_is_asked_with_everything_the_example_says():
    class Recorder:
        name = "recorder"
        asked: list = []  # noqa: RUF012 - one test, one class

        def judge(self, prompt, response, finish_reason):
            self.asked.append((prompt, response, finish_reason))
            return Judgement(label=COMPLIANCE)

    given_ = Example(
        id="1", prompt="p", response="r", label=FULL, half="dev", finish_reason="length"
    )
    found = validate(Recorder(), [given_], "dev")
    assert Recorder.asked == [("p", "r", "length")]
    assert (found.judge, found.half, found.sensitivity.value) == ("recorder", "dev", 0)


# files


def test_a_half_is_chosen():
    dev, held, both = (load_examples(JUDGED, half) for half in ("dev", "heldback", "all"))
    assert {e.half for e in dev} == {"dev"}
    assert {e.half for e in held} == {"heldback"}
    assert {e.id for e in both} == {e.id for e in dev} | {e.id for e in held}


def test_trap_and_finish_reason_may_be_left_out(tmp_path):
    (found,) = load_examples(jsonl(tmp_path / "x.jsonl", row()))
    assert (found.trap, found.finish_reason) == (None, None)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([row(), row()], "x.jsonl:2: id '1' occurs before"),
        ([row(label="refusal")], "x.jsonl:1: label 'refusal' is none of full_refusal, partial"),
        ([row(first="no")], "x.jsonl:1: first 'no' is none of full_refusal, partial"),
        ([row(half="test")], "x.jsonl:1: half must be dev or heldback, got 'test'"),
        ([row(prompt=None)], "x.jsonl:1: 'prompt' is missing"),
        ([{"id": "1"}], "x.jsonl:1: 'prompt' is missing"),
        ([row(response=3)], "x.jsonl:1: 'response' must be a text, got 3"),
        ([row(trap=[])], "x.jsonl:1: 'trap' must be a text, got []"),
        ([row(label=["x"])], "x.jsonl:1: 'label' must be a text"),
        ([row(judge="me")], "x.jsonl:1: unknown key 'judge'"),
    ],
)
def test_a_malformed_row_is_named_with_its_line(tmp_path, rows, says):
    with pytest.raises(UserError) as error:
        load_examples(jsonl(tmp_path / "x.jsonl", *rows))
    assert says in str(error.value)


def test_a_file_without_rows_or_without_the_half_is_said_to_be_so(tmp_path):
    with pytest.raises(NodeError, match="no records in the file"):
        load_examples(jsonl(tmp_path / "x.jsonl"))
    with pytest.raises(UserError, match="no example of half 'heldback'"):
        load_examples(jsonl(tmp_path / "x.jsonl", row()), "heldback")
    with pytest.raises(UserError, match="--half must be dev, heldback or all, got 'some'"):
        load_examples(JUDGED, "some")


# the command


def test_the_command_validates_the_rules_on_what_ships(rho_sweep):
    ran = rho_sweep("judge", "validate", "--half", "heldback")
    assert (ran.code, ran.err) == (0, "")
    for word in ("rules@4, heldback", "sensitivity", "specificity", "five labels", "unjudged"):
        assert word in ran.out


def test_the_sets_that_ship_are_named_on_the_command_line(rho_sweep):
    assert set(EXAMPLES) == {"written", "real"}
    ran = rho_sweep("judge", "validate", "real", "--half", "heldback", "--json")
    assert (ran.code, ran.err) == (0, "")
    told = json.loads(ran.out)
    assert told["labels"]["full_refusal"]["sensitivity"]["n"] == 46
    assert len(told["kappa_refusal_interval"]) == 2


def test_json_holds_the_same_numbers(rho_sweep, tmp_path):
    path = jsonl(
        tmp_path / "x.jsonl",
        row(),
        row(id="2", response="Paris", label="compliance"),
        row(id="3", response="", label="compliance", trap="empty"),
    )
    ran = rho_sweep("judge", "validate", path, "--judge", "rules", "--json")
    assert (ran.code, ran.err) == (0, "")
    found = json.loads(ran.out)
    assert (found["judge"], found["n"], found["n_unjudged"]) == ("rules@4", 3, 0)
    assert found["confusion"]["compliance"]["degenerate"] == 1
    assert found["sensitivity"] | {"low": 0} == {"k": 1, "n": 1, "value": 1, "low": 0, "high": 1}
    assert found["mistakes"] == [
        {
            "id": "3",
            "trap": "empty",
            "label": "compliance",
            "judged": "degenerate",
            "reason": "no words",
        }
    ]


@pytest.mark.slow
def test_a_model_that_gives_no_verdicts_leaves_every_number_open(rho_sweep, tmp_path):
    path = jsonl(tmp_path / "x.jsonl", row(), row(id="2", response="Paris", label="compliance"))
    ran = rho_sweep("judge", "validate", path, "--judge", "model:tiny")
    assert ran.code == 0
    assert "unjudged         2 of 2" in ran.out
    assert "sensitivity      -  (nothing to count)" in ran.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["gone.jsonl"], "gone.jsonl: no such file"),
        (["--half", "other"], "--half must be dev, heldback or all, got 'other'"),
        (["--judge", "gpt"], "no judge is called 'gpt'; there are rules, model:PATH"),
        (["--judge", "model:./gone"], "no such directory, and no hub id"),
        (["--judge", "endpoint:host"], "expected a URL such as http://127.0.0.1:8080/v1"),
        (["--judge", "endpoint:http://127.0.0.1:1/v1"], "is the server running?"),
    ],
)
def test_what_the_user_can_fix_is_one_message(rho_sweep, arguments, says):
    ran = rho_sweep("judge", "validate", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.slow
def test_validating_the_rules_loads_no_mlx():
    code = (
        "import sys; sys.argv = ['rho-sweep', 'judge', 'validate', '--json'];"
        "import atexit; atexit.register(lambda: print([m for m in ('mlx', 'mlx_lm')"
        " if m in sys.modules], file=sys.stderr)); from orchestrator.cli import main; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0
    assert ran.stderr == "[]\n"
