"""The user's command may do what it likes; the sweep goes on."""

import os
import time
from contextlib import suppress

import psutil

from orchestrator.execution.notify import Notifier
from tests.builders import expanded

GRID = """
name: s
model: m
grid: {condition: [sft-only], seed: [1, 2]}
"""


def test_a_command_that_hangs_is_killed_with_its_children_and_nobody_waits_for_it(tmp_path):
    child = f"sh -c 'echo $$ > {tmp_path}/pid; sleep 100'"
    notifier = Notifier(f"{child} & sleep 100", timeout_s=1)
    begun = time.monotonic()
    notifier.tell("ended", {})
    assert time.monotonic() - begun < 0.5
    assert notifier.problems() == []
    notifier.close()
    assert time.monotonic() - begun < 5
    assert notifier.problems() == ["run.notify: the command was killed after 1 s (event ended)"]
    assert notifier.problems() == []
    child_pid = int((tmp_path / "pid").read_text())
    while _lives(child_pid):
        assert time.monotonic() - begun < 10
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_a_command_that_reads_nothing_or_does_not_exist_is_no_problem_for_the_sweep():
    quiet, absent = Notifier("true"), Notifier("no-such-command-here")
    for notifier in (quiet, absent):
        notifier.tell("ended", {"text": "x" * 200_000})
        notifier.close()
    assert quiet.problems() == []
    (problem,) = absent.problems()
    assert "ended with 127" in problem


def test_without_a_command_nothing_runs():
    notifier = Notifier(None)
    notifier.tell("ended", {})
    notifier.close()
    assert notifier.problems() == []


def test_events_reach_the_command_in_its_environment_whatever_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("MINE", "kept")
    notifier = Notifier(f'echo "$RHO_SWEEP_EVENT $MINE" > {tmp_path}/said')
    notifier.tell("host-lost", {})
    notifier.close()
    assert (tmp_path / "said").read_text() == "host-lost kept\n"
    assert "RHO_SWEEP_EVENT" not in os.environ


def test_how_cells_are_run_is_no_part_of_what_they_are():
    run = "run: {notify: 'mail me', notify_failures: 0.5, silence_s: 20, retries: 1, slots: 3}\n"
    plain, notified = expanded(GRID), expanded(GRID + run)
    assert [s.cell_id for s in plain.all] == [s.cell_id for s in notified.all]
