"""Tests; the folders mirror those of the product. Here: the checkout, starting commands."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[1]
"""The checkout."""
T = TypeVar("T")


def start(log: Path, *words: object) -> subprocess.Popen:
    """Start `rho-sweep WORDS...` in a process group of its own; its output goes to the log."""
    command = [sys.executable, "-m", "orchestrator", *(str(w) for w in words)]
    with log.open("ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)


def wait_for(condition: Callable[[], T], what: str, timeout_s: float = 120) -> T:
    """The first true value of the condition.

    Raises:
        AssertionError: The condition is not true within `timeout_s` seconds; names `what`.
    """
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen within {timeout_s} s")
