"""The chaos harness: it sees what is lost or doubled, and follows advice; two rounds of it."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.chaos import damage
from benchmarks.chaos.launches import Launch
from benchmarks.chaos.rounds import Scene, follow_advice
from benchmarks.chaos.sites import Here
from benchmarks.chaos.verdict import finished, judge
from orchestrator.results.adapters import FILES
from orchestrator.results.store import ADVICE, Store
from tests import ROOT
from tests.builders import a_result, a_spec

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
SPECS = [a_spec(seed=1), a_spec(seed=2)]
CELL = SPECS[0].cell_id


def results(folder: Path) -> Path:
    """Two cells, each done at its first attempt."""
    store = Store(folder)
    store.create()
    for spec in SPECS:
        attempt(store, spec.cell_id, 1, "ok")
        store.commit(a_result(spec), attempts=1, ray=None, finished_at=WHEN)
    store.flush()
    return folder


def attempt(store: Store, cell: str, number: int, outcome: str) -> None:
    row = {"cell_id": cell, "attempt": number, "host": "here", "started_at": WHEN}
    store.write_attempt(row | {"ended_at": WHEN, "outcome": outcome, "message": None})
    store.flush()


@pytest.fixture
def twin(tmp_path) -> Path:
    return results(tmp_path / "twin")


@pytest.fixture
def here(tmp_path) -> Path:
    return results(tmp_path / "here")


def test_equal_results_have_nothing_lost_and_nothing_doubled(twin, here):
    found = judge(here, twin, [finished(here)], ())
    assert (found.lost, found.doubled, found.problems) == (frozenset(), frozenset(), ())


@pytest.mark.parametrize("table", ["cells", "scores", "probe_scores"])
def test_a_missing_file_is_a_lost_cell(twin, here, table):
    Store(here).path(table, CELL).unlink()
    assert judge(here, twin, [], [CELL]).lost == {CELL}


@pytest.mark.parametrize("name", FILES)
def test_other_bytes_of_an_adapter_are_a_lost_cell(twin, here, name):
    (here / "adapters" / CELL / name).write_bytes(b"v")
    assert judge(here, twin, [], [CELL]).lost == {CELL}


def test_other_scores_are_a_lost_cell(twin, here):
    other = a_result(SPECS[0], {("factual", "train"): 0.25})
    Store(here).commit(other, attempts=1, ray=None, finished_at=WHEN)
    assert judge(here, twin, [], [CELL]).lost == {CELL}


def test_a_finished_cell_that_ran_again_is_doubled_unless_it_was_damaged(twin, here):
    before = [finished(here)]
    attempt(Store(here), CELL, 2, "ok")
    Store(here).commit(a_result(SPECS[0]), attempts=2, ray=None)
    assert judge(here, twin, before, ()).doubled == {CELL}
    assert judge(here, twin, before, [CELL]).doubled == frozenset()


@pytest.mark.parametrize(
    ("number", "outcome", "says"),
    [
        (2, "running", "a running attempt"),
        (3, "lost", "attempts [1, 3]"),
        (1, "lost", "its row says attempt 1"),
    ],
)
def test_a_journal_that_contradicts_the_cells_is_a_problem(twin, here, number, outcome, says):
    attempt(Store(here), CELL, number, outcome)
    problems = judge(here, twin, [], ()).problems
    assert any(says in text for text in problems), problems


def scene(tmp_path: Path, folder: Path) -> Scene:
    return Scene(
        site=Here(tmp_path),
        folder=tmp_path,
        sweep="",
        results=folder,
        words=[],
        rng=Random(1),
    )


def test_a_file_that_a_message_names_is_deleted_and_its_cell_may_run_again(tmp_path, here):
    path = Store(here).path("cells", CELL)
    played = scene(tmp_path, here)
    message = f"3 cells\nerror: here/cells/{path.name}: corrupted (Not an Arrow file); {ADVICE}"
    assert follow_advice(played, message)
    assert not path.exists()
    assert played.touched == {CELL}


def test_a_file_that_is_in_the_way_is_moved(tmp_path, here):
    (here / "sweep.yaml").write_text("mine")
    played = scene(tmp_path, here)
    message = f"error: {here}/sweep.yaml: was not written by a launch; move it away or choose"
    assert follow_advice(played, message)
    assert (tmp_path / "sweep.yaml.away").read_text() == "mine"
    assert played.touched == set()


def test_no_advice_is_nothing_to_follow(tmp_path, here):
    assert not follow_advice(scene(tmp_path, here), "interrupted; launch again to go on")


@given(st.binary(min_size=1, max_size=64), st.integers())
def test_a_flip_changes_one_bit_and_a_tear_keeps_a_beginning(tmp_path_factory, content, seed):
    file = tmp_path_factory.mktemp("damage") / "file"
    file.write_bytes(content)
    damage.flip(file, Random(seed))
    flipped = file.read_bytes()
    pairs = zip(content, flipped, strict=True)
    assert sum((a ^ b).bit_count() for a, b in pairs) == 1
    damage.tear(file, Random(seed))
    assert len(file.read_bytes()) < len(content)
    assert flipped.startswith(file.read_bytes())


def test_what_outlives_a_launch_is_found_although_its_parent_is_gone(tmp_path):
    script = "sleep 60 & sleep 1"
    launch = Launch(["sh", "-c", script], tmp_path / "log", tmp_path, {"PATH": "/usr/bin:/bin"})
    assert launch.wait(30)
    assert launch.sweep_up(0) == ["sleep"]
    assert launch.tree() == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_rounds_of_chaos_lose_and_double_nothing():
    """Of the small sweep both, so that one undisturbed twin is enough; one through Ray, one not."""
    words = ["--rounds", "2", "--kinds", "driver-kill,renamed", "--seed", "47"]
    command = [sys.executable, "-m", "benchmarks.chaos", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert last == "2 faults, 2 survived, 0 lost, 0 doubled", done.stdout
