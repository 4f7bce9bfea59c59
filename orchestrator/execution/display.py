"""Progress of a launch on stderr, as lines; `live_display` draws a panel on a terminal."""

import math
import sys
import time
from typing import Protocol

from orchestrator.visible import visible
from tasks.contract.cell import Progress, Status

CELLS = "cells"


class Display(Protocol):
    """Shows people how a launch is going."""

    def begin(self, *, total: int, done: int, linked: int, what: str = CELLS) -> None:
        """Show how many units, named `what`, there are; again where a round adds some."""

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
        print(
            visible(f"{status} {label}{tail} ({self._tally.line()})"), file=sys.stderr, flush=True
        )

    def note(self, text: str) -> None:
        """Print the text."""
        print(text, file=sys.stderr, flush=True)


def opening(total: int, done: int, linked: int, what: str = CELLS) -> str:
    """The first line of a launch."""
    parts = [f"{total} {what}"]
    if done:
        parts.append(f"{done} already done" + (f" ({linked} in other sweeps)" if linked else ""))
    parts.append(f"{total - done} to run")
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """`m:ss`, or `h:mm:ss` from an hour on; `?` for what is not finite."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
