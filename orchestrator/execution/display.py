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
    """Shows people how a launch is going."""

    def begin(self, *, total: int, done: int, linked: int, what: str = CELLS) -> None:
        """Show the size of the launch, once. `what` names the units: cells or generations."""

    def running(self, cells: dict[str, Progress | None], left_s: float | None = None) -> None:
        """Show what runs now: label -> progress; and the estimated seconds to the end."""

    def settled(self, label: str, status: Status, message: str | None) -> None:
        """Show how a cell ended."""

    def note(self, text: str) -> None:
        """Show a line of text."""


class Tally:
    """The counts and times that displays show."""

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
        """Print the size of the launch."""
        self._tally.begin(total, done)
        print(opening(total, done, linked, what), file=sys.stderr, flush=True)

    def running(self, cells: dict[str, Progress | None], left_s: float | None = None) -> None:  # noqa: ARG002 - as in the protocol
        """Print nothing: a line for each step would be too many."""
        self._tally.left_s = left_s

    def settled(self, label: str, status: Status, message: str | None) -> None:
        """Print how the cell ended and how far the launch is."""
        self._tally.add(status)
        tail = f": {message}" if message else ""
        print(f"{status} {label}{tail} ({self._tally.line()})", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Print the text."""
        print(text, file=sys.stderr, flush=True)


class LiveDisplay:
    """A panel that redraws itself; a context manager."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def begin(self, *, total: int, done: int, linked: int, what: str = CELLS) -> None:
        """Print the size of the launch."""
        self._tally.begin(total, done)
        self.note(opening(total, done, linked, what))

    def running(self, cells: dict[str, Progress | None], left_s: float | None = None) -> None:
        """Redraw the panel."""
        self._tally.left_s = left_s
        rows = Table.grid(padding=(0, 2))
        for label, progress in cells.items():
            if progress is None:
                rows.add_row(f"  {label}", "starting", "")
                continue
            step = f" {progress.step}/{progress.steps}" if progress.steps else ""
            loss = "" if progress.loss is None else f"loss {progress.loss:.3f}"
            rows.add_row(f"  {label}", f"{progress.stage}{step}", loss)
        ended = self._tally.done + self._tally.failed
        bar = ProgressBar(total=max(self._tally.total, 1), completed=ended, width=40)
        foot = Table.grid(padding=(0, 2))
        foot.add_row(bar, self._tally.line())
        self._live.update(Group(rows, foot))

    def settled(self, label: str, status: Status, message: str | None) -> None:
        """Count the cell; print a line that stays if it has no scores."""
        self._tally.add(status)
        if status is not Status.OK:
            self.note(f"{status} {label}: {message}")

    def note(self, text: str) -> None:
        """Print above the panel."""
        self._console.print(Text(text))


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
