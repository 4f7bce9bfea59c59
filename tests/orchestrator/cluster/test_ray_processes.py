"""Which processes are a cluster's: by what they run and where, never by name alone."""

import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cluster.on_host import processes as ray_processes
from orchestrator.cluster.on_host.processes import find, is_under, kind, names_folder, stop
from orchestrator.execution.engines.ray_settings import Place

FOLDER = Path("/home/ada/.rho-sweep/c/studios")
SLEEP = "import subprocess, sys, time; print(flush=True); time.sleep(60)"
PARENT = "import subprocess, sys; print(flush=True); subprocess.run(['sleep', '60'])"


@given(st.text("abc-./0", min_size=1))
def test_a_folder_that_only_looks_alike_is_not_named(tail):
    named = names_folder([f"--dir={FOLDER}{tail}"], FOLDER)
    assert named == tail.startswith("/")


@pytest.mark.parametrize(
    ("word", "named"),
    [
        (f"{FOLDER}", True),
        (f"--temp-dir={FOLDER}/ray", True),
        (f"python -x --temp-dir={FOLDER}/ray --more", True),
        (f"/other{FOLDER}", False),
        (f"{FOLDER}2/ray", False),
    ],
)
def test_a_path_is_named_as_a_word_or_after_a_sign(word, named):
    assert names_folder(["program", word], FOLDER) == named


@pytest.fixture
def start(tmp_path):
    """Starts a Python script as `NAME` with arguments; ends them all afterwards."""
    with ExitStack() as stack:

        def run(
            name: str, script: str, *arguments: object, told: str = ""
        ) -> subprocess.Popen[bytes]:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(script)
            command = [sys.executable, str(path), *map(str, arguments)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            process = stack.enter_context(subprocess.Popen(command, **pipes))
            stack.callback(process.kill)
            process.stdin.write(f"{told}\n".encode())
            process.stdin.flush()
            process.stdout.readline()
            return process

        yield run


def test_only_rays_programs_in_our_folder_are_found_and_stopped(start, tmp_path):
    mine, other = Place(tmp_path / "c/mine"), Place(tmp_path / "c/mine2")
    ours = start("ray/dashboard.py", PARENT, f"--temp-dir={mine.temp}")
    theirs = start("ray/dashboard.py", SLEEP, f"--temp-dir={other.temp}")
    reader = start("read.py", SLEEP, f"{mine.temp}/logs")
    deadline = time.monotonic() + 10
    while len(find(mine)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    found = find(mine)
    assert [kind(p) for p in found] == ["dashboard", "sleep"]
    assert found[0].pid == ours.pid
    assert found[1].ppid() == ours.pid
    assert stop(mine, spare=("dashboard", "sleep")) == {}
    assert stop(mine) == {"dashboard": 1, "sleep": 1}
    assert not any(psutil.pid_exists(p.pid) for p in found)
    assert theirs.poll() is None
    assert reader.poll() is None
    assert stop(mine) == {}


def test_a_program_of_rays_that_hides_its_folder_is_known_by_its_log(start, tmp_path):
    mine, other = Place(tmp_path / "c/mine"), Place(tmp_path / "c/mine2")
    logging = f"import sys; log = open(sys.stdin.readline().strip(), 'a'); {SLEEP}"
    processes = {}
    for place in (mine, other):
        place.temp.mkdir(parents=True)
        processes[place] = start("ray/agent.py", logging, told=f"{place.temp}/log")
    reader = start("read.py", logging, told=f"{mine.temp}/log")
    assert [p.pid for p in find(mine)] == [processes[mine].pid]
    assert stop(mine) == {"agent": 1}
    assert processes[other].poll() is None
    assert reader.poll() is None


def test_a_program_belongs_to_the_folder_it_was_started_from(start, tmp_path):
    process = psutil.Process(start("ray/monitor.py", SLEEP).pid)
    assert is_under(process, Path(process.exe()).parents[1])
    assert not is_under(process, tmp_path)


def test_what_ignores_a_gentle_signal_is_ended_by_force(start, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_processes, "FORCED_S", 0.5)
    stubborn = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
    place = Place(tmp_path / "c/mine")
    process = start("ray/monitor.py", stubborn, place.temp)
    assert stop(place) == {"monitor": 1}
    assert not psutil.pid_exists(process.pid)
