"""The host on which a cell would end first. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator.events import Job
from orchestrator.fleet import Fleet, Host
from orchestrator.speed import Speeds

OVERDUE = 0.1
"""A cell that should have ended is taken to need this share of its time so far."""
TELLING = 0.1
"""Share of the steps after which progress tells more than the estimate."""
GAIN = 0.9
"""A second copy is started where it would take less than this share of the time left."""
GAIN_S = 2.0
"""And save at least so many seconds."""


@dataclass(slots=True)
class Run:
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
        ready_s: When each slot is free, the earliest first.
        free: Slots with nothing to do and nothing planned.
        ends: (when, memory it then gives back) of what runs.
        memory: Bytes free now; None where nobody counts.
    """

    ready_s: list[float]
    free: int
    ends: list[tuple[float, int]]
    memory: int | None

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
        usable: Those that may be given cells, in the order they registered.
        speeds: Work per second.
        now_s: Now.
        loads: Usable host with slots -> what it has to do.
    """

    hosts: dict[str, Host]
    usable: list[Host]
    speeds: Speeds
    now_s: float
    loads: dict[str, _Load] = field(default_factory=dict)

    @classmethod
    def of(cls, fleet: Fleet, runs: Iterable[Run], speeds: Speeds, now_s: float) -> "Outlook":
        """The hosts with what runs on them."""
        outlook = cls(fleet.hosts, list(fleet.usable(now_s)), speeds, now_s)
        by_host: dict[str, list[Run]] = {name: [] for name in fleet.hosts}
        for run in runs:
            by_host[run.host].append(run)
        for host in outlook.usable:
            if host.slots > 0:
                outlook.loads[host.name] = outlook._load(host, by_host[host.name])
        return outlook

    def _load(self, host: Host, runs: list[Run]) -> _Load:
        ends = [(self.now_s + self.left_s(r), r.job.memory) for r in runs]
        free = max(0, host.slots - len(runs))
        latest = sorted(end for end, _ in ends)[-host.slots :]
        used = sum(m for _, m in ends)
        memory = None if host.memory is None else host.memory - used
        return _Load([self.now_s] * free + latest, free, ends, memory)

    @property
    def free(self) -> bool:
        """Whether any slot has nothing to do and nothing planned."""
        return any(load.free for load in self.loads.values())

    def duration_s(self, host: Host, job: Job) -> float | None:
        """Seconds a job would take; None while nothing is known about speed."""
        speed = self.speeds.of(*host.kinds)
        return None if speed is None else job.work / speed

    def left_s(self, run: Run) -> float:
        """Seconds until an attempt ends, as far as one can tell."""
        elapsed = self.now_s - run.started_s
        seconds = run.total_s or self.duration_s(self.hosts[run.host], run.job)
        overdue = OVERDUE * elapsed
        return overdue if seconds is None else max(seconds - elapsed, overdue)

    def choose(self, job: Job, shunned: set[str]) -> str | None:
        """The host to start a job on now, or None: it waits for a place that is planned."""
        found: list[tuple[float, int, str]] = []
        for host in self._able(job):
            if host.name in shunned:
                continue
            load = self.loads[host.name]
            start_s = load.starts_s(job, self.now_s)
            seconds = self.duration_s(host, job)
            if seconds is not None or load.idle(job):
                found.append((start_s + (seconds or 0.0), -load.free, host.name))
        if not found:
            return None
        end_s, _, name = min(found, key=lambda f: f[:2])
        load = self.loads[name]
        now = load.idle(job)
        load.take(end_s, job.memory, now=now)
        return name if now else None

    def copy(self, running: Mapping[tuple[str, int], Run]) -> tuple[str, str] | None:
        """(cell, host) of a second copy that is worth it, that of the slowest cell first."""
        copies = Counter(cell for cell, _ in running)
        alone = [(self.left_s(r), cell, r) for (cell, _), r in running.items() if copies[cell] == 1]
        for left_s, cell, run in sorted(alone, key=lambda a: -a[0]):
            for host in self._able(run.job):
                load = self.loads[host.name]
                seconds = self.duration_s(host, run.job)
                if host.name == run.host or not load.idle(run.job) or seconds is None:
                    continue
                if seconds < min(GAIN * left_s, left_s - GAIN_S) and self.speeds.known(
                    host.kinds[0]
                ):
                    load.take(self.now_s + seconds, run.job.memory, now=True)
                    return cell, host.name
        return None

    def _able(self, job: Job) -> Iterator[Host]:
        """Hosts in use that can run a job."""
        able = (h for h in self.usable if h.fits(job) and h.of_family(job))
        return (h for h in able if h.name in self.loads)
