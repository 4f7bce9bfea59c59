"""The loop of a launch, for cells, generations and scorings.

Reports of the engine become events for the schedule, its commands become actions. `launch` in
`orchestrator.execution.launch` and `stress` in `orchestrator.stress.run` prepare the `Work`.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from orchestrator.errors import UserError, writing
from orchestrator.execution.awake import awake
from orchestrator.execution.committer import Committer, keep
from orchestrator.execution.display import Display
from orchestrator.execution.duplicates import Fingerprint
from orchestrator.execution.engines.base import Ended, Engine, Report, Saved, Sign
from orchestrator.execution.gpu_faults import gpu_fault
from orchestrator.execution.notify import Notifier
from orchestrator.execution.scheduling import schedule as plan
from orchestrator.execution.scheduling.hosts import HostUp, Job
from orchestrator.execution.scheduling.schedule import Event, HostLost, Lost, Rules, Schedule
from orchestrator.results import live
from orchestrator.results.attempts import Attempt, close_attempts
from orchestrator.results.checkpoints import FOLDER, Checkpoints
from orchestrator.results.store import Store
from tasks.contract.cell import CellFailure, CellResult, Spec, Status
from tasks.contract.generation import GenerationResult
from tasks.contract.reports import Beat, Outcome
from tasks.contract.scoring import ScoringResult
from tasks.sources.paths import real

POLL_S = 0.25
Key = tuple[str, int]
"""(key of the unit, number of the attempt). In `Work` a key is `Spec.key`, without the attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a run is to do.

    Attributes:
        specs: `Spec.key` -> spec.
        jobs: The same units as the schedule sees them.
        rules: Limits of the schedule.
        ended: Reason of the `ended` notification when all is done.
        equip: Called when a unit starts: returns its spec with the files that it takes along.
        told: Notes of units that the display has shown already.
        notify: The user's command; None for none.
        notify_failures: The command is told when a larger share of the units has failed.
    """

    specs: dict[str, Spec]
    jobs: tuple[Job, ...]
    rules: Rules = field(default_factory=Rules)
    ended: str = "every cell is settled"
    equip: Callable[[Spec], Spec] = lambda spec: spec
    told: frozenset[str] = frozenset()
    notify: str | None = None
    notify_failures: float = 0.1


class Run:
    """The units of one launch, from first to last. "Cell" in names is any unit, generations too.

    Making one ends the attempts that an earlier driver left running, in the journal on the disk.
    """

    def __init__(self, store: Store, engine: Engine, display: Display, work: Work) -> None:
        self._store, self._engine, self._display, self._work = store, engine, display, work
        self._schedule = Schedule.of(work.jobs, close_attempts(store), work.rules)
        self._running: dict[Key, Attempt] = {}
        self._prints: dict[str, Fingerprint] = {}
        self._counts = dict.fromkeys(Status, 0)
        self._notifier = Notifier(work.notify)
        self._told = False
        self._notes = set(work.told)
        self._shown_at = self._live_at = 0.0
        self._began_s = time.monotonic()
        self._stages: list[tuple[Key, str]] = []
        self._ray: str | None = None
        if engine.name == "ray":
            import ray

            self._ray = str(ray.__version__)
        self._committer = Committer(store, self._ray)
        self._checkpoints = Checkpoints(store.folder / FOLDER)
        self._families: dict[str, str] = {}

    def to_the_end(self) -> None:
        """Run until every cell has ended or was given up, and is on the disk."""
        try:
            with awake():
                self._loop()
        except KeyboardInterrupt:
            for attempt in list(self._running.values()):
                self._end(attempt, "interrupted", "the launch was stopped")
            raise
        except Exception as error:
            self._finish(f"stopped by an error: {error}")
            raise
        else:
            self._finish(self._work.ended)
        finally:
            with suppress(OSError):  # an old one is read only while a launch runs
                (self._store.folder / live.FILE).unlink()
            self._land(last=True)
            self._store.flush()

    def _finish(self, reason: str) -> None:
        self._tell("ended", reason)
        self._notifier.close()
        self._complain()

    def _loop(self) -> None:
        hosts = self._engine.hosts()
        self._families = {host.host: host.family for host in hosts}
        # a cell with a checkpoint goes to the chip family that made it, if there is such a host
        for cell, chips in self._checkpoints.families(self._work.specs):
            if chips in self._families.values():
                self._feed(plan.Bound(cell, chips))
        for host in hosts:
            self._feed(host)
        while not self._schedule.finished:
            self._engine.poll(POLL_S, self._take)
            self._land()
            self._store.flush(wait=False)  # a full disk shows now, not when a long cell has ended
            self._feed(plan.Tick())
            self._show()
            self._complain()
        self._land(last=True)

    def _feed(self, event: Event) -> None:
        """Tell the schedule what happened, and carry out what it orders."""
        for command in self._schedule.handle(event, time.monotonic()):
            match command:
                case plan.Start(cell, host, attempt):
                    begun = Attempt(cell, attempt, host, datetime.now(UTC))
                    self._running[cell, attempt] = begun
                    self._store.write_attempt(begun.row("running", None))
                    resume = self._checkpoints.read(cell)
                    spec = self._work.equip(self._work.specs[cell])
                    self._engine.start(spec, host, attempt, resume)
                case plan.Stop(cell, attempt, outcome, reason):
                    self._engine.abandon(cell, attempt)
                    self._end(self._running[cell, attempt], outcome, reason)
                    if outcome != "cancelled":
                        self._display.note(f"{self._label(cell)}: {reason}")
                case plan.GiveUp():
                    self._give_up(command)
                case plan.Quarantine(host, reason):
                    self._display.note(reason)
                    self._tell("host-lost", reason, lost_host=host)
                case plan.Note(cell, text):
                    self._display.note(f"{self._label(cell)}: {text}")

    def _take(self, report: Report) -> None:
        """Take in one report of the engine."""
        match report:
            case Sign(cell, attempt, beat):
                self._feed(plan.Alive(cell, attempt, _done(beat)))
                if beat is not None and (cell, attempt) in self._running:
                    self._running[cell, attempt].beat = beat
                    self._log(beat)
                    self._show()
                    note = beat.progress.note
                    # while it loads, a unit tells what holds for every unit of its model
                    if note and beat.progress.stage == "load" and note not in self._notes:
                        self._notes.add(note)
                        self._display.note(note)
            case Saved(cell, attempt, sealed):
                self._save(cell, attempt, sealed)
            case Ended(cell, attempt, outcome):
                self._ended(cell, attempt, outcome)
            case Lost():
                self._feed(report)
            case HostLost(host):
                self._feed(report)
                self._display.note(f"host {host} was lost")
                self._tell("host-lost", f"host {host} was lost", lost_host=host)
            case HostUp(host):
                self._families[host] = report.family
                self._feed(report)

    def _save(self, cell: str, attempt: int, sealed: bytes) -> None:
        """Store a checkpoint; if that fails the cell goes on, and would begin anew after a loss."""
        if (cell, attempt) not in self._running:
            return
        try:
            kept = self._checkpoints.keep(cell, sealed)
        except UserError as error:
            self._display.note(f"{self._label(cell)}: no checkpoint: {error}")
            return
        if kept is not None:
            host = self._running[cell, attempt].host
            self._feed(plan.Bound(cell, self._families[host] or None))

    def _ended(self, cell: str, attempt: int, outcome: Outcome) -> None:
        if isinstance(outcome, CellFailure) and (fault := gpu_fault(outcome.message)):
            self._feed(Lost(cell, attempt, fault))  # nothing for a second copy, which is ended
            return
        if (cell, attempt) not in self._running:
            # a second copy that ended, too: only whether it agrees is recorded
            if cell in self._prints:
                agrees, finding = self._prints[cell].verdict(Fingerprint.of(outcome))
                rows = self._store.attempts_of(cell)
                row = next(r for r in rows if r["attempt"] == attempt)
                self._store.write_attempt(row | {"outcome": "duplicate", "message": finding})
                if not agrees:
                    self._display.note(f"{self._label(cell)}: {finding}; see: rho-sweep logs")
            return
        self._committer.put(self._running.pop((cell, attempt)), outcome)
        if any(c == cell for c, _ in self._running):
            self._prints[cell] = Fingerprint.of(outcome)
        self._feed(plan.Settled(cell, attempt, _tells_speed(outcome)))

    def _land(self, *, last: bool = False) -> None:
        for kept in self._committer.landed(last=last):
            self._settled(kept.cell, kept.status, kept.message)

    def _give_up(self, command: plan.GiveUp) -> None:
        message = command.reason
        if command.attempt:
            message = f"{message}; given up after attempt {command.attempt}"
        failure = CellFailure(
            spec=self._work.specs[command.cell],
            stage=command.stage,
            message=message,
            trace="",
            machine=None,
            host=command.host,
        )
        keep(self._store, failure, attempts=command.attempt, ray=self._ray)
        self._settled(command.cell, Status.FAILED, message)

    def _settled(self, cell: str, status: Status, message: str | None) -> None:
        """Show and count a cell whose row is on the disk; its checkpoint is not needed any more."""
        self._checkpoints.drop(cell)
        self._display.settled(self._label(cell), status, message)
        self._counts[status] += 1
        share = self._counts[Status.FAILED] / len(self._work.specs)
        if share > self._work.notify_failures and not self._told:
            self._told = True
            self._tell("failures", f"{self._counts[Status.FAILED]} cells failed")

    def _end(self, attempt: Attempt, outcome: str, message: str | None) -> None:
        self._store.write_attempt(attempt.row(outcome, message, datetime.now(UTC)))
        del self._running[attempt.cell, attempt.number]

    def _tell(self, event: str, reason: str, **more: str) -> None:
        facts = {
            "sweep": self._store.folder.name,
            "results": str(real(self._store.folder)),
            "reason": reason,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "cells": len(self._work.specs),
            **{str(status): count for status, count in self._counts.items()},
            **more,
        }
        self._notifier.tell(event, facts)

    def _complain(self) -> None:
        for problem in self._notifier.problems():
            self._display.note(problem)

    def _label(self, cell: str) -> str:
        return self._work.specs[cell].label

    def _log(self, beat: Beat) -> None:
        """Add a line of progress to the cell's log."""
        progress = beat.progress
        loss = "" if progress.loss is None else f" loss {progress.loss:.4f}"
        step = f" step {progress.step}/{progress.steps}" if progress.steps else ""
        note = f" {progress.note}" if progress.note else ""
        line = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {beat.host} pid {beat.pid} {progress.stage}"
        path = self._store.folder / "logs" / f"{beat.cell_id}.log"
        with writing(path):
            path.parent.mkdir(exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{line}{step}{loss}{note}\n")

    def _show(self) -> None:
        """Update the display, and `live.json` for `status` each second or when a stage changes."""
        now_s = time.monotonic()
        if now_s - self._shown_at < POLL_S:
            return
        self._shown_at = now_s
        left_s = self._schedule.left_s(now_s)
        running = {
            self._label(a.cell): a.beat.progress if a.beat else None for a in self._running.values()
        }
        self._display.running(running, left_s)
        stages = [(key, a.stage) for key, a in self._running.items()]
        if now_s - self._live_at >= 1 or stages != self._stages:
            self._live_at, self._stages = now_s, stages
            now = {
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "waiting": len(self._schedule.queue),
                "left_s": left_s,
                "elapsed_s": now_s - self._began_s,
                "running": [a.live(self._label(a.cell)) for a in self._running.values()],
            }
            live.write_live(self._store.folder, now)


def _done(beat: Beat | None) -> float | None:
    """Share of an attempt's steps, or answers, that are done; without those of its checkpoint."""
    if beat is None or not beat.progress.steps:
        return None
    progress = beat.progress
    return (progress.step - progress.resumed) / (progress.steps - progress.resumed)


def _tells_speed(outcome: Outcome) -> bool:
    """Whether the duration tells the speed of the host: the whole unit was done, without error."""
    if isinstance(outcome, GenerationResult):
        return not outcome.resumed_answers
    if isinstance(outcome, ScoringResult):
        return True
    if not isinstance(outcome, CellResult) or outcome.status is not Status.OK:
        return False
    measured = outcome.measurements
    return not measured.resumed_steps and not measured.resumed_passes
