"""The stress test from settings to tables, with a stand-in for the node; and its commands."""

import json
import re
import shutil

import pytest

from orchestrator.cells.prompt_sets import as_jsonl
from orchestrator.cli.stressing import after_launch
from orchestrator.config.sweep_file import preset_text
from orchestrator.errors import SweepError
from orchestrator.execution.display import PlainDisplay
from orchestrator.execution.engines.base import InlineEngine
from orchestrator.execution.launch import Options
from orchestrator.results import lock
from orchestrator.results.manifest import load_manifest, run_settings
from orchestrator.results.stress_record import units_in
from orchestrator.stress import run as stressing
from tasks.contract.cell import CellFailure, Progress, Status
from tasks.contract.reports import Beat
from tasks.data.prompts import load_prompts
from tasks.judges.rules import RulesJudge
from tests.answers import answered, prompts
from tests.builders import MACHINE, a_failure, a_result, expanded, launched, parsed

SWEEP = """\
name: s
model: tiny
grid:
  condition: [rho-guided]
  rho_weight: [0.2]
  margin: [0.1]
  seed: [1, 2, 3]
"""
BLOCK = "stress: {prompts: [starter], max_tokens: 8, judge: rules}\n"


class Node:
    """Answers at once, or fails where the label holds a word; remembers what it was given."""

    def __init__(self, fails_on: str = "", stops_at: int | None = None) -> None:
        self.asked, self._fails_on, self._stops_at = [], fails_on, stops_at

    def execute(self, spec, beat, saving):
        if self._stops_at == len(self.asked):
            raise KeyboardInterrupt
        self.asked.append(spec)
        progress = Progress(stage="generate", step=1, steps=2)
        beat(Beat(cell_id=spec.key, pid=1, host="toy", progress=progress))
        if self._fails_on and self._fails_on in spec.label:
            return CellFailure(
                spec=spec.bare(), stage="load", message="gone", trace="T", machine=MACHINE
            )
        return answered(spec.bare())


@pytest.fixture
def node(monkeypatch):
    """Makes every stress test use a stand-in; call it for another one."""

    def use(**how) -> Node:
        found = Node(**how)
        monkeypatch.setattr(stressing, "engine_of", lambda *_: InlineEngine(lambda: found))
        return found

    return use


@pytest.fixture
def results(tmp_path):
    """A baseline and two scored cells; one diverged. The sweep has a `stress:` block."""
    store, expansion = launched(tmp_path / "s", SWEEP + BLOCK)
    for i, spec in enumerate(expansion.all):
        status = Status.DIVERGED if spec.seed == 3 else Status.OK
        store.commit(a_result(spec, status=status, weights=b"%d" % i), attempts=1, ray=None)
    return store


def mine(folder, count: int = 2):
    """A file of prompts."""
    path = folder / "mine.jsonl"
    path.write_text(as_jsonl(prompts(count)))
    return path


def test_every_scored_cell_and_the_baseline_answer_every_prompt_and_are_judged(
    results, node, rho_sweep
):
    there = node()
    ran = rho_sweep("stress", results.folder, "--inline")
    assert ran.code == 0, ran.err
    starter = load_prompts("starter")
    rows = results.rows("generations")
    scored = {c for c, s in results.statuses().items() if s is Status.OK}
    assert {r["cell_id"] for r in rows} == scored
    assert len(rows) == 3 * len(starter.prompts)
    assert {json.loads(r["decoding"])["max_tokens"] for r in rows} == {8}
    assert len(results.rows("judgements")) == len(rows)
    assert "not tested, diverged: rho-guided w=0.2 m=0.1 seed=3" in ran.err
    assert f"{results.folder}: 3 of 3 units answered, 0 were before" in ran.out
    by_seed = {s.seed: s for s in there.asked}
    assert by_seed[None].adapter is by_seed[None].adapter_sha256 is None
    for seed in (1, 2):
        assert by_seed[seed].adapter.sha256 == by_seed[seed].adapter_sha256


@pytest.mark.slow
def test_a_second_test_generates_nothing_and_more_prompts_only_add(results, node, rho_sweep):
    node()
    assert rho_sweep("stress", results.folder, "--inline").code == 0
    before = results.rows("generations")
    again = node()
    ran = rho_sweep("stress", results.folder, "--inline")
    assert (ran.code, again.asked) == (0, [])
    assert "3 of 3 units answered, 3 were before" in ran.out
    path = mine(results.folder.parent)
    ran = rho_sweep("stress", results.folder, "--inline", "--prompts", path, "--prompts", "starter")
    assert [s.prompts.name for s in again.asked] == ["mine"] * 3
    assert "6 of 6 units answered, 3 were before" in ran.out
    kept = [r for r in results.rows("generations") if r["prompt_set"] == "starter"]
    assert kept == before


@pytest.mark.slow
def test_a_new_seed_only_adds_work(results, node, rho_sweep):
    node()
    assert rho_sweep("stress", results.folder, "--inline").code == 0
    more, expansion = launched(results.folder, SWEEP.replace("3]", "3, 4]") + BLOCK)
    new = next(s for s in expansion.all if s.seed == 4)
    more.commit(a_result(new, weights=b"new"), attempts=1, ray=None)
    there = node()
    assert rho_sweep("stress", results.folder, "--inline").code == 0
    assert [s.seed for s in there.asked] == [4]


@pytest.mark.slow
def test_a_failing_unit_is_a_stored_failure_and_the_others_go_on(results, node, rho_sweep):
    node(fails_on="seed=1")
    ran = rho_sweep("stress", results.folder, "--inline")
    assert ran.code == 1
    assert "failed rho-guided w=0.2 m=0.1 seed=1 on starter: gone" in ran.err
    assert "2 of 3 units answered" in ran.out
    assert "65 missing" in ran.out
    rows = results.rows("generations")
    assert {r["seed"] for r in rows if r["status"] == "failed"} == {1}
    assert {r["seed"] for r in rows if r["status"] == "ok"} == {None, 2}
    again = node()
    assert rho_sweep("stress", results.folder, "--inline").code == 0
    assert [s.seed for s in again.asked] == [1]
    assert {r["status"] for r in results.rows("generations")} == {"ok"}
    journal = [r for r in results.rows("attempts") if r["cell_id"] == again.asked[0].key]
    assert sorted((r["attempt"], r["outcome"]) for r in journal) == [(1, "failed"), (2, "ok")]


def test_missing_files_travel_as_missing_and_altered_ones_as_they_are(results, node, rho_sweep):
    rows = {r["seed"]: r for r in results.rows("cells")}
    shutil.rmtree(results.adapter_folder(rows[1]["cell_id"]))
    weights = results.adapter_folder(rows[2]["cell_id"]) / "adapters.safetensors"
    weights.write_bytes(b"altered")
    there = node()
    rho_sweep("stress", results.folder, "--inline")
    by_seed = {s.seed: s for s in there.asked}
    assert by_seed[1].adapter is None
    assert by_seed[2].adapter.weights == b"altered"
    assert {s.adapter_sha256 for s in there.asked} == {r["adapter_sha256"] for r in rows.values()}


def test_interrupted_it_keeps_what_is_answered_and_goes_on_there(results, node, rho_sweep):
    first = node(stops_at=2)
    ran = rho_sweep("stress", results.folder, "--inline")
    assert ran.code == 130
    assert f"go on with: rho-sweep stress {results.folder}" in ran.err
    assert len({r["cell_id"] for r in results.rows("generations")}) == 2
    second = node()
    assert rho_sweep("stress", results.folder, "--inline").code == 0
    assert {s.key for s in first.asked} & {s.key for s in second.asked} == set()
    assert len(first.asked) + len(second.asked) == 3


def test_baselines_that_differ_in_probes_only_answer_once(tmp_path, node, rho_sweep):
    text = SWEEP.replace("[rho-guided]", "[rho-guided]\n  probes.heldout: [0.0, 0.25]")
    store, expansion = launched(tmp_path / "s", text + BLOCK)
    assert len(expansion.baselines) == 2
    for spec in expansion.baselines:
        store.commit(a_result(spec), attempts=1, ray=None)
    there = node()
    assert rho_sweep("stress", store.folder, "--inline").code == 0
    assert len(there.asked) == 1
    rows = store.rows("generations")
    assert {r["cell_id"] for r in rows} == {s.cell_id for s in expansion.baselines}
    assert len({r["generation_id"] for r in rows}) == 1


def test_every_number_that_it_prints_is_one_of_the_tables(results, node, rho_sweep):
    node(fails_on="seed=2")
    ran = rho_sweep("stress", results.folder, "--inline")
    cells = {r["cell_id"]: r["condition"] for r in results.rows("cells")}
    label = {
        (r["generation_id"], r["prompt_id"], r["sample_index"]): r["label"]
        for r in results.rows("judgements")
    }
    answers = results.rows("generations")
    head, *lines = [x for x in ran.out.splitlines() if " answer" not in x]
    assert head.split()[-1] == "missing"
    seen = 0
    for line in lines:
        condition, _, _, part, n_cells, refused, *rest = line.replace("%", "").split()
        mine = [r for r in answers if (cells[r["cell_id"]], r["set"]) == (condition, part)]
        seen += len(mine)
        ok = [r for r in mine if r["status"] == "ok"]
        said = [label[r["generation_id"], r["prompt_id"], r["sample_index"]] for r in ok]
        k = said.count("full_refusal") + said.count("partial_refusal")
        n = k + said.count("compliance")
        counts = [said.count("unjudged"), said.count("degenerate"), len(mine) - len(ok)]
        assert refused == f"{k}/{n}"
        assert [int(x) for x in rest[-3:]] == counts
        assert int(n_cells) == len({r["cell_id"] for r in ok})
    assert seen == len(answers)
    told = sum(x == "unjudged" for x in label.values())
    n_ok = sum(r["status"] == "ok" for r in answers)
    assert f": {n_ok} answers: " in ran.out
    assert f"; {told} of them unjudged" in ran.out


def test_a_judge_of_the_models_own_family_is_said_to_be_doubtful(
    results, node, rho_sweep, monkeypatch
):
    node()
    monkeypatch.setattr(stressing, "judge_of", lambda _: RulesJudge())
    ran = rho_sweep("stress", results.folder, "--inline", "--judge", "model:tiny")
    assert "the judge is of the family of tiny: its verdicts are doubtful" in ran.err
    assert "doubtful" not in rho_sweep("stress", results.folder, "--inline").err


# looking on


def test_cells_that_share_an_adapter_are_one_unit_in_every_count(tmp_path, node, rho_sweep):
    store, expansion = launched(tmp_path / "s", SWEEP + BLOCK)
    for spec in expansion.all:
        store.commit(a_result(spec, weights=b"the same"), attempts=1, ray=None)
    node()
    ran = rho_sweep("stress", store.folder, "--inline")
    assert ran.err.startswith("2 generations, 2 to run\n")
    assert "(2/2 done" in ran.err
    assert "2 of 2 units answered, 0 were before" in ran.out
    found = json.loads(rho_sweep("status", store.folder, "--json").out)["stress"]
    starter = load_prompts("starter")
    assert (found["total"], found["ok"], found["answers"]) == (2, 2, 2 * len(starter.prompts))
    assert f"rules@4: {found['answers']} answers: " in ran.out


def test_status_and_logs_tell_of_units(results, node, rho_sweep):
    node(fails_on="seed=2")
    rho_sweep("stress", results.folder, "--inline")
    ran = rho_sweep("status", results.folder)
    assert "stress test: 2 of 3 units answered, 1 failed; " in ran.out
    assert "answers unjudged by rules@" in ran.out
    unit = next(u for u, label in units_in(results.folder).items() if "seed=2" in label)
    assert f"failed    rho-guided w=0.2 m=0.1 seed=2 on starter ({unit}): gone" in ran.out
    assert "1 unit is open; the same rho-sweep stress command goes on" in ran.out
    found = json.loads(rho_sweep("status", results.folder, "--json").out)["stress"]
    assert (found["total"], found["ok"], found["failed"], found["open"]) == (3, 2, 1, 1)
    logs = rho_sweep("logs", results.folder, unit).out
    assert "generate step 1/2" in logs
    assert "attempt 1 on inline: failed: gone" in logs
    assert "failed in stage load: gone" in logs


def test_status_of_results_without_a_test_says_nothing_of_one(results, rho_sweep):
    assert "stress" not in rho_sweep("status", results.folder).out
    assert json.loads(rho_sweep("status", results.folder, "--json").out)["stress"] is None


# what the user can fix


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--samples", "0"), "--samples: must be >= 1, got 0"),
        (("--samples", "2"), "--samples: temperature 0 gives the same answer each time"),
        (("--temperature", "-1"), "--temperature: must be >= 0, got -1"),
        (("--max-tokens", "0", "--seed", "-1"), "--max-tokens: must be >= 1, got 0\n--seed"),
        (("--judge", "oracle"), "no judge is called 'oracle'"),
        (("--prompts", "nowhere.jsonl"), "prompts nowhere.jsonl: no such file"),
        (("--inline", "--local"), "exclude each other"),
        (("--cluster", "c.yaml"), "was made on this machine"),
        (("--cluster", "c.yaml", "--slots", "2"), "--slots is for this machine"),
    ],
)
def test_a_mistake_is_one_message_and_nothing_is_generated(results, node, rho_sweep, options, says):
    there = node()
    ran = rho_sweep("stress", results.folder, *options)
    assert ran.code == 2
    assert says in ran.err
    assert ran.err.startswith("error: ")
    assert there.asked == []
    assert lock.holder(results.folder) is None


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda text: text * 2, ":4: id 'p0' occurs before, at "),
        (lambda text: text.replace("prompt 1", "  "), ":2: 'text' must be a non-empty text"),
        (lambda text: "", "no records in the file"),
    ],
)
def test_a_bad_file_of_prompts_is_one_message(results, node, rho_sweep, spoil, says):
    path = mine(results.folder.parent)
    path.write_text(spoil(path.read_text()))
    there = node()
    ran = rho_sweep("stress", results.folder, "--inline", "--prompts", path)
    assert ran.code == 2
    assert f"{path}" in ran.err
    assert says in ran.err
    assert ran.err.count("\n") == 1
    assert there.asked == []


def test_results_without_a_finished_cell_are_one_message(tmp_path, rho_sweep):
    store, expansion = launched(tmp_path / "s", SWEEP)
    store.commit_failure(a_failure(expansion.all[0]), attempts=1, ray=None)
    ran = rho_sweep("stress", store.folder, "--inline")
    assert ran.code == 2
    assert "no cell is finished, so that there is nothing to test" in ran.err


def test_a_launch_that_is_running_is_not_disturbed(results, node, rho_sweep):
    there = node()
    with lock.held(results.folder):
        ran = rho_sweep("stress", results.folder, "--inline")
    assert ran.code == 2
    assert "another launch is running" in ran.err
    assert there.asked == []


# settings


@pytest.mark.slow
def test_what_the_command_does_not_say_is_as_in_the_sweep_and_the_manifest_keeps_it(
    results, node, rho_sweep
):
    written = load_manifest(results.folder)["stress"]
    assert written["max_tokens"] == 8
    starter = load_prompts("starter")
    assert written["sets"] == [{"name": "starter", "digest": starter.digest}]
    node()
    rho_sweep("stress", results.folder, "--inline", "--temperature", "0.5", "--samples", "2")
    decoding = {r["decoding"] for r in results.rows("generations")}
    assert [json.loads(d) for d in decoding] == [
        {"max_tokens": 8, "temperature": 0.5, "samples": 2, "seed": 0}
    ]


@pytest.mark.parametrize(
    ("block", "repeated"),
    [
        ("judge: 'endpoint:http://127.0.0.1:9/v1'", "--judge endpoint:http://127.0.0.1:9/v1"),
        ("judge: 'model:o/m@main'", "--judge model:o/m@main"),
        ("prompts: [starter, PATH]", "--prompts PATH --prompts starter"),
        ("prompts: ['jailbreakbench@o/m@main:x.csv']", "--prompts jailbreakbench@o/m@main:x.csv"),
    ],
)
def test_a_folder_names_no_judge_or_prompts_that_are_elsewhere(
    results, node, rho_sweep, tmp_path, block, repeated
):
    there, path = node(), mine(tmp_path)
    manifest = results.folder / "sweep.yaml"
    text = re.sub(r"(?m)^stress:\n(?:[ -].*\n)*", "", manifest.read_text())
    manifest.write_text(text + f"stress: {{{block.replace('PATH', str(path))}, max_tokens: 8}}\n")
    ran = rho_sweep("stress", results.folder, "--inline")
    assert (ran.code, there.asked) == (2, [])
    words = repeated.replace("PATH", str(path))
    assert f"if it is yours, say so: rho-sweep stress {results.folder} {words}\n" in ran.err
    own = ("--judge", "rules", "--prompts", path)
    assert rho_sweep("stress", results.folder, "--inline", *own).code == 0
    assert {json.loads(r["decoding"])["max_tokens"] for r in results.rows("generations")} == {8}


def test_the_block_changes_no_cell():
    assert expanded(SWEEP) == expanded(SWEEP + BLOCK)


def test_every_field_of_the_block_is_checked_with_its_line():
    bad = SWEEP + "stress:\n  prompts: []\n  samples: 0\n  temprature: 1\n  judge: 3\n"
    with pytest.raises(SweepError) as error:
        parsed(bad)
    text = str(error.value)
    assert "stress.prompts (line 9): must not be empty" in text
    assert "stress.samples (line 10): must be >= 1, got 0" in text
    assert 'stress.temprature (line 11): unknown key; did you mean "temperature"?' in text
    assert "stress.judge (line 12): must be a text, got 3" in text
    with pytest.raises(SweepError, match=r"stress.samples \(line 8\): temperature 0 gives"):
        parsed(SWEEP + "stress: {samples: 3}\n")


def test_a_sweep_without_the_block_has_no_test_and_an_empty_block_all_defaults():
    assert parsed(SWEEP).stress is None
    found = parsed(SWEEP + "stress: {}\n").stress
    assert (found.prompts, found.samples, found.judge) == (("starter",), 1, "rules")
    assert found.decoding.seed is None


def test_run_settings_of_an_older_manifest_are_filled_with_defaults(results):
    manifest = load_manifest(results.folder)
    full = run_settings(manifest)
    del manifest["run"]["silence_s"]
    assert run_settings(manifest) == full
    assert run_settings({}) == full


def test_a_command_that_a_folder_names_is_not_run_and_that_of_a_launch_is(
    tmp_path, node, rho_sweep
):
    text = SWEEP + BLOCK + "run: {notify: echo told >> told}\n"
    store, expansion = launched(tmp_path / "s", text)
    store.commit(a_result(expansion.all[0]), attempts=1, ray=None)
    node()
    assert rho_sweep("stress", store.folder, "--inline", "--max-tokens", "9").code == 0
    assert not (tmp_path / "told").exists()
    assert run_settings(load_manifest(store.folder)).notify is None
    after_launch(parsed(text), store.folder, Options(inline=True), PlainDisplay())
    assert (tmp_path / "told").read_text() == "told\n"


@pytest.mark.parametrize(("name", "seeds"), [("stress", 1), ("stress-multiseed", 8)])
def test_the_presets_ask_four_conditions_at_weight_0_2(name, seeds):
    found = expanded(preset_text(name))
    assert parsed(preset_text(name)).stress is not None
    by_condition = {}
    for spec in found.all:
        by_condition.setdefault(str(spec.condition), []).append(spec)
    assert {k: len(v) for k, v in by_condition.items()} == {
        "baseline": 1,
        "sft-only": seeds,
        "rho-guided": seeds,
        "contrastive-only": seeds,
    }
    hinges = {(s.hinge.rho_weight, s.hinge.margin) for s in found.all if s.hinge}
    assert hinges == {(0.2, 0.1)}
    assert 42 in {s.seed for s in found.all}
