"""The host on which a cell would end first. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.execution.scheduling.events import Job
from orchestrator.execution.scheduling.fleet import Fleet, Host
from orchestrator.execution.scheduling.speed import Speeds

OVERDUE = 0.1
"""A cell that should have ended is taken to need this share of its time so far."""
TELLING = 0.1
"""Share of the steps after which progress tells more than the estimate."""
GAIN = 0.9
"""A second copy is started where it would take less than this share of the time left."""
GAIN_S = 2.0
"""And save at least so many seconds."""


@dataclass(slots=True)
class Running:
    """One attempt that is under way.

    Attributes:
        job: What.
        host: Where.
        started_s: Since when.
        seen_s: Its last sign of life.
        total_s: How long it will have taken, going by its progress; None before there is some.
    """

    job: Job
    host: str
    started_s: float
    seen_s: float
    total_s: float | None = None

    def see(self, done: float | None, now_s: float) -> None:
        """Take in a sign of life."""
        self.seen_s = now_s
        if done is not None and done >= TELLING:
            self.total_s = (now_s - self.started_s) / done


@dataclass(slots=True)
class _Load:
    """What a host has to do.

    Attributes:
        host: Which host.
        speed: Work per second of one slot; None while nothing is known.
        ready_s: When each slot is free, the earliest first.
        free: Slots with nothing to do and nothing planned.
        ends: (when, memory it then gives back) of what runs.
        memory: Bytes free now; None where nobody counts.
    """

    host: Host
    speed: float | None
    ready_s: list[float]
    free: int
    ends: list[tuple[float, int]]
    memory: int | None

    def can(self, job: Job) -> bool:
        """Whether the host could run a job if nothing else ran on it."""
        return self.host.fits(job) and (job.family is None or self.host.of_family(job))

    def seconds(self, job: Job) -> float | None:
        """How long a job would take; None while nothing is known about speed."""
        return None if self.speed is None else job.work / self.speed

    def idle(self, job: Job) -> bool:
        """Whether a slot and the memory for a job are free now."""
        return self.free > 0 and (self.memory is None or job.memory <= self.memory)

    def starts_s(self, job: Job, now_s: float) -> float:
        """When a slot and the memory for a job are free."""
        return max(self.ready_s[0], self._memory_s(job, now_s))

    def _memory_s(self, job: Job, now_s: float) -> float:
        if self.memory is None or job.memory <= self.memory:
            return now_s
        free = self.memory
        for end_s, given_back in sorted(self.ends):
            free += given_back
            if job.memory <= free:
                return end_s
        return max((end_s for end_s, _ in self.ends), default=now_s)

    def take(self, end_s: float, memory: int, *, now: bool) -> None:
        """Fill the earliest slot, at once or in plan only."""
        self.ready_s[0] = end_s
        self.ready_s.sort()
        self.free = max(0, self.free - 1)
        if now:
            self.ends.append((end_s, memory))
            if self.memory is not None:
                self.memory -= memory


@dataclass(slots=True)
class Outlook:
    """Hosts and what they have to do, as a plan is made.

    Attributes:
        hosts: All that were ever seen, by name.
        speeds: Work per second.
        now_s: Now.
        loads: What those have to do that may be given cells, in the order they registered.
        planned: Cells that wait for a place.
    """

    hosts: dict[str, Host]
    speeds: Speeds
    now_s: float
    loads: list[_Load] = field(default_factory=list)
    planned: int = 0

    @classmethod
    def of(cls, fleet: Fleet, runs: Iterable[Running], speeds: Speeds, now_s: float) -> "Outlook":
        """The hosts with what runs on them."""
        outlook = cls(fleet.hosts, speeds, now_s)
        by_host: dict[str, list[Running]] = {name: [] for name in fleet.hosts}
        for run in runs:
            by_host[run.host].append(run)
        usable = [h for h in fleet.usable(now_s) if h.slots > 0]
        outlook.loads = [outlook._load(h, by_host[h.name]) for h in usable]
        return outlook

    def _load(self, host: Host, runs: list[Running]) -> _Load:
        ends = [(self.now_s + self.left_s(r), r.job.memory) for r in runs]
        free = max(0, host.slots - len(runs))
        latest = sorted(end for end, _ in ends)[-host.slots :]
        used = sum(m for _, m in ends)
        memory = None if host.memory is None else host.memory - used
        speed = self.speeds.of(*host.kinds)
        return _Load(host, speed, [self.now_s] * free + latest, free, ends, memory)

    @property
    def free(self) -> bool:
        """Whether any slot has nothing to do and nothing planned."""
        return any(load.free for load in self.loads)

    def left_s(self, run: Running) -> float:
        """Seconds until an attempt ends, as far as one can tell."""
        elapsed = self.now_s - run.started_s
        speed = self.speeds.of(*self.hosts[run.host].kinds)
        total_s = run.total_s or (run.job.work / speed if speed else 0.0)
        return max(total_s - elapsed, OVERDUE * elapsed)

    def choose(self, job: Job, shunned: set[str]) -> str | None:
        """The host to start a job on now, or None: it waits for a place that is planned."""
        best: _Load | None = None
        best_s, most_free = math.inf, 0
        for load in self.loads:
            seconds = load.seconds(job)
            if load.host.name in shunned or not load.can(job):
                continue
            if seconds is None and not load.idle(job):
                continue
            end_s = load.starts_s(job, self.now_s) + (seconds or 0.0)
            if end_s < best_s or (end_s == best_s and load.free > most_free):
                best, best_s, most_free = load, end_s, load.free
        if best is None:
            return None
        now = best.idle(job)
        self.planned += not now
        best.take(best_s, job.memory, now=now)
        return best.host.name if now else None

    def copy(self, running: Mapping[tuple[str, int], Running]) -> tuple[str, str] | None:
        """(cell, host) of a second copy that is worth it, that of the slowest cell first."""
        copies = Counter(cell for cell, _ in running)
        alone = [(self.left_s(r), cell, r) for (cell, _), r in running.items() if copies[cell] == 1]
        for left_s, cell, run in sorted(alone, key=lambda a: -a[0]):
            for load in self.loads:
                seconds = load.seconds(run.job)
                idle = load.host.name != run.host and load.can(run.job) and load.idle(run.job)
                if not idle or seconds is None or not self.speeds.known(load.host.kinds[0]):
                    continue
                if seconds < min(GAIN * left_s, left_s - GAIN_S):
                    load.take(self.now_s + seconds, run.job.memory, now=True)
                    return cell, load.host.name
        return None
