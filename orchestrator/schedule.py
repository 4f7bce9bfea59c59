"""Which cell runs where and when. Pure: events in, commands out, no clock and no network."""

from collections.abc import Iterable
from dataclasses import dataclass, field

BACKOFF_S = (1.0, 5.0, 30.0)
"""Pause before each further attempt at a cell whose process was lost."""


@dataclass(frozen=True, slots=True)
class HostUp:
    """A host offers slots; said again when their number changes."""

    host: str
    slots: int


@dataclass(frozen=True, slots=True)
class HostLost:
    """A host is gone, with all that ran on it."""

    host: str


@dataclass(frozen=True, slots=True)
class Settled:
    """A cell ended with something to store: a result, or an error it raised."""

    cell: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The process of a cell is gone without a word."""

    cell: str
    reason: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time went by."""


Event = HostUp | HostLost | Settled | Lost | Tick


@dataclass(frozen=True, slots=True)
class Start:
    """Run a cell on a host."""

    cell: str
    host: str
    attempt: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Store a failure: the cell's process was lost too often."""

    cell: str
    attempt: int
    reason: str


Command = Start | GiveUp


@dataclass(slots=True)
class _Waiting:
    attempt: int
    not_before_s: float


@dataclass(slots=True)
class Schedule:
    """State of a launch; feed it every event, do every command.

    Attributes:
        retries: Attempts after the first for a cell whose process was lost.
        waiting: Cell -> next attempt, in the order cells are to start.
        running: Cell -> (host, attempt).
        free: Host -> free slots; below 0 while a host runs more than it has come to offer.
        settled: Cells that need nothing more.
        losses: Cell -> times its process was lost in this launch.
    """

    retries: int
    waiting: dict[str, _Waiting] = field(default_factory=dict)
    running: dict[str, tuple[str, int]] = field(default_factory=dict)
    free: dict[str, int] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    losses: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, cells: Iterable[str], attempts: dict[str, int], retries: int) -> "Schedule":
        """A schedule for cells, in order; `attempts` counts those made in earlier launches."""
        waiting = {c: _Waiting(attempts.get(c, 0) + 1, 0.0) for c in cells}
        return cls(retries=retries, waiting=waiting)

    @property
    def finished(self) -> bool:
        """Whether nothing waits or runs."""
        return not self.waiting and not self.running

    def handle(self, event: Event, now_s: float) -> list[Command]:
        """Take in one event; returns what to do, in order."""
        commands: list[Command] = []
        match event:
            case HostUp(host, slots):
                self.free[host] = slots - sum(h == host for h, _ in self.running.values())
            case HostLost(host):
                self.free.pop(host, None)
                for cell in [c for c, (h, _) in self.running.items() if h == host]:
                    commands += self._lose(cell, f"host {host} was lost", now_s)
            case Settled(cell):
                if cell in self.running:
                    self._release(cell)
                    self.settled.add(cell)
            case Lost(cell, reason):
                if cell in self.running:
                    commands += self._lose(cell, reason, now_s)
            case Tick():
                pass
        return commands + self._start(now_s)

    def _release(self, cell: str) -> int:
        host, attempt = self.running.pop(cell)
        if host in self.free:
            self.free[host] += 1
        return attempt

    def _lose(self, cell: str, reason: str, now_s: float) -> list[Command]:
        attempt = self._release(cell)
        losses = self.losses[cell] = self.losses.get(cell, 0) + 1
        if losses > self.retries:
            self.settled.add(cell)
            return [GiveUp(cell, attempt, reason)]
        pause = BACKOFF_S[min(losses, len(BACKOFF_S)) - 1]
        self.waiting[cell] = _Waiting(attempt + 1, now_s + pause)
        return []

    def _start(self, now_s: float) -> list[Command]:
        commands: list[Command] = []
        ready = [c for c, w in self.waiting.items() if w.not_before_s <= now_s]
        for cell in ready:
            host = max(self.free, key=lambda h: self.free[h], default=None)
            if host is None or self.free[host] < 1:
                break
            waiting = self.waiting.pop(cell)
            self.free[host] -= 1
            self.running[cell] = (host, waiting.attempt)
            commands.append(Start(cell, host, waiting.attempt))
        return commands
