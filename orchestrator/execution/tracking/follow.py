"""Keeps trackers up to date while a launch runs; a tracker that fails costs a note."""

import importlib.util
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from orchestrator.config.fields import Track
from orchestrator.execution.display import Display
from orchestrator.execution.tracking.trackers import TRACKERS
from orchestrator.visible import last_line
from tasks.contract.cell import without_names
from tasks.model import children

EVERY_S = 30.0
TIMEOUT_S = 600.0
"""Of one process that writes what is new; the next one goes on where it was."""
QUIET_S, PATIENCE_S = 2.0, 120.0
"""Of a launch whose cells have all ended: before it says so, and then until it gives up."""


class Following:
    """Writes finished cells to the trackers of a sweep, in a thread and processes of its own.

    Use it as a context. One that ends without an error writes what is left, and waits for it.

    Args:
        results: The results folder.
        track: Of the sweep file.
        display: Is told what went wrong, at the end.
    """

    def __init__(self, results: Path, track: Track, display: Display) -> None:
        self._results, self._display = results, display
        self._names = {k: v for k, v in track if v is not None}
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._ended, self._stopped = threading.Event(), threading.Event()
        self._problems: dict[str, None] = {}

    def __enter__(self) -> None:
        for tracker in list(self._names):
            if importlib.util.find_spec(TRACKERS[tracker].module) is None:
                del self._names[tracker]
                how = f'python -m pip install "rho-sweep[{tracker}]", and launch again'
                self._display.note(f"track.{tracker} is not installed: {how}")
        if self._names:
            self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._names:
            return
        if kind is not None:
            self._stopped.set()
        self._ended.set()
        try:
            self._thread.join(QUIET_S)
            if self._thread.is_alive():
                self._display.note(f"writing runs to {', '.join(self._names)} ...")
                self._thread.join(PATIENCE_S)
            if self._thread.is_alive():
                self._problems["a tracker did not end in time; the next launch goes on"] = None
        finally:
            self._stopped.set()
            self._thread.join()
        for problem in self._problems:
            self._display.note(problem)

    def _follow(self) -> None:
        seen: set[tuple[str, int]] = set()
        while True:
            last = self._ended.wait(EVERY_S)
            with suppress(OSError), os.scandir(self._results / "cells") as entries:
                cells = {(entry.name, entry.stat().st_mtime_ns) for entry in entries}
                if cells != seen:
                    seen = cells
                    for tracker, name in self._names.items():
                        if not self._stopped.is_set():
                            self._write(tracker, name)
            if last or self._stopped.is_set():
                return

    def _write(self, tracker: str, name: str) -> None:
        """Let a process write what is new."""
        keys = {k: os.environ[k] for k in TRACKERS[tracker].keys if k in os.environ}
        process = subprocess.Popen(
            children.python("-m", __package__, str(self._results), tracker, name),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=children.environment(keys),
            start_new_session=True,
        )
        end, said = time.monotonic() + TIMEOUT_S, b""
        while not self._stopped.is_set() and time.monotonic() < end:
            with suppress(subprocess.TimeoutExpired):
                said = process.communicate(timeout=0.2)[1]
                break
        else:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return
        if process.returncode:
            text = said.decode(errors="replace")
            for key in keys.values():
                text = text.replace(key, "***")
            text = without_names(last_line(text, f"exit code {process.returncode}"))
            problem = f"track.{tracker}: {text}; the next launch writes what is missing"
            self._problems[problem] = None
