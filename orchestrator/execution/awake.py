"""Keeps a Mac awake while a launch or a stress test runs on it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tasks.model import children


@contextmanager
def awake() -> Iterator[None]:
    """No idle sleep for the time of the block, or until this process ends; on a Mac only.

    The display may sleep, and a closed lid still means sleep.
    """
    kept = None
    if sys.platform == "darwin":
        with suppress(OSError):  # it is a part of macOS; without it the Mac may fall asleep
            kept = subprocess.Popen(
                ["caffeinate", "-i", "-w", str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=children.environment(),
                start_new_session=True,  # Ctrl-C is for the launch, which ends it last
            )
    try:
        yield
    finally:
        if kept is not None:
            kept.terminate()
            kept.wait()
