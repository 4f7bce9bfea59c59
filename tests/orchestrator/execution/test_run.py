"""The edge around the schedule, with an engine that does as it is told."""

import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import UserError
from orchestrator.execution.display import PlainDisplay
from orchestrator.execution.engines.base import Ended, Engine, InlineEngine, Report, Sign
from orchestrator.execution.run import Run, Work
from orchestrator.execution.scheduling.hosts import HostUp, Job
from orchestrator.execution.scheduling.schedule import HostLost, Lost, Rules, Schedule, Settled
from orchestrator.results import live
from orchestrator.results.store import Store
from tasks.contract.cell import Progress
from tasks.contract.reports import Beat
from tests.builders import MACHINE, a_failure, a_result, a_spec

GB = 2**30
SPECS = tuple(a_spec(seed=i) for i in range(10))


class Script:
    """An engine that reports what a test wrote down, one list for each look."""

    name = "script"

    def __init__(self, hosts: list[HostUp], *looks: list[Report] | BaseException) -> None:
        self._hosts, self.looks = hosts, deque(looks)
        self.started: list[tuple[str, str, int]] = []
        self.abandoned: list[tuple[str, int]] = []
        self.resumed: list[bytes | None] = []

    def hosts(self) -> list[HostUp]:
        return self._hosts

    def start(self, spec, host, attempt, resume) -> None:
        self.started.append((spec.cell_id, host, attempt))
        self.resumed.append(resume)

    def abandon(self, cell_id, attempt) -> None:
        self.abandoned.append((cell_id, attempt))

    def poll(self, timeout_s: float, take: Callable[[Report], None]) -> None:
        look = self.looks.popleft() if self.looks else []
        if isinstance(look, BaseException):
            raise look
        for report in look:
            take(report)

    def close(self) -> None:
        pass


def work(count: int, *, memory: int = 0, notify: str | None = None) -> Work:
    specs = {s.cell_id: s for s in SPECS[:count]}
    rules = Rules(backoff_s=(0.0,), retries=2)
    jobs = tuple(Job(c, 1.0, memory) for c in specs)
    return Work(specs=specs, jobs=jobs, rules=rules, notify=notify, notify_failures=0.4)


def run(folder: Path, engine: Engine, todo: Work) -> Store:
    store = Store(folder / "r")
    store.create()
    display = PlainDisplay()
    display.begin(total=len(todo.specs), done=0, linked=0)
    Run(store, engine, display, todo).to_the_end()
    return store


def ok(i: int, attempt: int = 1, **changes) -> Ended:
    result = a_result(SPECS[i])
    return Ended(SPECS[i].cell_id, attempt, replace(result, **changes))


def outcomes(store: Store) -> list[tuple[int, str, str | None]]:
    rows = sorted(store.rows("attempts"), key=lambda r: (r["cell_id"], r["attempt"]))
    return [(r["attempt"], r["outcome"], r["message"]) for r in rows]


def test_every_attempt_has_one_row_with_host_start_end_and_why(tmp_path):
    cell = SPECS[0].cell_id
    engine = Script([HostUp("m1", 1)], [Lost(cell, 1, "killed")], [], [ok(0, 2)])
    store = run(tmp_path, engine, work(1))
    assert outcomes(store) == [(1, "lost", "killed"), (2, "ok", None)]
    for row in store.rows("attempts"):
        assert row["host"] == "m1"
        assert row["started_at"] <= row["ended_at"]
    assert store.rows("cells")[0]["attempts"] == 2
    assert not (store.folder / live.FILE).exists()


@pytest.mark.parametrize("taken", [{}, {"resumed_steps": 3}, {"resumed_passes": 2}])
def test_a_cell_that_went_on_from_a_checkpoint_teaches_nothing_about_speed(
    tmp_path, monkeypatch, taken
):
    told, handle = [], Schedule.handle

    def spy(self, event, now_s):
        told.append(event)
        return handle(self, event, now_s)

    monkeypatch.setattr(Schedule, "handle", spy)
    measured = replace(a_result(SPECS[0]).measurements, **taken)
    run(tmp_path, Script([HostUp("m1", 1)], [ok(0, measurements=measured)]), work(1))
    (settled,) = [e for e in told if isinstance(e, Settled)]
    assert settled.ok is (not taken)


def test_a_cell_that_fits_nowhere_is_a_failure_with_numbers_and_the_others_run(tmp_path, capsys):
    todo = work(2)
    big, small = todo.jobs
    todo = replace(todo, jobs=(replace(big, memory=100 * GB), small))
    store = run(tmp_path, Script([HostUp("m1", 1, 64 * GB)], [ok(1)]), todo)
    rows = {r["cell_id"]: r for r in store.rows("cells")}
    assert rows[small.cell]["status"] == "ok"
    failed = rows[big.cell]
    assert (failed["status"], failed["stage"], failed["attempts"]) == ("failed", "placement", 0)
    assert "needs about 100.0 GiB, and the largest host, m1, offers 64.0 GiB" in failed["message"]
    assert (failed["host"], failed["chip"]) == (None, None)  # it ran nowhere
    assert failed["message"] in capsys.readouterr().err


def test_a_cell_that_was_always_lost_has_the_host_where_it_ran_last(tmp_path):
    cell = SPECS[0].cell_id
    looks = [[Lost(cell, attempt, "killed")] for attempt in (1, 2, 3)]
    store = run(tmp_path, Script([HostUp("m1", 1)], *looks), work(1))
    (row,) = store.rows("cells")
    assert (row["status"], row["stage"], row["attempts"]) == ("failed", "process", 3)
    assert (row["host"], row["chip"], row["os"], row["mlx"]) == ("m1", None, None, None)


def slow_and_fast(*looks: list[Report]) -> Script:
    """Cell 1 hangs on m2 at a tenth of its way while m1 is done with cell 0."""
    progress = Progress(stage="train", step=1, steps=1000, loss=None)
    cell = SPECS[1].cell_id
    sign = Sign(cell, 1, Beat(cell_id=cell, pid=1, host="m2", progress=progress))
    return Script([HostUp("m1", 1), HostUp("m2", 1)], [sign], [ok(0)], *looks)


@pytest.fixture
def eager(monkeypatch):
    """A copy is worth it however little it saves."""
    monkeypatch.setattr("orchestrator.execution.scheduling.hosts.GAIN_S", -1e9)
    monkeypatch.setattr("orchestrator.execution.scheduling.hosts.GAIN", 1e9)


@pytest.mark.usefixtures("eager")
def test_the_first_of_two_copies_wins_and_the_other_is_cancelled(tmp_path):
    engine = slow_and_fast([ok(1, 2)])
    store = run(tmp_path, engine, work(2))
    found = store.attempts_of(SPECS[1].cell_id)
    assert [(r["host"], r["outcome"]) for r in found] == [("m2", "cancelled"), ("m1", "ok")]
    assert found[0]["message"] == "the copy on m1 ended first"
    assert engine.abandoned == [(SPECS[1].cell_id, 1)]


@pytest.mark.usefixtures("eager")
def test_a_second_copy_that_ended_too_is_a_duplicate_and_compared(tmp_path, capsys):
    store = run(tmp_path, slow_and_fast([ok(1, 2), ok(1, 1)]), work(2))
    found = store.attempts_of(SPECS[1].cell_id)
    assert [r["outcome"] for r in found] == ["duplicate", "ok"]
    assert found[0]["message"] == "a second copy gave the same result"
    assert "second copy" not in capsys.readouterr().err


@pytest.mark.usefixtures("eager")
def test_a_second_copy_with_another_result_is_reported(tmp_path, capsys):
    other = a_result(SPECS[1], {("factual", "train"): 9.0}).scores
    store = run(tmp_path, slow_and_fast([ok(1, 2), ok(1, 1, scores=other)]), work(2))
    message = store.attempts_of(SPECS[1].cell_id)[0]["message"]
    assert message == "a second copy on the same chip family gave another result"
    assert message in capsys.readouterr().err
    assert {r["rho"] for r in store.rows("scores")} == {0.5, -0.25}


@pytest.mark.usefixtures("eager")
def test_other_bits_from_another_chip_family_are_recorded_and_no_alarm(tmp_path, capsys):
    other = a_result(SPECS[1], {("factual", "train"): 0.5000001}).scores
    machine = replace(MACHINE, chip="Apple M1")
    store = run(
        tmp_path, slow_and_fast([ok(1, 2), ok(1, 1, scores=other, machine=machine)]), work(2)
    )
    message = store.attempts_of(SPECS[1].cell_id)[0]["message"]
    assert "another chip family (toy (cpu) and Apple M1 (cpu))" in message
    assert "second copy" not in capsys.readouterr().err


def test_an_interrupted_launch_says_so_in_the_journal(tmp_path):
    engine = Script([HostUp("m1", 1)], [], KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, engine, work(1))
    assert outcomes(Store(tmp_path / "r")) == [(1, "interrupted", "the launch was stopped")]


def test_a_driver_that_died_leaves_an_attempt_that_the_next_launch_ends(tmp_path):
    store = Store(tmp_path / "r")
    store.create()
    row = {"cell_id": SPECS[0].cell_id, "host": "m1", "started_at": 0, "outcome": "running"}
    store.commit(a_result(SPECS[0]), attempts=2, ray=None)
    for attempt in (1, 2):
        store.write_attempt(row | {"attempt": attempt})
    store.flush()
    run(tmp_path, Script([HostUp("m1", 1)], [ok(1)]), only(1))
    found = [r for r in store.rows("attempts") if r["cell_id"] == SPECS[0].cell_id]
    assert [(r["attempt"], r["outcome"]) for r in found] == [(1, "lost"), (2, "ok")]


def only(i: int) -> Work:
    cell = SPECS[i].cell_id
    return Work(specs={cell: SPECS[i]}, jobs=(Job(cell),))


# the user's command


def told(folder: Path) -> list[dict]:
    return [json.loads(x) for x in (folder / "told").read_text().splitlines()]


def telling(folder: Path) -> str:
    return f"cat >> {folder}/told; echo $RHO_SWEEP_EVENT >> {folder}/events"


def test_the_command_is_told_of_the_end_in_json_and_of_the_event_in_its_environment(tmp_path):
    run(tmp_path, Script([HostUp("m1", 2)], [ok(0), ok(1)]), work(2, notify=telling(tmp_path)))
    (found,) = told(tmp_path)
    assert (tmp_path / "events").read_text() == "ended\n"
    assert (found["event"], found["reason"]) == ("ended", "every cell is settled")
    assert (found["sweep"], found["cells"], found["ok"], found["failed"]) == ("r", 2, 2, 0)
    assert found["results"] == str(tmp_path / "r")


def test_the_command_is_told_once_when_more_cells_fail_than_the_threshold_allows(tmp_path):
    failures = [Ended(s.cell_id, 1, a_failure(s)) for s in SPECS[:8]]
    engine = Script([HostUp("m1", 10)], [*failures, ok(8), ok(9)])
    run(tmp_path, engine, work(10, notify=telling(tmp_path)))
    found = {f["event"]: f for f in told(tmp_path)}
    assert len(told(tmp_path)) == 2
    assert found["failures"]["failed"] == 5
    assert found["ended"]["failed"] == 8


def test_the_command_is_told_which_host_was_lost(tmp_path):
    engine = Script([HostUp("m1", 1)], [HostLost("m1")], [HostUp("m1", 1)], [], [ok(0, 2)])
    store = run(tmp_path, engine, work(1, notify=telling(tmp_path)))
    found = {f["event"]: f for f in told(tmp_path)}
    assert found["host-lost"]["lost_host"] == "m1"
    assert outcomes(store)[0] == (1, "lost", "host m1 was lost")


def test_the_command_is_told_of_an_error_that_stops_the_sweep(tmp_path):
    engine = Script([HostUp("m1", 1)], ValueError("disk"))
    with pytest.raises(ValueError, match="disk"):
        run(tmp_path, engine, work(1, notify=telling(tmp_path)))
    assert told(tmp_path)[0]["reason"] == "stopped by an error: disk"


def test_a_command_that_fails_is_a_line_and_hurts_nothing(tmp_path, capsys):
    run(tmp_path, Script([HostUp("m1", 1)], [ok(0)]), work(1, notify="echo no >&2; exit 3"))
    assert "run.notify: the command ended with 3: no (event ended)" in capsys.readouterr().err


class Telling:
    """A cell that looks at what people can see while it trains."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.seen: list[dict] = []

    def execute(self, spec, beat, saving):
        for step in (1, 2):
            progress = Progress(stage="train", step=step, steps=2, loss=1.5)
            beat(Beat(cell_id=spec.key, pid=1, host="here", progress=progress))
            self.seen.append(json.loads((self._folder / "live.json").read_text())["running"][0])
            time.sleep(1.1)
        return a_result(spec)


def test_a_cell_in_this_process_is_shown_while_it_runs(tmp_path):
    node = Telling(tmp_path / "r")
    run(tmp_path, InlineEngine(lambda: node), work(1))
    assert [(c["stage"], c["step"]) for c in node.seen] == [("train", 1), ("train", 2)]


class Catching(Telling):
    """A cell whose errors become a row, as those of real cells do."""

    def execute(self, spec, beat, saving):
        try:
            return super().execute(spec, beat, saving)
        except Exception:  # noqa: BLE001 - as the node does
            return a_failure(spec)


def test_a_log_that_cannot_be_written_ends_the_launch_and_fails_no_cell_of_this_process(tmp_path):
    store = Store(tmp_path / "r")
    store.create()
    (store.folder / "logs").mkdir(exist_ok=True)
    (store.folder / "logs" / f"{SPECS[0].cell_id}.log").symlink_to("/dev/full")
    display = PlainDisplay()
    display.begin(total=1, done=0, linked=0)
    with pytest.raises(UserError, match="cannot be written"):
        Run(store, InlineEngine(lambda: Catching(tmp_path / "r")), display, work(1)).to_the_end()
    assert store.rows("cells") == []
