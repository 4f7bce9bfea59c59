"""Live progress of a launch, on stderr: a panel on a terminal, plain lines elsewhere."""

import sys
import time
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tasks.contract.cell import Progress, Status

CELLS = "cells"


class Display(Protocol):
    """What a launch tells people while it runs."""

    def begin(self, *, total: int, done: int, linked: int, what: str = CELLS) -> None:
        """The launch knows how many cells there are, or units of another kind."""

    def running(self, cells: dict[str, Progress | None], left_s: float | None = None) -> None:
        """What runs now, by label; and seconds to the end, as far as one can tell."""

    def settled(self, label: str, status: Status, message: str | None) -> None:
        """A cell ended."""

    def note(self, text: str) -> None:
        """Something worth a line."""


class Tally:
    """Counts and times that every display shows."""

    def __init__(self) -> None:
        self.total = self.done = self.failed = self.here = 0
        self.started = time.monotonic()
        self.left_s: float | None = None

    def begin(self, total: int, done: int) -> None:
        """Start counting."""
        self.total, self.done, self.started = total, done, time.monotonic()

    def add(self, status: Status) -> None:
        """Count a cell that ended."""
        self.here += 1
        if status is Status.OK:
            self.done += 1
        else:
            self.failed += 1

    def line(self) -> str:
        """e.g. `12/35 done, 1 failed, 3:20 elapsed, about 6:10 left`."""
        elapsed = time.monotonic() - self.started
        parts = [f"{self.done}/{self.total} done"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        parts.append(f"{clock(elapsed)} elapsed")
        left = self.total - self.done - self.failed
        if self.here and left:
            left_s = elapsed / self.here * left if self.left_s is None else self.left_s
            parts.append(f"about {clock(left_s)} left")
        return ", ".join(parts)


class PlainDisplay:
    """One line per event; for logs, pipes and CI."""

    def __init__(self) -> None:
        self._tally = Tally()

    def begin(self, *, total: int, done: int, linked: int, what: str = CELLS) -> None:
        """Say what is to be done."""
        self._tally.begin(total, done)
        print(opening(total, done, linked, what), file=sys.stderr, flush=True)

    def running(self, cells: dict[str, Progress | None], left_s: float | None = None) -> None:  # noqa: ARG002 - as in the protocol
        """Steps are not worth a line each."""
        self._tally.left_s = left_s

    def settled(self, label: str, status: Status, message: str | None) -> None:
        """Say how the cell ended and how far the launch is."""
        self._tally.add(status)
        tail = f": {message}" if message else ""
        print(f"{status} {label}{tail} ({self._tally.line()})", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Say it."""
        print(text, file=sys.stderr, flush=True)


class LiveDisplay:
    """A panel that redraws itself; a context manager."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._cells: dict[str, Progress | None] = {}

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def begin(self, *, total: int, done: int, linked: int, what: str = CELLS) -> None:
        """Say what is to be done."""
        self._tally.begin(total, done)
        self.note(opening(total, done, linked, what))

    def running(self, cells: dict[str, Progress | None], left_s: float | None = None) -> None:
        """Redraw."""
        self._tally.left_s = left_s
        self._cells = cells
        self._live.update(self._panel())

    def settled(self, label: str, status: Status, message: str | None) -> None:
        """Failures stay on the screen."""
        self._tally.add(status)
        if status is not Status.OK:
            self.note(f"{status} {label}: {message}")

    def note(self, text: str) -> None:
        """Print above the panel."""
        self._console.print(Text(text))

    def _panel(self) -> Group:
        rows = Table.grid(padding=(0, 2))
        for label, progress in self._cells.items():
            rows.add_row(f"  {label}", *_columns(progress))
        ended = self._tally.done + self._tally.failed
        bar = ProgressBar(total=max(self._tally.total, 1), completed=ended, width=40)
        foot = Table.grid(padding=(0, 2))
        foot.add_row(bar, self._tally.line())
        return Group(rows, foot)


def opening(total: int, done: int, linked: int, what: str = CELLS) -> str:
    """The first line of a launch."""
    parts = [f"{total} {what}"]
    if done:
        parts.append(f"{done} already done" + (f" ({linked} in other sweeps)" if linked else ""))
    parts.append(f"{total - done} to run")
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """`m:ss`, or `h:mm:ss` from an hour on."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _columns(progress: Progress | None) -> tuple[str, str]:
    if progress is None:
        return "starting", ""
    step = f" {progress.step}/{progress.steps}" if progress.steps else ""
    loss = "" if progress.loss is None else f"loss {progress.loss:.3f}"
    return f"{progress.stage}{step}", loss
