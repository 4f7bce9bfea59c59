"""What a schedule is told, and what it orders: frozen records."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Job:
    """A cell as the schedule sees it.

    Attributes:
        cell: Its id.
        work: Estimated effort, > 0, in any unit that all jobs share.
        memory: Estimated peak, bytes.
        family: Chip family that it must stay on, for it goes on from a checkpoint made there.
    """

    cell: str
    work: float = 1.0
    memory: int = 0
    family: str | None = None


@dataclass(frozen=True, slots=True)
class HostUp:
    """A host offers slots; said again when something about it changes.

    Attributes:
        host: Its name.
        slots: Cells at once.
        memory: Bytes that all its cells may use together; None where nobody counts.
        chip: e.g. `Apple M2 Ultra`; empty where unknown.
    """

    host: str
    slots: int
    memory: int | None = None
    chip: str = ""


@dataclass(frozen=True, slots=True)
class HostLost:
    """A host is gone, with all that ran on it."""

    host: str


@dataclass(frozen=True, slots=True)
class Settled:
    """An attempt ended with something to store.

    Attributes:
        cell, attempt: Which.
        ok: Whether it ran to its end; an error it raised says nothing about speed.
    """

    cell: str
    attempt: int
    ok: bool = True


@dataclass(frozen=True, slots=True)
class Lost:
    """The process of an attempt is gone without a word."""

    cell: str
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class Alive:
    """An attempt gave a sign of life.

    Attributes:
        cell, attempt: Which.
        done: Share of its optimizer steps; None where it did not say.
    """

    cell: str
    attempt: int
    done: float | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """From now on a cell must stay on one chip family, or on none in particular."""

    cell: str
    family: str | None


@dataclass(frozen=True, slots=True)
class Tick:
    """Time went by."""


Event = HostUp | HostLost | Settled | Lost | Alive | Bound | Tick


@dataclass(frozen=True, slots=True)
class Start:
    """Run a cell on a host.

    Attributes:
        cell, host: What and where.
        attempt: Counted per cell, from 1, over all launches.
        copy: Whether the cell also runs on another host.
    """

    cell: str
    host: str
    attempt: int
    copy: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """An attempt is over without a result of use; end what may be left of it.

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
    """Store a failure: the cell was lost too often, or no host can run it.

    Attributes:
        cell: Which.
        attempt: Attempts made; 0 for a cell that never started.
        reason: Why, for people.
        stage: `process`, or `placement` where no host can run it.
    """

    cell: str
    attempt: int
    reason: str
    stage: str = "process"


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A host gets no cells for a while; tell people."""

    host: str
    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth a line about a cell."""

    cell: str
    text: str


Command = Start | Stop | GiveUp | Quarantine | Note
