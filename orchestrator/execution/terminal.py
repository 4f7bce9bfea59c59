"""For commands that run long: progress on stderr, exit codes, and SIGTERM as Ctrl-C."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator

from orchestrator.execution.display import Display, PlainDisplay
from orchestrator.visible import door

FAILED, FIXABLE, INTERRUPTED = 1, 2, 130


def interrupt(*_: object) -> None:
    """Do what Ctrl-C does."""
    raise KeyboardInterrupt


def interruptible() -> None:
    """Make SIGTERM end this process as Ctrl-C does."""
    signal.signal(signal.SIGTERM, interrupt)


@contextlib.contextmanager
def to_its_end() -> Iterator[None]:
    """Let the block end before Ctrl-C or SIGTERM takes effect; for what must not end half done."""
    if threading.current_thread() is not threading.main_thread():  # only there do signals arrive
        yield
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for late in came:  # the first may be one that this process ignores
            signal.raise_signal(late)


@contextlib.contextmanager
def shown() -> Iterator[Display]:
    """A display for the block: a panel on a terminal, plain lines elsewhere."""
    if sys.stderr.isatty():
        from orchestrator.execution.live_display import LiveDisplay

        with LiveDisplay() as live, door():  # rich put streams of its own before the door
            yield live
    else:
        yield PlainDisplay()
