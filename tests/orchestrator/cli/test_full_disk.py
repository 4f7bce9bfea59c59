"""A full or read-only disk: one sentence with the place and the next step, nothing half-written."""

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.chaos.faults import needs_root
from benchmarks.chaos.rounds import write_sweep
from orchestrator.errors import UserError
from orchestrator.execution.display import PlainDisplay
from orchestrator.execution.engines import ray_local
from orchestrator.execution.engines.base import Sign
from orchestrator.execution.run import Run
from orchestrator.execution.scheduling.hosts import HostUp
from orchestrator.results import lock
from orchestrator.results.store import Store
from tasks.contract.cell import Progress
from tasks.contract.reports import Beat
from tests import ROOT
from tests.builders import a_result, launched
from tests.orchestrator.execution.test_run import SPECS, Script, work

LINUX = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
SWEEP = """\
name: good
model: m
grid: {condition: [sft-only], seed: [1, 2]}
probes: {pack: starter, heldout: 0.25}
"""


@pytest.fixture
def results(tmp_path) -> Path:
    store, expansion = launched(tmp_path / "good", SWEEP)
    for spec in expansion.all:
        store.commit(a_result(spec), attempts=1, ray=None)
    return store.folder


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As a disk that is full after so many bytes of each file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def files_under(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


WRITERS = {
    "report": ["report", "good", "-o", "out/report.html"],
    "report in Markdown": ["report", "good", "-o", "out/report.md"],
    "tables": ["analyze", "good", "-o", "out"],
    "parquet": ["export", "good", "--to", "parquet", "-o", "out"],
    "csv": ["export", "good", "--to", "csv", "-o", "out"],
    "data set": ["card", "good", "-o", "out"],
    "sweep file": ["init", "quickstart", "-o", "out/sweep.yaml", "--force"],
}


@pytest.mark.slow
@pytest.mark.usefixtures("results")
@pytest.mark.parametrize("limit", [0, 300, 5_000])
@pytest.mark.parametrize("words", WRITERS.values(), ids=WRITERS.keys())
def test_what_does_not_fit_is_named_and_is_not_half_written(rho_sweep, tmp_path, words, limit):
    assert rho_sweep(*words).code == 0
    whole = files_under(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    with files_of_at_most(limit):
        ran = rho_sweep(*words)
    written = files_under(tmp_path / "out")
    assert {p: len(b) for p, b in written.items()}.items() <= {
        p: len(b) for p, b in whole.items()
    }.items()
    if max(map(len, whole.values())) > limit:
        assert ran.code == 2
        assert ran.err.splitlines()[-1].startswith("error: out/")
        assert "cannot be written (File too large); raise the limit" in ran.err
    assert rho_sweep(*words).code == 0


@pytest.mark.slow
@LINUX
@pytest.mark.usefixtures("results")
@pytest.mark.parametrize(
    "words", [["status", "good"], ["analyze", "good"], ["analyze", "good", "--json"], ["--help"]]
)
def test_output_that_goes_to_a_full_disk_is_one_sentence(tmp_path, words):
    with Path("/dev/full").open("wb") as full:
        ran = in_a_process(words, tmp_path, stdout=full, stderr=subprocess.PIPE)
    assert ran.returncode == 2
    assert ran.stderr.strip() == (
        "error: standard output: No space left on device; make room there, then run this again"
    )


@LINUX
def test_a_problem_that_cannot_be_told_has_its_exit_code(tmp_path):
    with Path("/dev/full").open("wb") as full:
        ran = in_a_process(["status", "nowhere"], tmp_path, stdout=full, stderr=full)
    assert ran.returncode == 2


def in_a_process(words: list[str], place: Path, **streams) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "orchestrator", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=place, env=environment, text=True, check=False, **streams)


def test_a_lock_that_cannot_be_written_is_named(tmp_path):
    with (
        files_of_at_most(0),
        pytest.raises(UserError, match=r"\.launch\.lock: cannot be written \(File too large\)"),
        lock.held(tmp_path),
    ):
        pass
    with lock.held(tmp_path):
        assert lock.holder(tmp_path) is not None


@LINUX
def test_a_log_that_cannot_be_written_is_named(tmp_path):
    store, cell = Store(tmp_path / "r"), SPECS[0].cell_id
    store.create()
    (store.folder / "logs").mkdir()
    (store.folder / f"logs/{cell}.log").symlink_to("/dev/full")
    progress = Progress(stage="train", step=1, steps=2, loss=None)
    sign = Sign(cell, 1, Beat(cell_id=cell, pid=1, host="m1", progress=progress))
    engine = Script([HostUp("m1", 1)], [sign])
    with pytest.raises(UserError, match=rf"{cell}\.log: cannot be written \(No space"):
        Run(store, engine, display(), work(1)).to_the_end()


class Endless(Script):
    """A cell that does not end."""

    def poll(self, timeout_s, take):
        assert len(self.looks) < 1000, "nobody looked at the journal"
        self.looks.append([])
        time.sleep(0.005)


def test_a_journal_that_cannot_be_written_ends_a_launch_before_its_long_cell_has_ended(tmp_path):
    store = Store(tmp_path / "r")
    store.create()
    run = Run(store, Endless([HostUp("m1", 1)]), display(), work(1))
    (store.folder / "attempts").rmdir()
    (store.folder / "attempts").touch()
    with pytest.raises(UserError, match=r"attempts/.*\.arrow: cannot be written"):
        run.to_the_end()


def display() -> PlainDisplay:
    shown = PlainDisplay()
    shown.begin(total=1, done=0, linked=0)
    return shown


def test_ray_is_not_started_where_its_files_have_no_room(monkeypatch, tmp_path):
    monkeypatch.setattr(ray_local, "_base", lambda: tmp_path)
    usage = shutil.disk_usage(tmp_path)._replace(free=56 << 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r": Ray's files go there, and 56 KiB are free; make room"):
        ray_local.start(1)
    assert list(tmp_path.iterdir()) == []


TWICE = """\
mount -t tmpfs -o size={size} tmpfs disk
{python} -m orchestrator launch control.yaml --inline --results disk/r; echo "code $?"
find disk -name '.*' ! -name .launch.lock
mount -o remount,{then} disk
{python} -m orchestrator launch control.yaml --inline --results disk/r; echo "code $?"
{python} -m orchestrator check disk/r; echo "code $?"
"""


def in_own_mounts(place: Path, script: str) -> str:
    if (reason := needs_root()) is not None:
        pytest.skip(reason)
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        words, cwd=place, env=environment, text=True, capture_output=True, check=False
    )
    if "unshare failed" in ran.stderr:
        pytest.skip(f"no mount namespace: {ran.stderr.strip()}")
    return ran.stdout + ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("size", ["4k", "48k", "160k", "1m"])
def test_a_launch_goes_on_when_there_is_room_again(tmp_path, size):
    (tmp_path / "disk").mkdir()
    write_sweep(tmp_path, "control")
    script = TWICE.format(python=sys.executable, size=size, then="size=48m")
    said = in_own_mounts(tmp_path, script)
    codes = [line for line in said.splitlines() if line.startswith("code ")]
    assert codes == ["code 2" if size != "1m" else "code 0", "code 0", "code 0"]
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert all(e.startswith("error: disk/r/") and "; make room there, then" in e for e in errors)
    assert "disk/r/." not in said
    assert "4 of 4 cells scored" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_every_writing_command_names_a_read_only_place(tmp_path, results):
    shutil.copytree(results, tmp_path / "r")
    (tmp_path / "disk").mkdir()
    write_sweep(tmp_path, "control")
    commands = [
        "analyze disk/r -o disk/x",
        "report disk/r",
        "export disk/r",
        "init quickstart -o disk/s.yaml",
        "launch control.yaml --inline --results disk/r",
        "launch control.yaml --inline --results disk/new",
    ]
    lines = [f"{sys.executable} -m orchestrator {c} 2>&1; echo code $?" for c in commands]
    mounts = "mount -t tmpfs tmpfs disk; cp -r r disk/r; mount -o remount,ro disk"
    said = in_own_mounts(tmp_path, "\n".join([mounts, *lines])).splitlines()
    assert [line for line in said if line.startswith("code")] == ["code 2"] * len(commands)
    errors = [line for line in said if line.startswith("error: ")]
    assert len(errors) == len(commands)
    assert all(line.startswith("error: disk/") and "read-only" in line.lower() for line in errors)
