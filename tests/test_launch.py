"""Whole launches with real Ray, real processes and real signals."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.chaos.faults import needs_compiler
from orchestrator.inspection.compare_results import compare
from orchestrator.results import lock
from orchestrator.results.checkpoints import Checkpoints
from orchestrator.results.store import Store
from tests import ROOT, start, wait_for
from tests.toys import make_model, without_numbers

DAY_S = 86_400
SWEEP = """
name: kills
model: {model}
grids:
  - condition: [sft-only]
    seed: [1]
  - condition: [rho-guided]
    rho_weight: [0.5]
    margin: [0.1]
    seed: [1, 2]
data: {{sft: starter, size: 180, trap_fraction: 0.2}}
train: {{max_length: 64, grad_accumulation: 2}}
probes: {{train: [factual, toxicity], evaluate: [factual, toxicity]}}
"""
CELLS = 4


@pytest.fixture(scope="module")
def sweep(tmp_path_factory, toy) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "kills.yaml"
    path.write_text(SWEEP.format(model=toy))
    return path


@pytest.fixture(scope="module")
def undisturbed(sweep, tmp_path_factory) -> Store:
    folder = tmp_path_factory.mktemp("undisturbed") / "kills"
    done = begin(sweep, folder, "--inline")
    assert done.wait() == 0
    return Store(folder)


def begin(sweep: Path, folder: Path, *options: str) -> subprocess.Popen:
    log = folder.parent / f"{folder.name}.log"
    return start(log, "launch", sweep, "--results", folder, *options)


def log_of(folder: Path) -> str:
    return (folder.parent / f"{folder.name}.log").read_text()


def training(folder: Path):
    """The cells that are in the middle of training."""
    try:
        live = json.loads((folder / "live.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return []
    ended = finished(folder)
    return [c for c in live["running"] if c["stage"] == "train" and c["cell_id"] not in ended]


def finished(folder: Path) -> dict[str, tuple[int, str]]:
    """Cell -> (attempts, when) of what is committed."""
    return {
        r["cell_id"]: (r["attempts"], str(r["finished_at"])) for r in Store(folder).rows("cells")
    }


def demand_equal(folder: Path, undisturbed: Store) -> None:
    found = compare(undisturbed, Store(folder))
    assert (found.same, found.different, found.only_left, found.only_right) == (CELLS, 0, 0, 0)


EVERY_STEP = ("--set", "run.checkpoint_s=0.000001")


def checkpoint(folder: Path):
    """A cell in training that has a checkpoint after some steps."""
    for cell in training(folder):
        found = Checkpoints(folder / "checkpoints").look(cell["cell_id"])
        if found is not None and found.step >= 3:
            return cell, found.step
    return None


def demand_resumed(folder: Path, cell: str, least: int) -> None:
    """The cell's last attempt went on from a checkpoint at least so far on; none is left."""
    (row,) = [r for r in Store(folder).rows("cells") if r["cell_id"] == cell]
    assert row["resumed_steps"] + row["resumed_passes"] >= least
    log = (folder / "logs" / f"{cell}.log").read_text()
    assert f"goes on from its checkpoint after step {row['resumed_steps']}" in log
    assert list((folder / "checkpoints").iterdir()) == []


@pytest.mark.slow
def test_killed_workers_are_replaced_and_their_cells_give_the_same_bytes(
    sweep, undisturbed, tmp_path
):
    """The first dies as soon as it trains, the second when its cell has a checkpoint."""
    folder = tmp_path / "kills"
    launch = begin(sweep, folder, "--slots", "1", "--set", "run.checkpoint_s=0.3")
    first = wait_for(lambda: training(folder), "training")[0]
    os.kill(first["pid"], signal.SIGKILL)

    def another():
        found = checkpoint(folder)
        return found if found and found[0]["cell_id"] != first["cell_id"] else None

    second, step = wait_for(another, "a checkpoint of another cell")
    os.kill(second["pid"], signal.SIGKILL)
    assert launch.wait(timeout=180) == 0, log_of(folder)
    demand_equal(folder, undisturbed)
    for victim in (first, second):
        outcomes = [a["outcome"] for a in Store(folder).attempts_of(victim["cell_id"])]
        assert outcomes == ["lost", "ok"]
    demand_resumed(folder, second["cell_id"], step)
    assert "the worker process died" in log_of(folder)
    assert "raylet" not in log_of(folder)  # Ray would say the same in a coloured paragraph


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [False, True])
def test_after_a_killed_driver_a_cell_goes_on_unless_its_checkpoint_is_damaged(
    sweep, undisturbed, tmp_path, damaged
):
    folder = tmp_path / "kills"
    launch = begin(sweep, folder, "--slots", "1", *EVERY_STEP)
    victim, step = wait_for(lambda: checkpoint(folder), "a checkpoint")
    launch.kill()
    launch.wait()
    cell = victim["cell_id"]
    path = folder / "checkpoints" / cell
    if damaged:
        path.write_bytes(path.read_bytes()[:-1])
    again = begin(sweep, folder, "--inline")
    assert again.wait(timeout=180) == 0, log_of(folder)
    demand_equal(folder, undisturbed)
    if not damaged:
        demand_resumed(folder, cell, step)
    else:
        log = (folder / "logs" / f"{cell}.log").read_text()
        assert "starts anew, without its checkpoint: it is torn or damaged" in log


@pytest.mark.slow
def test_after_a_kill_in_mid_scoring_no_step_and_no_finished_pass_runs_again(
    sweep, undisturbed, tmp_path
):
    folder = tmp_path / "kills"
    steps = {r["cell_id"]: r["train_steps"] or 0 for r in undisturbed.rows("cells")}

    def scoring():
        for cell, trained in steps.items():
            found = Checkpoints(folder / "checkpoints").look(cell)
            if found is not None and found.step > trained:
                return cell, found.step
        return None

    launch = begin(sweep, folder, "--inline", *EVERY_STEP)
    cell, _ = wait_for(scoring, "a checkpoint in the scoring")
    launch.kill()
    launch.wait()
    assert cell not in finished(folder)
    _, step = scoring()
    assert begin(sweep, folder, "--inline").wait(timeout=180) == 0, log_of(folder)
    demand_equal(folder, undisturbed)
    (row,) = [r for r in Store(folder).rows("cells") if r["cell_id"] == cell]
    assert (row["resumed_steps"], row["resumed_passes"]) == (steps[cell], step - steps[cell])
    log = (folder / "logs" / f"{cell}.log").read_text()
    assert f"after step {steps[cell]} and {row['resumed_passes']} passes of its scoring" in log
    assert list((folder / "checkpoints").iterdir()) == []


@pytest.mark.slow
def test_zero_seconds_make_no_checkpoints(sweep, undisturbed, tmp_path):
    folder = tmp_path / "kills"
    assert begin(sweep, folder, "--inline", "--set", "run.checkpoint_s=0").wait() == 0
    demand_equal(folder, undisturbed)
    assert not (folder / "checkpoints").exists()


@pytest.mark.slow
def test_a_killed_driver_loses_and_doubles_nothing(sweep, undisturbed, tmp_path):
    folder = tmp_path / "kills"
    launch = begin(sweep, folder, "--slots", "1")
    wait_for(lambda: folder.is_dir() and finished(folder), "a finished cell")
    wait_for(lambda: training(folder), "training")
    launch.kill()
    launch.wait()
    before = finished(folder)
    assert 1 <= len(before) < CELLS
    again = begin(sweep, folder, "--slots", "1")
    assert again.wait(timeout=180) == 0, log_of(folder)
    demand_equal(folder, undisturbed)
    after = finished(folder)
    assert {c: after[c] for c in before} == before
    rows = Store(folder).rows("attempts")
    assert {r["outcome"] for r in rows} == {"ok", "lost"}
    assert sum(r["outcome"] == "ok" for r in rows) == CELLS


@pytest.mark.slow
def test_an_interrupted_launch_ends_with_130_and_goes_on_later(sweep, undisturbed, tmp_path):
    folder = tmp_path / "kills"
    launch = begin(sweep, folder, "--slots", "1")
    wait_for(lambda: training(folder), "training")
    launch.send_signal(signal.SIGINT)
    assert launch.wait(timeout=60) == 130
    assert "launch again" in log_of(folder)
    assert "Traceback" not in log_of(folder)
    assert begin(sweep, folder, "--inline").wait(timeout=180) == 0
    demand_equal(folder, undisturbed)


@pytest.mark.slow
def test_stop_ends_a_detached_launch(sweep, undisturbed, tmp_path):
    folder = tmp_path / "kills"
    assert begin(sweep, folder, "--slots", "1", "--detach").wait(timeout=60) == 0
    wait_for(lambda: training(folder), "training")
    tool = [sys.executable, "-m", "orchestrator"]
    status = subprocess.run(
        [*tool, "status", str(folder), "--json"], capture_output=True, text=True, check=True
    )
    found = json.loads(status.stdout)
    assert len(found["running"]) == 1
    assert found["launch"]["pid"] > 0
    second = begin(sweep, folder, "--inline")
    assert second.wait(timeout=60) == 2
    assert "another launch is running" in log_of(folder)
    subprocess.run([*tool, "stop", str(folder)], check=True)
    wait_for(lambda: lock.holder(folder) is None, "the stop")
    assert begin(sweep, folder, "--inline").wait(timeout=180) == 0
    demand_equal(folder, undisturbed)


@pytest.mark.slow
def test_a_launch_over_midnight_that_goes_on_the_next_day_gives_the_same_cells(
    sweep, undisturbed, tmp_path, monkeypatch
):
    if (reason := needs_compiler()) is not None:
        pytest.skip(reason)
    clock, library = tmp_path / "clock", tmp_path / "clock.so"
    source = ROOT / "benchmarks/chaos/clock.c"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("CHAOS_CLOCK", str(clock))
    midnight = (time.time() // DAY_S + 1) * DAY_S

    def show(at_s: float) -> None:
        """Let the launch's time of day be another from now on."""
        clock.write_text(str(int(at_s - time.time())))

    folder = tmp_path / "kills"
    show(midnight - 120)
    first = begin(sweep, folder, "--slots", "1")
    (cell,) = wait_for(lambda: training(folder), "training")
    show(midnight + 1)  # whole seconds: now it is midnight at least
    mine = ("cell_id", cell["cell_id"])
    wait_for(
        lambda: [r for r in Store(folder).rows("attempts") if mine in r.items() and r["ended_at"]],
        "the end of its attempt",
    )
    first.kill()
    first.wait()
    show(midnight + DAY_S + 3600)
    assert begin(sweep, folder, "--slots", "1").wait(timeout=240) == 0, log_of(folder)
    demand_equal(folder, undisturbed)
    assert finished(folder).keys() == finished(undisturbed.folder).keys()
    days = Counter(
        (r["started_at"].timestamp() // DAY_S, r["ended_at"].timestamp() // DAY_S)
        for r in Store(folder).rows("attempts")
    )
    today = midnight // DAY_S - 1
    assert days[today, today + 1] >= 1, "no attempt began before midnight and ended after it"
    assert days[today + 2, today + 2] >= 1
    assert {r["outcome"] for r in Store(folder).rows("attempts")} <= {"ok", "lost"}


@pytest.mark.slow
def test_cells_of_a_sibling_are_linked_not_run(sweep, undisturbed):
    sibling = undisturbed.folder.parent / "sibling"
    launch = begin(sweep, sibling, "--inline")
    assert launch.wait(timeout=60) == 0
    assert f"{CELLS} already done ({CELLS} in other sweeps)" in log_of(sibling)
    demand_equal(sibling, undisturbed)
    cell = next(iter(finished(sibling)))
    assert Store(sibling).path("cells", cell).stat().st_ino == (
        undisturbed.path("cells", cell).stat().st_ino
    )


@pytest.mark.slow
def test_a_failed_cell_is_named_and_its_process_serves_no_other(tmp_path):
    good = make_model(tmp_path / "good")
    bad = without_numbers(make_model(tmp_path / "bad", seed=1))
    sweep = tmp_path / "mixed.yaml"
    sweep.write_text(
        SWEEP.format(model=good).replace(
            "condition: [sft-only]", f"condition: [sft-only]\n    model: [{bad}, {good}]"
        )
    )
    folder = tmp_path / "mixed"
    launch = begin(sweep, folder, "--slots", "1")
    assert launch.wait(timeout=180) == 1
    rows = Store(folder).rows("cells")
    failed = [r for r in rows if r["status"] == "failed"]
    assert {r["model"] for r in failed} == {str(bad)}
    assert all(r["stage"] == "score" and "no pair has a finite" in r["message"] for r in failed)
    assert all(r["train_s"] is None and r["memory_peak"] is None for r in failed)
    assert all(f"failed {r['cell_id']}" in log_of(folder) for r in failed)
    pids = {r["cell_id"]: pid_of(folder, r["cell_id"]) for r in rows}
    for row in failed:
        later = [r["cell_id"] for r in rows if r["finished_at"] > row["finished_at"]]
        assert pids[row["cell_id"]] not in [pids[c] for c in later]
    assert any(r["finished_at"] > failed[0]["finished_at"] for r in rows)


def pid_of(folder: Path, cell: str) -> int:
    words = (folder / "logs" / f"{cell}.log").read_text().split()
    return int(words[words.index("pid") + 1])


@pytest.mark.slow
def test_a_process_serves_many_cells_and_is_replaced_when_told(sweep, undisturbed, tmp_path):
    folder = tmp_path / "kills"
    launch = begin(sweep, folder, "--slots", "1", "--set", "run.recycle_after=2")
    assert launch.wait(timeout=180) == 0, log_of(folder)
    demand_equal(folder, undisturbed)
    pids = [pid_of(folder, r["cell_id"]) for r in Store(folder).rows("cells")]
    assert sorted(pids.count(p) for p in set(pids)) == [2, 2]
