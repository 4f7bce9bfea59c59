"""Which cell runs where and when. Pure: events in, commands out, no clock and no network."""

import math
from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from orchestrator.execution.scheduling.hosts import Fleet, HostUp, Job, Outlook, Running
from orchestrator.execution.scheduling.speed import Speeds

AHEAD = 500
"""Waiting cells that are planned at most, so that a long queue costs little time. A host that suits
none of them stays idle until the queue is shorter."""


@dataclass(frozen=True, slots=True)
class HostLost:
    """Event: a host is gone, with all that ran on it."""

    host: str


@dataclass(frozen=True, slots=True)
class Settled:
    """Event: an attempt ended with something to store, which may not be on the disk yet.

    Attributes:
        cell, attempt: Which.
        ok: Whether its duration tells the speed of its host: it did the whole cell, without error.
    """

    cell: str
    attempt: int
    ok: bool = True


@dataclass(frozen=True, slots=True)
class Lost:
    """Event: the process of an attempt died without a result."""

    cell: str
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class Alive:
    """Event: an attempt gave a sign of life.

    Attributes:
        cell, attempt: Which.
        done: Share of its optimizer steps that are done; None if it did not say.
    """

    cell: str
    attempt: int
    done: float | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """Event: a cell may run on one chip family only from now on; None: on any."""

    cell: str
    family: str | None


@dataclass(frozen=True, slots=True)
class Tick:
    """Event: time went by. Sent with every look at the engine."""


Event = HostUp | HostLost | Settled | Lost | Alive | Bound | Tick


@dataclass(frozen=True, slots=True)
class Start:
    """Command: run a cell on a host.

    Attributes:
        cell, host: What runs where.
        attempt: Counted per cell, from 1, over all launches.
        copy: Whether the cell also runs on another host.
    """

    cell: str
    host: str
    attempt: int
    copy: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Command: end an attempt, whose result is not wanted any more.

    Attributes:
        cell, attempt: Which.
        outcome: `lost`, `abandoned` (no sign of life) or `cancelled` (another copy was first).
        reason: Why, for people.
    """

    cell: str
    attempt: int
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Command: store a failure: the cell was lost too often, or no host can run it.

    Attributes:
        cell: Which.
        attempt: Attempts made; 0 for a cell that never started.
        reason: Why, for people.
        stage: `process`, or `placement` where no host can run it.
        host: Of the attempt that was lost last; None for `placement`.
    """

    cell: str
    attempt: int
    reason: str
    stage: str = "process"
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Command: tell people that a host gets no cells for a while."""

    host: str
    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """Command: tell people something about a cell."""

    cell: str
    text: str


Command = Start | Stop | GiveUp | Quarantine | Note


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Limits of a schedule.

    Attributes:
        retries: Attempts after the first for a cell whose process was lost.
        backoff_s: Pauses before the second attempt, the third, and so on; the last one repeats.
        silence_s: An attempt that gives no sign of life for so long is abandoned.
        faults: Distinct losses within `window_s` after which a host is quarantined.
        window_s: Seconds in which `faults` counts.
        quarantine_s: How long a host in quarantine gets no cells.
    """

    retries: int = 3
    backoff_s: tuple[float, ...] = (1.0, 5.0, 30.0)
    silence_s: float = 180.0
    faults: int = 3
    window_s: float = 900.0
    quarantine_s: float = 900.0


@dataclass(slots=True)
class Schedule:
    """Decides what a launch does: give it every event, carry out every command it returns.

    A lost host: `HostLost` ends every attempt that ran there (`Stop`). Each cell goes back into the
    queue with a pause, and starts again on the host that is then the best; from the second loss on
    that is another host, if one can run the cell. After `Rules.retries` losses the cell is given
    up. An attempt without a sign of life is ended the same way. A host that is up and loses several
    cells is quarantined; one that comes back (`HostUp`) is used again.

    Attributes:
        rules: The limits.
        jobs: Cell -> job.
        rank: Cell -> place in the queue, by turn and then longest first.
        queue: (rank, cell) of what waits, in order.
        not_before: Waiting cell -> time before which it does not start.
        running: (cell, attempt) -> where it runs, and since when.
        made: Cell -> attempts made, earlier launches included.
        losses: Cell -> hosts on which it was lost in this launch, in order.
        settled: Cells that ended, failed ones too, or were given up. In `results.store` it means
            scored or diverged.
        fleet: The hosts.
        speeds: Learned from cells that ended.
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
        order = sorted(by_cell.values(), key=lambda j: (j.turn, -j.work))
        rank = {j.cell: i for i, j in enumerate(order)}
        queue = [(i, cell) for cell, i in rank.items()]
        made = {cell: attempts.get(cell, 0) for cell in by_cell}
        return cls(rules=rules, jobs=by_cell, rank=rank, queue=queue, made=made)

    @property
    def finished(self) -> bool:
        """Whether nothing waits or runs."""
        return not self.queue and not self.running

    def handle(self, event: Event, now_s: float) -> list[Command]:
        """Take in one event; returns the commands that follow from it, in order."""
        commands: list[Command] = []
        match event:
            case HostUp():
                self.fleet.register(event)
                self._unchecked = True
            case HostLost(name) if (host := self.fleet.hosts.get(name)) and host.up:
                host.up = False
                for key in [k for k, r in self.running.items() if r.host == name]:
                    commands += self._lose(*key, "lost", f"host {name} was lost", now_s)
            case Settled(cell, attempt, ok) if (cell, attempt) in self.running:
                commands += self._settle(cell, attempt, ok, now_s)
            case Lost(cell, attempt, reason) if (cell, attempt) in self.running:
                commands += self._lose(cell, attempt, "lost", reason, now_s)
            case Alive(cell, attempt, done) if (cell, attempt) in self.running:
                self.running[cell, attempt].see(done, now_s)
                return []
            case Bound(cell, family) if cell in self.jobs:
                job = self.jobs[cell]
                self.jobs[cell] = replace(job, family=family)
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
        # A driver that was suspended missed the signs of life itself: count silence from now on.
        if now_s - self._ticked_s > self.rules.silence_s / 2:
            for run in self.running.values():
                run.seen_s = now_s
        self._ticked_s = now_s
        silent = [k for k, r in self.running.items() if now_s - r.seen_s > self.rules.silence_s]
        for cell, attempt in silent:
            reason = f"no sign of life for {self.rules.silence_s:g} s"
            yield from self._lose(cell, attempt, "abandoned", reason, now_s)
        if not self._unchecked or not self.fleet.hosts:
            return
        self._unchecked = False
        # On a tick and not at once, so that all hosts of the start have registered.
        for place, cell in list(self.queue):
            job = self.jobs[cell]
            if refusal := self.fleet.refusal(job):
                self.queue.remove((place, cell))
                self.settled.add(cell)
                yield GiveUp(cell, self.made[cell], refusal, "placement")
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

    def _lose(
        self, cell: str, attempt: int, outcome: str, reason: str, now_s: float
    ) -> Iterator[Command]:
        """End an attempt; its cell waits for the next one, or is given up."""
        host = self.running.pop((cell, attempt)).host
        self.losses.setdefault(cell, []).append(host)
        yield Stop(cell, attempt, outcome, reason)
        if self.fleet.hosts[host].up:
            yield from self._blame(host, cell, now_s)
        if any(c == cell for c, _ in self.running):
            return  # its other copy goes on
        losses = len(self.losses[cell])
        if losses > self.rules.retries:
            self.settled.add(cell)
            yield GiveUp(cell, self.made[cell], reason, host=host)
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
        """Count a loss against a host, and quarantine it, unless it is the last one in use."""
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
        """Hosts not to use for a cell that was lost twice; none if no other host could run it."""
        lost_on = self.losses.get(cell, [])
        if len(lost_on) < 2:
            return set()
        job = self.jobs[cell]
        possible = {
            h.name for h in self.fleet.usable(now_s) if h.slots and h.fits(job) and h.of_family(job)
        }
        for shunned in (set(lost_on), {lost_on[-1]}):  # all of them, or at least the last one
            if possible - shunned:
                return shunned
        return set()

    def _begin(self, cell: str, host: str, now_s: float, *, copy: bool = False) -> Start:
        self.made[cell] += 1
        key = (cell, self.made[cell])
        self.running[key] = Running(self.jobs[cell], host, now_s, now_s)
        return Start(cell, host, self.made[cell], copy)
