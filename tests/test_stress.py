"""Stress tests with real models, real Ray, real processes and real signals."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import mlx_lm
import pytest

from orchestrator.results.checkpoints import Checkpoints
from orchestrator.results.store import Store
from tasks.data.prompts import load_prompts
from tasks.data.rendering import prompt_ids
from tasks.starter import TINY
from tests import start, wait_for

SWEEP = """
name: answers
model: tiny
grid:
  condition: [sft-only, rho-guided]
  rho_weight: [0.5]
  margin: [0.1]
  seed: [1]
data: {sft: starter, size: 60, trap_fraction: 0.2}
train: {max_length: 64}
probes: {train: [factual, toxicity], evaluate: [factual, toxicity]}
stress: {prompts: [starter], max_tokens: 32}
run: {checkpoint_s: 0.1}
"""
SLOW = ("--samples", "2", "--temperature", "1", "--max-tokens", "60")
"""Decoding that takes some seconds a unit."""
UNITS = 3
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Store:
    """Three cells, launched with the block: greedy answers to the shipped prompts."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "s.yaml").write_text(SWEEP)
    results = folder / "results" / "answers"
    done = start(folder / "log", "launch", folder / "s.yaml", "--results", results, "--inline")
    assert done.wait(timeout=250) == 0, (folder / "log").read_text()
    return Store(results)


@pytest.fixture
def copied(trained, tmp_path) -> Path:
    """The cells without any answer, where no other results lie beside them."""
    folder = tmp_path / "alone" / "answers"
    folder.parent.mkdir()
    subprocess.run(["cp", "-r", str(trained.folder), str(folder)], check=True)
    for name in ("generations", "judgements"):
        subprocess.run(["rm", "-r", str(folder / name)], check=True)
    return folder


@pytest.fixture(scope="module")
def undisturbed(trained, tmp_path_factory) -> dict[tuple, str]:
    """Answers of the slow decoding, from a test that nothing interrupts."""
    folder = tmp_path_factory.mktemp("undisturbed") / "answers"
    subprocess.run(["cp", "-r", str(trained.folder), str(folder)], check=True)
    log = folder.parent / "log"
    assert start(log, "stress", folder, "--inline", *SLOW).wait(timeout=250) == 0
    return drawn(folder)


def drawn(folder: Path) -> dict[tuple, str]:
    """(cell, prompt, sample) -> digest of the tokens of the slow decoding."""
    return {
        (r["cell_id"], r["prompt_id"], r["sample_index"]): r["tokens_sha256"]
        for r in Store(folder).rows("generations")
        if json.loads(r["decoding"])["samples"] == 2
    }


def ended(folder: Path) -> dict[str, str]:
    """Unit -> when it was committed."""
    rows = Store(folder).rows("generations")
    return {r["generation_id"]: str(r["finished_at"]) for r in rows}


def generating(folder: Path) -> list[dict]:
    try:
        live = json.loads((folder / "live.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return []
    kept = ended(folder)
    return [u for u in live["running"] if u["stage"] == "generate" and u["cell_id"] not in kept]


def test_a_launch_with_the_block_ends_with_answers_that_mlx_lm_gives_too(trained):
    rows = trained.rows("generations")
    prompts = load_prompts("starter").prompts
    assert len(rows) == UNITS * len(prompts)
    assert {r["status"] for r in rows} == {"ok"}
    assert len(trained.rows("judgements")) == len(rows)
    guided = next(r["cell_id"] for r in trained.rows("cells") if r["rho_weight"])
    for cell, path in ((guided, str(trained.adapter_folder(guided))), (None, None)):
        model, tokenizer = mlx_lm.load(str(TINY), adapter_path=path)
        found = {
            r["prompt_id"]: r["response"]
            for r in rows
            if r["cell_id"] == cell or (cell is None and r["adapter_sha256"] is None)
        }
        for prompt in prompts[::9]:
            tokens = list(prompt_ids(tokenizer, prompt.text))
            theirs = mlx_lm.generate(model, tokenizer, tokens, max_tokens=32)
            assert found[prompt.id] == theirs


def test_launching_again_generates_nothing(trained):
    before = ended(trained.folder)
    log = trained.folder.parent / "again.log"
    words = ("launch", trained.folder.parents[1] / "s.yaml", "--results", trained.folder)
    assert start(log, *words, "--inline").wait(timeout=120) == 0
    assert f"{UNITS} generations, {UNITS} already done, 0 to run" in log.read_text()
    assert ended(trained.folder) == before


def test_answers_through_ray_are_those_of_one_process(copied, trained):
    log = copied.parent / "log"
    assert start(log, "stress", copied, "--slots", "2").wait(timeout=200) == 0, log.read_text()

    def responses(store):
        return {
            (r["cell_id"], r["prompt_id"]): r["tokens_sha256"] for r in store.rows("generations")
        }

    assert responses(Store(copied)) == responses(trained)


def test_a_killed_driver_loses_nothing_and_generates_nothing_twice(copied, undisturbed):
    log = copied.parent / "log"
    test = start(log, "stress", copied, "--slots", "1", *SLOW)
    wait_for(lambda: ended(copied), "a finished unit")
    wait_for(lambda: generating(copied), "a unit under way")
    test.kill()
    test.wait()
    before = ended(copied)
    assert 1 <= len(before) < UNITS
    again = start(log, "stress", copied, "--slots", "1", *SLOW)
    assert again.wait(timeout=200) == 0, log.read_text()
    after = ended(copied)
    assert {u: after[u] for u in before} == before
    assert drawn(copied) == undisturbed
    journal = [r for r in Store(copied).rows("attempts") if r["cell_id"] in after]
    assert sum(r["outcome"] == "ok" for r in journal) == UNITS
    assert {r["outcome"] for r in journal} == {"ok", "lost"}
    assert len(Store(copied).rows("judgements")) == len(undisturbed)


def test_a_killed_worker_costs_its_unit_a_second_attempt_and_no_answer(copied, undisturbed):
    log = copied.parent / "log"
    test = start(log, "stress", copied, "--slots", "1", *SLOW)
    victim = wait_for(lambda: generating(copied), "a unit under way")[0]
    os.kill(victim["pid"], signal.SIGKILL)
    assert test.wait(timeout=200) == 0, log.read_text()
    assert drawn(copied) == undisturbed
    outcomes = [a["outcome"] for a in Store(copied).attempts_of(victim["cell_id"])]
    assert outcomes == ["lost", "ok"]


def test_after_a_kill_in_mid_generation_finished_answers_are_not_drawn_again(copied, undisturbed):
    log, folder = copied.parent / "log", copied / "checkpoints"
    test = start(log, "stress", copied, "--inline", *SLOW)
    unit = wait_for(lambda: next((p.name for p in folder.glob("?" * 16)), None), "a checkpoint")
    test.kill()
    test.wait()
    assert unit not in ended(copied)
    kept = Checkpoints(folder).look(unit).step
    assert kept % 48 == 0
    assert start(log, "stress", copied, "--inline", *SLOW).wait(timeout=200) == 0, log.read_text()
    assert drawn(copied) == undisturbed
    told = (copied / "logs" / f"{unit}.log").read_text()
    assert f"goes on from its checkpoint after {kept} answers" in told
    assert f"step {kept}/130" not in told.rpartition("goes on")[2]
    assert list(folder.iterdir()) == []


def test_stop_ends_it_with_130_and_the_same_command_goes_on(copied, undisturbed):
    log = copied.parent / "log"
    test = start(log, "stress", copied, "--slots", "1", *SLOW)
    wait_for(lambda: generating(copied), "a unit under way")
    status = [sys.executable, "-m", "orchestrator", "status", str(copied)]
    shown = subprocess.run(status, capture_output=True, text=True, check=True).stdout
    assert "units answered" in shown
    assert "on starter on " in shown
    wait_for(lambda: ended(copied) and generating(copied), "a finished unit and one under way")
    test.send_signal(signal.SIGSTOP)  # else the rest may be answered before the other command runs
    assert start(log, "stop", copied).wait(timeout=60) == 0
    test.send_signal(signal.SIGCONT)
    assert test.wait(timeout=60) == 130
    assert "Traceback" not in log.read_text()
    before = ended(copied)
    assert start(log, "stress", copied, "--inline", *SLOW).wait(timeout=200) == 0
    assert {u: ended(copied)[u] for u in before} == before
    assert drawn(copied) == undisturbed


def test_an_adapter_of_another_hash_is_a_stored_failure_and_the_others_are_answered(copied):
    cell, other = [r["cell_id"] for r in Store(copied).rows("cells") if r["adapter_sha256"]][:2]
    theirs = Store(copied).adapter_folder(other) / "adapters.safetensors"
    ours = Store(copied).adapter_folder(cell) / "adapters.safetensors"
    ours.write_bytes(theirs.read_bytes())
    log = copied.parent / "log"
    assert start(log, "stress", copied, "--inline").wait(timeout=200) == 1
    rows = Store(copied).rows("generations")
    assert {r["cell_id"] for r in rows if r["status"] == "failed"} == {cell}
    assert all("is not what the cell wrote" in r["message"] for r in rows if r["message"])
    assert len({r["cell_id"] for r in rows if r["status"] == "ok"}) == UNITS - 1
    assert "is not what the cell wrote" in log.read_text()


def test_the_sweeps_own_pack_scored_again_gives_the_stored_bits(trained, tmp_path):
    folder = tmp_path / "alone" / "answers"
    folder.parent.mkdir()
    subprocess.run(["cp", "-r", str(trained.folder), str(folder)], check=True)
    log, store = tmp_path / "log", Store(folder)
    assert start(log, "score", folder, "--pack", "starter").wait(timeout=250) == 0, log.read_text()
    for table in ("scores", "probe_scores"):
        own, again = ({}, {})
        for row in store.rows(table):
            of_pack, _ = row.pop("pack"), row.pop("pack_digest")
            key = (row["cell_id"], row["behavior"], row["split"], row.get("probe_id"))
            (own if of_pack is None else again)[key] = row
        assert own.keys() < again.keys()  # the pack has behaviours that the sweep left out
        assert {key: again[key] for key in own} == own
    cell = next(c for c in store.statuses() if (folder / "adapters" / c).is_dir())
    path = folder / "adapters" / cell / "adapters.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    words = ("--pack", "starter", "--behavior", "toxicity", "--inline")
    assert start(log, "score", folder, *words).wait(timeout=250) == 1
    assert "is not what the cell wrote" in log.read_text()
