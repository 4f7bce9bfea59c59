"""Run a sweep: resolve, link what is done, run the rest, commit each cell as it comes."""

import json
import os
import platform
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from orchestrator import lock
from orchestrator.display import Display
from orchestrator.document import raise_problems
from orchestrator.engine import Ended, Engine, InlineEngine, WorkerLost
from orchestrator.estimate import RUNTIME_BYTES
from orchestrator.expand import Expansion, expand
from orchestrator.files import write_whole
from orchestrator.manifest import demand_ours, write_manifest
from orchestrator.node import Beat, Outcome
from orchestrator.resolve import FileResolver
from orchestrator.schedule import (
    Command,
    Event,
    GiveUp,
    HostUp,
    Lost,
    Schedule,
    Settled,
    Start,
    Tick,
)
from orchestrator.store import Store, done_elsewhere
from orchestrator.sweep import Sweep
from tasks.contract import CellFailure, CellResult, CellSpec, Status
from tasks.machine import describe

POLL_S = 0.25
LIVE = "live.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How a launch ended.

    Attributes:
        total: Cells of the sweep, baselines included.
        reused: Of those, done before this launch, here or in a sibling.
        statuses: Cell id -> status of all that have a row.
        labels: Cell id -> short name.
        messages: Cell id -> what went wrong.
    """

    total: int
    reused: int
    statuses: dict[str, Status]
    labels: dict[str, str]
    messages: dict[str, str]

    @property
    def unfinished(self) -> list[str]:
        """Cells without scores."""
        return [c for c in self.labels if self.statuses.get(c) is not Status.OK]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to launch.

    Attributes:
        inline: Run in this process, without Ray.
        address: Of a running Ray; None starts one here.
        slots: Cells at once; None lets the program choose.
    """

    inline: bool = False
    address: str | None = None
    slots: int | None = None


def resolve(sweep: Sweep, *, download: bool) -> tuple[Expansion, FileResolver]:
    """The cells of a sweep, checked against models, packs and data.

    Raises:
        SweepError: Everything that does not fit.
    """
    resolver = FileResolver(download=download)
    expansion, problems = expand(sweep, resolver)
    raise_problems(sweep.document, problems)
    return expansion, resolver


def launch(sweep: Sweep, folder: Path, options: Options, display: Display) -> Summary:
    """Run every cell of a sweep that has no result yet.

    Raises:
        UserError: Something the user can fix; nothing half-written is left.
        KeyboardInterrupt: Stopped by the user; finished cells are kept.
    """
    expansion, resolver = resolve(sweep, download=True)
    demand_ours(folder)
    store = Store(folder)
    store.create()
    with lock.held(folder):
        wanted = {spec.cell_id: spec for spec in expansion.all}
        linked = _link_siblings(store, wanted)
        done = store.done() & wanted.keys()
        write_manifest(folder, sweep, expansion)
        todo = [spec for cell, spec in wanted.items() if cell not in done]
        display.begin(total=len(wanted), done=len(done), linked=linked)
        if todo:
            memory = {s.cell_id: resolver.memory(s) or RUNTIME_BYTES for s in todo}
            with closing(_engine(sweep, options, memory, len(todo))) as engine:
                _Run(store, engine, display, todo, sweep.run.retries).to_the_end()
        return _summary(store, wanted, len(done))


def _link_siblings(store: Store, wanted: dict[str, CellSpec]) -> int:
    missing = wanted.keys() - store.done()
    found = done_elsewhere(store.folder, missing)
    for cell, other in found.items():
        store.link_from(other, cell)
    return len(found)


def _engine(sweep: Sweep, options: Options, memory: dict[str, int], cells: int) -> Engine:
    if options.inline:
        return InlineEngine()
    from orchestrator.ray_engine import RayEngine

    slots = options.slots or sweep.run.slots or default_slots()
    available = psutil.virtual_memory().available
    slots = max(1, min(slots, cells, available // max(memory.values())))
    return RayEngine(
        slots=slots,
        recycle_after=sweep.run.recycle_after,
        memory_of={c: min(m, available // slots) for c, m in memory.items()},
        address=options.address,
    )


def default_slots() -> int:
    """Cells at once on this machine: one on a Mac, whose GPU is shared; else one per core."""
    if platform.system() == "Darwin":
        return 1
    return max(1, len(os.sched_getaffinity(0)))


def _summary(store: Store, wanted: dict[str, CellSpec], reused: int) -> Summary:
    rows = {r["cell_id"]: r for r in store.rows("cells") if r["cell_id"] in wanted}
    return Summary(
        total=len(wanted),
        reused=reused,
        statuses={c: Status(r["status"]) for c, r in rows.items()},
        labels={c: s.label for c, s in wanted.items()},
        messages={c: r["message"] for c, r in rows.items() if r["message"]},
    )


@dataclass(slots=True)
class _Running:
    started_at: datetime
    attempt: int
    host: str
    beat: Beat | None = None


class _Run:
    """The edge around the schedule: carries its commands out and tells it what happened."""

    def __init__(
        self, store: Store, engine: Engine, display: Display, todo: list[CellSpec], retries: int
    ) -> None:
        self._store, self._engine, self._display = store, engine, display
        self._specs = {s.cell_id: s for s in todo}
        self._schedule = Schedule.of(self._specs, _close_attempts(store), retries)
        self._running: dict[str, _Running] = {}
        self._live_at = 0.0
        self._ray = _ray_version() if engine.name == "ray" else None

    def to_the_end(self) -> None:
        """Run until every cell is settled."""
        try:
            for host, slots in self._engine.hosts().items():
                self._feed(HostUp(host, slots))
            while not self._schedule.finished:
                for report in self._engine.poll(POLL_S):
                    self._take(report)
                self._feed(Tick())
                self._show()
        except KeyboardInterrupt:
            for cell in list(self._running):
                self._end_attempt(cell, "interrupted", None)
            raise
        finally:
            (self._store.folder / LIVE).unlink(missing_ok=True)

    def _feed(self, event: Event) -> None:
        for command in self._schedule.handle(event, time.monotonic()):
            self._do(command)

    def _do(self, command: Command) -> None:
        match command:
            case Start(cell, host, attempt):
                self._running[cell] = _Running(datetime.now(UTC), attempt, host)
                self._write_attempt(cell, "running", None, None)
                self._engine.start(self._specs[cell], host)
            case GiveUp(cell, attempt, reason):
                self._give_up(cell, attempt, reason)

    def _take(self, report: Beat | Ended | WorkerLost) -> None:
        match report:
            case Beat():
                if report.cell_id in self._running:
                    self._running[report.cell_id].beat = report
                    self._log(report)
            case Ended(cell, outcome):
                self._commit(cell, outcome)
                self._feed(Settled(cell))
            case WorkerLost(cell, reason):
                self._end_attempt(cell, "lost", reason)
                self._display.note(f"{self._specs[cell].label}: {reason}")
                self._feed(Lost(cell, reason))

    def _commit(self, cell: str, outcome: Outcome) -> None:
        attempt = self._running[cell].attempt
        if isinstance(outcome, CellResult):
            self._store.commit(outcome, attempts=attempt, ray=self._ray)
            status, message = outcome.status, outcome.message
        else:
            self._store.commit_failure(outcome, attempts=attempt, ray=self._ray)
            status, message = Status.FAILED, outcome.message
        self._end_attempt(cell, str(status), message)
        self._display.settled(self._specs[cell].label, status, message)

    def _give_up(self, cell: str, attempt: int, reason: str) -> None:
        message = f"{reason}; given up after attempt {attempt}"
        failure = CellFailure(
            spec=self._specs[cell], stage="process", message=message, trace="", machine=describe()
        )
        self._store.commit_failure(failure, attempts=attempt, ray=self._ray)
        self._display.settled(self._specs[cell].label, Status.FAILED, message)

    def _end_attempt(self, cell: str, outcome: str, message: str | None) -> None:
        self._write_attempt(cell, outcome, message, datetime.now(UTC))
        del self._running[cell]

    def _write_attempt(
        self, cell: str, outcome: str, message: str | None, ended_at: datetime | None
    ) -> None:
        running = self._running[cell]
        self._store.write_attempt(
            {
                "cell_id": cell,
                "attempt": running.attempt,
                "host": running.beat.host if running.beat else running.host,
                "started_at": running.started_at,
                "ended_at": ended_at,
                "outcome": outcome,
                "message": message,
            }
        )

    def _log(self, beat: Beat) -> None:
        progress = beat.progress
        loss = "" if progress.loss is None else f" loss {progress.loss:.4f}"
        step = f" step {progress.step}/{progress.steps}" if progress.steps else ""
        line = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {beat.host} pid {beat.pid} {progress.stage}"
        folder = self._store.folder / "logs"
        folder.mkdir(exist_ok=True)
        with (folder / f"{beat.cell_id}.log").open("a") as file:
            file.write(f"{line}{step}{loss}\n")

    def _show(self) -> None:
        running = {
            self._specs[c].label: r.beat.progress if r.beat else None
            for c, r in self._running.items()
        }
        self._display.running(running)
        if time.monotonic() - self._live_at >= 1:
            self._live_at = time.monotonic()
            write_whole(self._store.folder / LIVE, json.dumps(self._live()).encode())

    def _live(self) -> dict[str, object]:
        return {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "waiting": len(self._schedule.waiting),
            "running": [
                {
                    "cell_id": cell,
                    "label": self._specs[cell].label,
                    "attempt": r.attempt,
                    "host": r.beat.host if r.beat else r.host,
                    "pid": r.beat.pid if r.beat else None,
                    "stage": r.beat.progress.stage if r.beat else "start",
                    "step": r.beat.progress.step if r.beat else 0,
                    "steps": r.beat.progress.steps if r.beat else 0,
                    "loss": r.beat.progress.loss if r.beat else None,
                }
                for cell, r in self._running.items()
            ],
        }


def _close_attempts(store: Store) -> dict[str, int]:
    """Attempts made so far, by cell; those that a dead driver left running are ended."""
    made: dict[str, int] = {}
    statuses = store.statuses()
    for row in store.rows("attempts"):
        cell = row["cell_id"]
        made[cell] = max(made.get(cell, 0), int(row["attempt"]))
        if row["outcome"] == "running":
            # a cell whose row was committed did end, whatever became of the driver after
            outcome = str(statuses.get(cell, "lost"))
            end = {"outcome": outcome, "message": "the driver died", "ended_at": datetime.now(UTC)}
            store.write_attempt(row | end)
    return made


def _ray_version() -> str:
    import ray

    return str(ray.__version__)
