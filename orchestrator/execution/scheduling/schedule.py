"""Which cell runs where and when. Pure: events in, commands out, no clock and no network."""

import math
from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from orchestrator.execution.scheduling.events import (
    Alive,
    Bound,
    Command,
    Event,
    GiveUp,
    HostLost,
    HostUp,
    Job,
    Lost,
    Note,
    Quarantine,
    Settled,
    Start,
    Stop,
    Tick,
)
from orchestrator.execution.scheduling.fleet import Fleet
from orchestrator.execution.scheduling.placement import Outlook, Running
from orchestrator.execution.scheduling.speed import Speeds

AHEAD = 500
"""Cells that are planned beyond those that start; a host that suits none stays idle for now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Limits of a schedule.

    Attributes:
        retries: Attempts after the first for a cell whose process was lost.
        backoff_s: Pause before each further attempt; the last one repeats.
        silence_s: An attempt without a sign of life for so long is abandoned.
        faults: Distinct losses within `window_s` after which a host is quarantined.
        window_s: See `faults`.
        quarantine_s: How long a host then gets no cells.
    """

    retries: int = 3
    backoff_s: tuple[float, ...] = (1.0, 5.0, 30.0)
    silence_s: float = 180.0
    faults: int = 3
    window_s: float = 900.0
    quarantine_s: float = 900.0


@dataclass(slots=True)
class Schedule:
    """State of a launch; feed it every event, do every command.

    Attributes:
        rules: Its limits.
        jobs: Cell -> job.
        rank: Cell -> place in the queue, longest first.
        queue: (rank, cell) of what waits, in order.
        not_before: Waiting cell -> when it may start again.
        running: (cell, attempt) -> where and since when.
        made: Cell -> attempts made, earlier launches included.
        losses: Cell -> hosts on which its process was lost in this launch.
        settled: Cells that need nothing more.
        fleet: The hosts.
        speeds: What finished cells taught.
    """

    rules: Rules
    jobs: dict[str, Job]
    rank: dict[str, int]
    queue: list[tuple[int, str]]
    made: dict[str, int]
    not_before: dict[str, float] = field(default_factory=dict)
    running: dict[tuple[str, int], Running] = field(default_factory=dict)
    losses: dict[str, list[str]] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    fleet: Fleet = field(default_factory=Fleet)
    speeds: Speeds = field(default_factory=Speeds)
    _ticked_s: float = math.inf
    _unchecked: bool = True
    _noted: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, jobs: Iterable[Job], attempts: dict[str, int], rules: Rules) -> "Schedule":
        """A schedule for jobs; `attempts` counts those made in earlier launches."""
        by_cell = {j.cell: j for j in jobs}
        order = sorted(by_cell.values(), key=lambda j: -j.work)
        rank = {j.cell: i for i, j in enumerate(order)}
        queue = [(i, cell) for cell, i in rank.items()]
        made = {cell: attempts.get(cell, 0) for cell in by_cell}
        return cls(rules=rules, jobs=by_cell, rank=rank, queue=queue, made=made)

    @property
    def finished(self) -> bool:
        """Whether nothing waits or runs."""
        return not self.queue and not self.running

    def handle(self, event: Event, now_s: float) -> list[Command]:
        """Take in one event; returns what to do, in order."""
        commands: list[Command] = []
        match event:
            case HostUp():
                self.fleet.register(event)
                self._unchecked = True
            case HostLost(host) if host in self.fleet.hosts:
                commands += self._lose_host(host, now_s)
            case Settled(cell, attempt, ok) if (cell, attempt) in self.running:
                commands += self._settle(cell, attempt, ok, now_s)
            case Lost(cell, attempt, reason) if (cell, attempt) in self.running:
                commands += self._lose(cell, attempt, "lost", reason, now_s)
            case Alive(cell, attempt, done) if (cell, attempt) in self.running:
                self.running[cell, attempt].see(done, now_s)
                return []
            case Bound(cell, family) if cell in self.jobs:
                job = self.jobs[cell]
                self.jobs[cell] = Job(cell, job.work, job.memory, family)
                self._unchecked = True
            case Tick():
                commands += self._tick(now_s)
        return commands + list(self._start(now_s))

    def left_s(self, now_s: float) -> float | None:
        """Estimated seconds to the end; None before a cell has ended or without a host."""
        rate = sum((self.speeds.of(*h.kinds) or 0.0) * h.slots for h in self.fleet.usable(now_s))
        if not rate:
            return None
        outlook = self._outlook(now_s)
        lefts = {key: outlook.left_s(run) for key, run in self.running.items()}
        work = sum(self.jobs[cell].work for _, cell in self.queue)
        for key, left in lefts.items():
            host = self.fleet.hosts[self.running[key].host]
            work += left * (self.speeds.of(*host.kinds) or 0.0)
        return max(work / rate, max(lefts.values(), default=0.0))

    def _outlook(self, now_s: float) -> Outlook:
        return Outlook.of(self.fleet, self.running.values(), self.speeds, now_s)

    def _tick(self, now_s: float) -> Iterator[Command]:
        if now_s - self._ticked_s > self.rules.silence_s / 2:  # it was the driver that slept
            for run in self.running.values():
                run.seen_s = now_s
        self._ticked_s = now_s
        silent = [k for k, r in self.running.items() if now_s - r.seen_s > self.rules.silence_s]
        for cell, attempt in silent:
            reason = f"no sign of life for {self.rules.silence_s:g} s"
            yield from self._lose(cell, attempt, "abandoned", reason, now_s)
        if self._unchecked and self.fleet.hosts:
            self._unchecked = False
            yield from self._refuse()

    def _refuse(self) -> Iterator[Command]:
        """Settle what no known host could ever run; say what waits for a chip."""
        for place, cell in list(self.queue):
            job = self.jobs[cell]
            if reason := self.fleet.refusal(job):
                self.queue.remove((place, cell))
                self.settled.add(cell)
                yield GiveUp(cell, self.made[cell], reason, "placement")
            elif job.family and cell not in self._noted:
                self._noted.add(cell)
                yield Note(cell, f"goes on from a checkpoint, on {job.family} only")

    def _settle(self, cell: str, attempt: int, ok: bool, now_s: float) -> Iterator[Command]:
        run = self.running.pop((cell, attempt))
        host = self.fleet.hosts[run.host]
        if ok:
            host.faults.clear()
            self.speeds.learn(*host.kinds, run.job.work, now_s - run.started_s)
        self.settled.add(cell)
        for other in [a for c, a in self.running if c == cell]:
            del self.running[cell, other]
            yield Stop(cell, other, "cancelled", f"the copy on {run.host} ended first")

    def _lose_host(self, name: str, now_s: float) -> Iterator[Command]:
        if self.fleet.hosts[name].up:
            self.fleet.hosts[name].up = False
            for cell, attempt in [k for k, r in self.running.items() if r.host == name]:
                yield from self._lose(cell, attempt, "lost", f"host {name} was lost", now_s)

    def _lose(
        self, cell: str, attempt: int, outcome: str, reason: str, now_s: float
    ) -> Iterator[Command]:
        host = self.running.pop((cell, attempt)).host
        self.losses.setdefault(cell, []).append(host)
        yield Stop(cell, attempt, outcome, reason)
        if self.fleet.hosts[host].up:
            yield from self._blame(host, cell, now_s)
        if any(c == cell for c, _ in self.running):
            return
        losses = len(self.losses[cell])
        if losses > self.rules.retries:
            self.settled.add(cell)
            yield GiveUp(cell, self.made[cell], reason)
            return
        pauses = self.rules.backoff_s
        self.not_before[cell] = now_s + pauses[min(losses, len(pauses)) - 1]
        insort(self.queue, (self.rank[cell], cell))
        job = self.jobs[cell]
        if job.family and not any(h.of_family(job) for h in self.fleet.usable(now_s)):
            yield Note(
                cell, f"waits for a host with {job.family}, for its checkpoint is from there"
            )

    def _blame(self, name: str, cell: str, now_s: float) -> Iterator[Command]:
        """Count a loss against a host; the last one in use stays in use."""
        faults = self.fleet.blame(name, cell, now_s, self.rules.window_s)
        others = any(h.name != name for h in self.fleet.usable(now_s))
        if faults >= self.rules.faults and others:
            host = self.fleet.hosts[name]
            host.quarantined_until_s = now_s + self.rules.quarantine_s
            host.faults.clear()
            yield Quarantine(
                name,
                f"host {name} lost {faults} cells in a row; it gets none "
                f"for {self.rules.quarantine_s:g} s or until it registers again",
            )

    def _start(self, now_s: float) -> Iterator[Command]:
        outlook = self._outlook(now_s)
        for place, cell in list(self.queue):
            if not outlook.free or outlook.planned >= AHEAD:
                return
            if self.not_before.get(cell, now_s) > now_s:
                continue
            host = outlook.choose(self.jobs[cell], self._shunned(cell, now_s))
            if host is not None:
                self.queue.remove((place, cell))
                yield self._begin(cell, host, now_s)
        if not self.queue:
            while found := outlook.copy(self.running):
                yield self._begin(*found, now_s, copy=True)

    def _shunned(self, cell: str, now_s: float) -> set[str]:
        """Hosts not to use for a cell that was lost twice, as long as there are others."""
        lost_on = self.losses.get(cell, [])
        if len(lost_on) < 2:
            return set()
        job = self.jobs[cell]
        possible = {
            h.name for h in self.fleet.usable(now_s) if h.slots and h.fits(job) and h.of_family(job)
        }
        for shunned in (set(lost_on), {lost_on[-1]}):
            if possible - shunned:
                return shunned
        return set()

    def _begin(self, cell: str, host: str, now_s: float, *, copy: bool = False) -> Start:
        self.made[cell] += 1
        key = (cell, self.made[cell])
        self.running[key] = Running(self.jobs[cell], host, now_s, now_s)
        return Start(cell, host, self.made[cell], copy)
