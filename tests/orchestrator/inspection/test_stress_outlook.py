"""What a stress test will cost, before and after its first unit; what it can tell."""

from dataclasses import replace

import pytest

from orchestrator.cells.load import resolve
from orchestrator.cells.prompt_sets import as_jsonl, load_sets
from orchestrator.cells.stress_estimate import Pace, generation_memory, generation_work, pace_of
from orchestrator.inspection.plan import describe, plan
from orchestrator.inspection.stress_outlook import power_note
from orchestrator.stats.power import power_mcnemar
from tasks.contract.cell import NodeError
from tasks.contract.generation import Decoding
from tasks.sources.model_files import read_folder
from tasks.starter import TINY
from tests.answers import a_unit, answered, keep, prompts
from tests.builders import a_result, a_spec, filled, parsed

SWEEP = """\
name: s
model: tiny
grid:
  condition: [rho-guided]
  rho_weight: [0.2]
  margin: [0.1]
  seed: [1, 2]
data: {size: 20}
run: {slots: 2}
stress: {prompts: [starter], max_tokens: 10}
"""


def test_before_the_first_unit_the_tokens_are_a_bound_and_the_time_is_unknown(tmp_path):
    found = plan([parsed(SWEEP)], tmp_path)
    (stress,) = found.stress
    assert (stress.prompts, stress.harmful, stress.cells) == (65, 25, 3)
    assert (stress.units, stress.done, stress.answers) == (3, 0, 195)
    assert (stress.tokens, stress.seconds) == (1950, None)
    lines = "\n".join(describe(found))
    assert "65 prompts x 3 cells, 0 of 3 units are answered; at most 1950 tokens" in lines
    assert "time not known before a first unit of this model is answered" in lines
    assert list(tmp_path.iterdir()) == []


def test_after_the_first_unit_the_rest_is_estimated_from_it(tmp_path):
    sweep = parsed(SWEEP)
    cells = resolve(sweep, download=False)[0].all
    result = a_result(cells[0])
    store = filled(tmp_path / "s", result)
    (starter,) = load_sets(("starter",), download=False)
    unit = a_unit(result, asked=starter, decoding=sweep.stress.decoding)
    keep(store, answered(unit, *["three short words"] * 65))
    (stress,) = plan([sweep], tmp_path).stress
    assert (stress.done, stress.answers, stress.tokens) == (1, 130, 390)
    assert stress.seconds == pytest.approx(2.0 * 130 / 65)
    other = parsed(SWEEP.replace("max_tokens: 10", "max_tokens: 11"))
    (stress,) = plan([other], tmp_path).stress
    assert (stress.done, stress.answers) == (0, 195)


def test_a_plan_of_a_sweep_without_the_block_says_nothing_of_it(tmp_path):
    bare = parsed(SWEEP[: SWEEP.index("stress:")])
    found = plan([bare], tmp_path)
    assert found.stress == ()
    assert not any(line.startswith(("stress", "power")) for line in describe(found))


def test_a_set_that_is_not_there_is_a_problem_of_the_file_with_its_line(tmp_path):
    with pytest.raises(Exception, match=r"stress.prompts \(line 10\): prompts .*no such file"):
        plan([parsed(SWEEP.replace("[starter]", "[starter, gone.jsonl]"))], tmp_path)


def test_the_pace_counts_each_unit_once_and_no_other_model():
    rows = [
        {"model_digest": m, "status": s, "n_tokens": n, "wall_s": 6.0, "cell_id": c,
         "generation_id": "g"}
        for m, s, n, c in [
            ("m", "ok", 2, "a"), ("m", "ok", 4, "a"), ("m", "ok", 6, "b"),
            ("x", "ok", 99, "c"), ("m", "failed", None, "d"),
        ]
    ]  # fmt: skip
    assert pace_of(rows, {"m"}) == Pace(tokens=4.0, answer_s=4.0)
    assert pace_of(rows, {"y"}) is None


@pytest.mark.parametrize("n", [25, 65, 200])
def test_the_note_on_power_has_the_chances_of_the_exact_test(n):
    note = power_note(n, 8)
    for chance in (power_mcnemar(n, 0.12, 0.0), power_mcnemar(n, 0.20, 0.08)):
        assert f"{chance:.0%}" in note
    assert f"{n} harmful prompts tell 68% from 80% refused" in note
    assert ("a chance of 80% takes 65 to 161" in note) == (n < 161)


def test_one_seed_is_said_to_speak_for_its_weights_only():
    assert "one seed speaks for these weights only" in power_note(25, 1)
    assert "one seed" not in power_note(25, 2)
    assert power_note(0, 1) is None


def test_longer_answers_and_more_of_them_need_more_memory_and_work():
    files = read_folder(TINY)
    unit = a_unit(a_result(a_spec()), asked=prompts(9))
    longer = a_unit(a_result(a_spec()), asked=prompts(9), decoding=Decoding(max_tokens=80))
    more = a_unit(a_result(a_spec()), asked=prompts(19))
    for other in (longer, more):
        assert generation_memory(other, files) > generation_memory(unit, files)
        assert generation_work(other, files) > generation_work(unit, files)
    larger = replace(files, weight_bytes=2 * files.weight_bytes)
    assert generation_work(unit, larger) == 2 * generation_work(unit, files)
    assert generation_memory(unit, files) > files.weight_bytes


def test_two_names_of_the_same_prompts_are_one_set(tmp_path):
    path = tmp_path / "copy.jsonl"
    path.write_text(as_jsonl(load_sets(("starter",), download=False)[0]))
    names = [s.name for s in load_sets(("factorial", "starter", str(path)), download=False)]
    assert names == ["factorial", "starter"]
    with pytest.raises(NodeError):
        load_sets(("starter", "gone"), download=False)
