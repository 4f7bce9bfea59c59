"""One launch at a time per results folder, between real processes."""

import fcntl
import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from orchestrator.errors import UserError
from orchestrator.results import lock
from orchestrator.results.attempts import alone
from orchestrator.results.store import Store
from tests import ROOT

HOLD = """
import platform, sys
from pathlib import Path
from orchestrator.execution import terminal
from orchestrator.results import lock
terminal.interruptible()

if len(sys.argv) > 2:
    platform.node = lambda: sys.argv[2]
if len(sys.argv) > 3:
    lock.machine_id = lambda: sys.argv[3]
try:
    with lock.held(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@contextmanager
def holding(folder: Path, *host: str) -> Iterator[subprocess.Popen]:
    """Another process that holds the folder."""
    command = [sys.executable, "-c", HOLD, str(folder), *host]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_launch_is_told_who_holds_the_folder(tmp_path):
    with holding(tmp_path) as other:
        with pytest.raises(UserError) as error, lock.held(tmp_path):
            pass
        assert f"process {other.pid} on {platform.node()}" in str(error.value)
        assert f"rho-sweep stop {tmp_path}" in str(error.value)
        assert lock.holder(tmp_path) == (other.pid, platform.node())


def test_the_system_frees_the_folder_of_a_killed_launch(tmp_path):
    with holding(tmp_path) as other:
        other.kill()
        other.wait()
        assert (tmp_path / lock.NAME).read_text(), "a killed process cannot tidy up"
        assert lock.holder(tmp_path) is None
        with lock.held(tmp_path):
            assert lock.holder(tmp_path) == (os.getpid(), platform.node())


def test_nobody_holds_a_folder_after_a_launch_or_before_the_first(tmp_path):
    assert lock.holder(tmp_path) is None
    with lock.held(tmp_path):
        pass
    assert lock.holder(tmp_path) is None
    with pytest.raises(ZeroDivisionError), lock.held(tmp_path):
        raise ZeroDivisionError
    assert lock.holder(tmp_path) is None


def test_looking_never_takes_the_lock_away_from_another_look(tmp_path):
    with lock.held(tmp_path):
        pass
    (tmp_path / lock.NAME).write_text('{"pid": 1, "host": "gone"}')
    with (tmp_path / lock.NAME).open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert lock.holder(tmp_path) is None


def test_a_launch_waits_out_one_who_only_looks(tmp_path):
    with lock.held(tmp_path):
        pass
    with (tmp_path / lock.NAME).open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        threading.Timer(0.03, fcntl.flock, (file, fcntl.LOCK_UN)).start()
        with lock.held(tmp_path):
            assert lock.holder(tmp_path) == (os.getpid(), platform.node())


def test_two_folders_are_held_apart(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with lock.held(tmp_path / "a"), lock.held(tmp_path / "b"):
        assert lock.holder(tmp_path / "a") == lock.holder(tmp_path / "b")


def test_stop_interrupts_the_launch_and_says_so(tmp_path, monkeypatch):
    # a script's background job is born with SIGINT ignored
    monkeypatch.setattr(subprocess, "Popen", partial(subprocess.Popen, preexec_fn=_deaf))
    with holding(tmp_path) as other:
        assert f"asked process {other.pid} to stop" in lock.stop(tmp_path)
        assert other.stdout is not None
        assert other.stdout.readline() == "interrupted\n"
    assert lock.stop(tmp_path) == f"{tmp_path}: no launch is running"


def _deaf():
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def test_stop_reaches_no_further_than_this_machine(tmp_path):
    with holding(tmp_path, "elsewhere", "another machine") as other:
        with pytest.raises(UserError, match="the launch runs on elsewhere; stop it there"):
            lock.stop(tmp_path)
        assert other.poll() is None


def test_stop_knows_this_machine_when_the_network_has_renamed_it(tmp_path):
    with holding(tmp_path, "an earlier name") as other:
        assert f"asked process {other.pid} to stop" in lock.stop(tmp_path)


KILLED = """
import os, signal, sys
from pathlib import Path
from orchestrator.results import files, lock
folder = Path(sys.argv[1])
files.sync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
with lock.held(folder):
    files.write_whole(folder / sys.argv[2], b"half of it")
"""


@pytest.mark.parametrize(
    "name",
    [
        "checkpoints/" + "a" * 16,
        f"scores/{'b' * 16}.arrow",
        f"adapters/{'c' * 16}/adapter_config.json",
    ],
)
def test_what_a_killed_process_was_writing_the_next_launch_removes(tmp_path, name):
    store = Store(tmp_path / "s")
    store.create()
    foreign = store.folder / "scores/.sync-conflict.123"
    foreign.write_text("of another program")
    words = [sys.executable, "-c", KILLED, store.folder, name]
    assert subprocess.run(words, cwd=ROOT).returncode == -signal.SIGKILL
    place = (store.folder / name).parent
    assert [p.name for p in place.iterdir() if p != foreign]
    with alone(store):
        assert [p for p in place.iterdir() if p != foreign] == []
    assert foreign.exists()
