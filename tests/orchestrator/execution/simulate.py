"""Simulates a cluster: different hosts and cells, random faults, without Ray and without waiting.

Run as a module, it prints for some seeds how far the end is from the lower bound.
"""

import heapq
import itertools
import random
import statistics
from dataclasses import dataclass, field

from orchestrator.execution.scheduling.hosts import HostUp, Job
from orchestrator.execution.scheduling.schedule import (
    Event,
    GiveUp,
    HostLost,
    Lost,
    Rules,
    Schedule,
    Settled,
    Start,
    Stop,
    Tick,
)

GB = 2**30
TICK_S = 5.0
HOSTS = (
    # name, slots, GiB, chip, work per second of one slot
    ("air", 1, 16, "Apple M1", 1.0),
    ("mini", 1, 24, "Apple M2", 1.3),
    ("mini-pro", 1, 32, "Apple M2 Pro", 2.0),
    ("max", 1, 64, "Apple M1 Max", 2.8),
    ("studio-1", 1, 96, "Apple M2 Max", 3.5),
    ("studio-2", 2, 128, "Apple M2 Ultra", 3.0),
    ("studio-3", 2, 192, "Apple M2 Ultra", 3.0),
    ("studio-4", 1, 128, "Apple M4 Max", 5.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How often which fault occurs.

    Attributes:
        worker_per_cell: Chance that the process of an attempt dies before the end.
        wedged_per_cell: Chance that an attempt stops giving signs of life, and never ends.
        host_every_s: Mean seconds between two losses of a host, over all hosts.
        host_down_s: Seconds until a lost host is back.
        spread: Standard deviation of log(duration / estimate).
    """

    worker_per_cell: float = 0.02
    wedged_per_cell: float = 0.003
    host_every_s: float = 3600.0
    host_down_s: float = 60.0
    spread: float = 0.05


@dataclass(slots=True)
class Simulation:
    """One sweep on simulated hosts.

    Attributes:
        jobs: The cells.
        faults: What goes wrong.
        chance: Random generator that decides which faults occur, and when.
        ends: Cell -> how many times it settled.
        full_runs: Attempts that ran to their end.
        end_s: When the last cell settled.
    """

    jobs: list[Job]
    faults: Faults
    chance: random.Random
    rules: Rules = field(default_factory=lambda: Rules(silence_s=60))
    now_s: float = 0.0
    ends: dict[str, int] = field(default_factory=dict)
    full_runs: int = 0
    end_s: float = 0.0
    _queue: list[tuple[float, int, Event]] = field(default_factory=list)
    _number: "itertools.count[int]" = field(default_factory=itertools.count)
    _running: dict[tuple[str, int], str] = field(default_factory=dict)
    _wedged: set[tuple[str, int]] = field(default_factory=set)

    def run(self) -> float:
        """Run to the end; returns the time of the end, seconds."""
        schedule = Schedule.of(self.jobs, {}, self.rules)
        speed = {name: s for name, _, _, _, s in HOSTS}
        works = {j.cell: j.work for j in self.jobs}
        for name, slots, memory, chip, _ in HOSTS:
            self._at(0.0, HostUp(name, slots, memory * GB, chip))
        self._at(TICK_S, Tick())
        self._at(self._next_fault(), HostLost(self.chance.choice(HOSTS)[0]))
        while not schedule.finished:
            self.now_s, _, event = heapq.heappop(self._queue)
            if not self._happens(event, schedule):
                continue
            for command in schedule.handle(event, self.now_s):
                match command:
                    case Start(cell, host, attempt):
                        self._running[cell, attempt] = host
                        self._fate(cell, attempt, works[cell] / speed[host])
                    case Stop(cell, attempt):
                        self._running.pop((cell, attempt), None)
                        self._wedged.discard((cell, attempt))
                    case GiveUp(cell):
                        self._settle(cell)
        return self.end_s

    def _happens(self, event: Event, schedule: Schedule) -> bool:
        match event:
            case Settled(cell, attempt) | Lost(cell, attempt):
                if self._running.pop((cell, attempt), None) is None:
                    return False
                if isinstance(event, Settled):
                    self.full_runs += 1
                    self._settle(cell)
            case HostLost(host):
                back = next(HostUp(n, s, m * GB, c) for n, s, m, c, _ in HOSTS if n == host)
                self._at(self.now_s + self.faults.host_down_s, back)
                following = HostLost(self.chance.choice(HOSTS)[0])
                self._at(self.now_s + self._next_fault(), following)
            case Tick():
                self._at(self.now_s + TICK_S, Tick())
                for key, run in schedule.running.items():
                    if key not in self._wedged:
                        run.seen_s = self.now_s
        return True

    def _settle(self, cell: str) -> None:
        self.ends[cell] = self.ends.get(cell, 0) + 1
        self.end_s = self.now_s

    def _fate(self, cell: str, attempt: int, seconds: float) -> None:
        """Decide, when an attempt starts, how it will end."""
        seconds *= self.chance.lognormvariate(0, self.faults.spread)
        luck = self.chance.random()
        if luck < self.faults.wedged_per_cell:
            self._wedged.add((cell, attempt))
        elif luck < self.faults.wedged_per_cell + self.faults.worker_per_cell:
            self._at(self.now_s + seconds * self.chance.random(), Lost(cell, attempt, "killed"))
        else:
            self._at(self.now_s + seconds, Settled(cell, attempt))

    def _next_fault(self) -> float:
        return self.chance.expovariate(1 / self.faults.host_every_s)

    def _at(self, when_s: float, event: Event) -> None:
        heapq.heappush(self._queue, (when_s, next(self._number), event))


def cells(chance: random.Random, count: int = 200) -> list[Job]:
    """Cells of different length and memory; a few need one of the large hosts."""
    sizes = (6, 6, 6, 12, 20, 80)
    return [
        Job(f"c{i}", 600 * chance.lognormvariate(0, 0.6), chance.choice(sizes) * GB)
        for i in range(count)
    ]


def lower_bound_s(jobs: list[Job]) -> float:
    """No schedule can end before this: all hosts busy all the time, or the longest cell alone."""
    total = sum(speed * slots for _, slots, _, _, speed in HOSTS)
    return max(sum(j.work for j in jobs) / total, max(j.work for j in jobs) / 5.0)


def ratio(seed: int, faults: Faults) -> float:
    """End time / lower bound, for one seed."""
    chance = random.Random(seed)
    jobs = cells(chance)
    simulation = Simulation(jobs, faults, chance)
    return simulation.run() / lower_bound_s(jobs)


if __name__ == "__main__":
    for name, faults in (
        ("no faults", Faults(worker_per_cell=0, wedged_per_cell=0, host_every_s=1e12, spread=0)),
        ("faults", Faults()),
    ):
        found = sorted(ratio(seed, faults) for seed in range(21))
        print(f"{name}: median {statistics.median(found):.4f}, worst {found[-1]:.4f}")
