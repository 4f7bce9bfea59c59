"""The hosts of a launch and where a cell would end first: slots, memory, chips, faults. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator.execution.scheduling.speed import Kind, Speeds
from tasks.model.machine import family

OVERDUE = 0.1
"""A cell that has outrun its estimate is expected to need this share of its time so far."""
TELLING = 0.1
"""Share of the steps from which on the time left is estimated from progress, not from speed."""
GAIN = 0.9
"""A second copy of a cell is started only if it takes less than this share of the time left,"""
GAIN_S = 2.0
"""and ends at least so many seconds before the first copy."""


@dataclass(frozen=True, slots=True)
class Job:
    """A cell as the schedule sees it.

    Attributes:
        cell: Its id.
        work: Estimated effort, > 0, in any unit that all jobs share.
        memory: Estimated peak, bytes.
        family: Chip family of its checkpoint; the cell may run on such chips only. None: on any.
        turn: Lower turns start first: each arm's first seed, then each arm's second.
    """

    cell: str
    work: float = 1.0
    memory: int = 0
    family: str | None = None
    turn: int = 0


@dataclass(frozen=True, slots=True)
class HostUp:
    """Event: a host offers slots. Sent again when its slots, memory or chip change.

    Attributes:
        host: Its name.
        slots: Cells at once.
        memory: Bytes that all its cells may use together; None for no limit.
        chip: e.g. `Apple M2 Ultra`; empty where unknown.
        system: e.g. `Darwin 24.5.0`, likewise.
    """

    host: str
    slots: int
    memory: int | None = None
    chip: str = ""
    system: str = ""

    @property
    def family(self) -> str:
        """Machines that compute the same bits."""
        return family(self.chip, self.system) if self.chip else ""


@dataclass(slots=True)
class Host:
    """One host.

    Attributes:
        name, slots, memory, chip, family: As in its `HostUp`.
        up: False from its loss until it registers again.
        quarantined_until_s: It gets no cells before that time.
        faults: (time, cell) of each attempt lost here since the last cell that ended here.
    """

    name: str
    slots: int
    memory: int | None
    chip: str
    family: str
    up: bool = True
    quarantined_until_s: float = 0.0
    faults: list[tuple[float, str]] = field(default_factory=list)

    @property
    def kinds(self) -> tuple[Kind, Kind]:
        """Keys of its speed records: (chip, slots) and (name, slots)."""
        return (self.chip, self.slots), (self.name, self.slots)

    def fits(self, job: Job) -> bool:
        """Whether the job's memory fits if nothing else runs here."""
        return self.memory is None or job.memory <= self.memory

    def of_family(self, job: Job) -> bool:
        """Whether the job may run on this chip."""
        return job.family in (None, self.family)


@dataclass(slots=True)
class Fleet:
    """All hosts that were ever seen in this launch, by name."""

    hosts: dict[str, Host] = field(default_factory=dict)

    def register(self, event: HostUp) -> None:
        """Add or update a host; one that comes back after a loss has no faults."""
        known = self.hosts.get(event.host)
        facts = (event.slots, event.memory, event.chip, event.family)
        if known is None or not known.up:
            self.hosts[event.host] = Host(event.host, *facts)
        else:
            known.slots, known.memory, known.chip, known.family = facts

    def usable(self, now_s: float) -> Iterator[Host]:
        """Hosts that are up and not in quarantine."""
        return (h for h in self.hosts.values() if h.up and h.quarantined_until_s <= now_s)

    def blame(self, name: str, cell: str, now_s: float, window_s: float) -> int:
        """Record that a cell was lost on a host.

        Returns:
            How many different cells it lost in the last `window_s` seconds. A cell that is lost
            again and again counts once: the cell may be the cause.
        """
        host = self.hosts[name]
        host.faults = [(at, c) for at, c in host.faults if at > now_s - window_s]
        host.faults.append((now_s, cell))
        return len({c for _, c in host.faults})

    def refusal(self, job: Job) -> str | None:
        """Why no host seen so far could ever run a job, with the numbers; None if one could."""
        kin = [h for h in self.hosts.values() if h.of_family(job)]
        if not kin:
            return (
                f"its checkpoint belongs to chip family {job.family}, and no host of the cluster "
                "has such a chip; add one, or delete the checkpoint"
            )
        if any(h.fits(job) for h in kin):
            return None
        largest = max(kin, key=lambda h: h.memory or 0)
        return (
            f"needs about {_gib(job.memory)}, and the largest host, {largest.name}, "
            f"offers {_gib(largest.memory or 0)}; lower train.batch_size or train.max_length"
        )


@dataclass(slots=True)
class Running:
    """One attempt that is under way.

    Attributes:
        job, host: What runs where.
        started_s: When it began.
        seen_s: When its last sign of life came.
        total_s: Its whole duration, estimated from its progress; None before `TELLING`.
    """

    job: Job
    host: str
    started_s: float
    seen_s: float
    total_s: float | None = None

    def see(self, done: float | None, now_s: float) -> None:
        """Record a sign of life; `done` is the share of its steps, None if unknown."""
        self.seen_s = now_s
        if done is not None and done >= TELLING:
            self.total_s = (now_s - self.started_s) / done


@dataclass(slots=True)
class _Load:
    """What one host has to do, while a plan is made.

    Attributes:
        host: Which host.
        speed: Work per second of one slot; None while nothing is known.
        ready_s: When each slot is free, the earliest first.
        free: Slots with nothing to do and nothing planned.
        ends: (time, bytes that are then free again) of each cell that runs.
        memory: Bytes free now; None for no limit.
    """

    host: Host
    speed: float | None
    ready_s: list[float]
    free: int
    ends: list[tuple[float, int]]
    memory: int | None

    def can(self, job: Job) -> bool:
        """Whether the host could run a job if nothing else ran on it, by memory and chip family."""
        return self.host.fits(job) and (job.family is None or self.host.of_family(job))

    def seconds(self, job: Job) -> float | None:
        """How long a job would take; None while nothing is known about speed."""
        return None if self.speed is None else job.work / self.speed

    def idle(self, job: Job) -> bool:
        """Whether a slot and the memory for a job are free now."""
        return self.free > 0 and (self.memory is None or job.memory <= self.memory)

    def starts_s(self, job: Job, now_s: float) -> float:
        """When both a slot and the memory for a job will be free."""
        memory_s = now_s
        if self.memory is not None:
            free = self.memory
            for end_s, given_back in sorted(self.ends):
                if job.memory <= free:
                    break
                free += given_back
                memory_s = end_s
        return max(self.ready_s[0], memory_s)

    def take(self, end_s: float, memory: int, *, now: bool) -> None:
        """Give a job the slot that is free first: it starts now, or is only planned there."""
        self.ready_s[0] = end_s
        self.ready_s.sort()
        self.free = max(0, self.free - 1)
        if now:
            self.ends.append((end_s, memory))
            if self.memory is not None:
                self.memory -= memory


@dataclass(slots=True)
class Outlook:
    """The plan for one moment: which host would end each job first.

    Attributes:
        hosts: All hosts seen in this launch, by name.
        speeds: What is known about their speed.
        now_s: The moment.
        loads: Hosts that may be given cells, in the order in which they registered.
        planned: Cells for which `choose` has planned a busy slot.
    """

    hosts: dict[str, Host]
    speeds: Speeds
    now_s: float
    loads: list[_Load] = field(default_factory=list)
    planned: int = 0

    @classmethod
    def of(cls, fleet: Fleet, runs: Iterable[Running], speeds: Speeds, now_s: float) -> "Outlook":
        """The plan at `now_s`, given what runs."""
        outlook = cls(fleet.hosts, speeds, now_s)
        by_host: dict[str, list[Running]] = {name: [] for name in fleet.hosts}
        for run in runs:
            by_host[run.host].append(run)
        usable = [h for h in fleet.usable(now_s) if h.slots > 0]
        for host in usable:
            here = by_host[host.name]
            ends = [(now_s + outlook.left_s(r), r.job.memory) for r in here]
            free = max(0, host.slots - len(here))
            # a host that lowered its slots still runs more cells than it has slots
            latest = sorted(end for end, _ in ends)[-host.slots :]
            memory = None if host.memory is None else host.memory - sum(m for _, m in ends)
            speed = speeds.of(*host.kinds)
            load = _Load(host, speed, [now_s] * free + latest, free, ends, memory)
            outlook.loads.append(load)
        return outlook

    @property
    def free(self) -> bool:
        """Whether any slot has nothing to do and nothing planned."""
        return any(load.free for load in self.loads)

    def left_s(self, run: Running) -> float:
        """Estimated seconds until an attempt ends."""
        elapsed = self.now_s - run.started_s
        speed = self.speeds.of(*self.hosts[run.host].kinds)
        total_s = run.total_s or (run.job.work / speed if speed else 0.0)
        return max(total_s - elapsed, OVERDUE * elapsed)

    def choose(self, job: Job, shunned: set[str]) -> str | None:
        """The host on which a job starts now; None if it waits, for a busy slot would end it first.

        Args:
            job: What to place; its slot is taken, in this plan.
            shunned: Names of hosts not to use.
        """
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
        """(cell, host) of a second copy that would end earlier; cells with most time left first."""
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


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
