"""What commands that run for long share: progress on stderr, and a clean end on SIGTERM."""

import contextlib
import signal
import sys
from collections.abc import Iterator

from orchestrator.execution.display import Display, LiveDisplay, PlainDisplay

FAILED, FIXABLE, INTERRUPTED = 1, 2, 130


def interrupt(*_: object) -> None:
    """As Ctrl-C."""
    raise KeyboardInterrupt


def interruptible() -> None:
    """Let SIGTERM end this process as Ctrl-C does."""
    signal.signal(signal.SIGTERM, interrupt)


@contextlib.contextmanager
def shown() -> Iterator[Display]:
    """A panel on a terminal, plain lines elsewhere."""
    if sys.stderr.isatty():
        with LiveDisplay() as live:
            yield live
    else:
        yield PlainDisplay()
