"""Runs the user's own command when a sweep ends, fails too often, or loses a host."""

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from tasks.model import children

TIMEOUT_S = 30.0
VARIABLE = "RHO_SWEEP_EVENT"


class Notifier:
    """Runs a shell command for each event, in the background; the sweep goes on if it fails.

    The command gets one JSON object on stdin, and the event's name in RHO_SWEEP_EVENT.

    Args:
        command: For `/bin/sh -c`; None runs nothing.
        timeout_s: Then the command and its children are killed.
    """

    def __init__(self, command: str | None, timeout_s: float = TIMEOUT_S) -> None:
        self._command, self._timeout_s = command, timeout_s
        self._threads: list[threading.Thread] = []
        self._problems: SimpleQueue[str] = SimpleQueue()

    def tell(self, event: str, facts: dict[str, Any]) -> None:
        """Start the command; returns at once."""
        if self._command is not None:
            body = json.dumps({"event": event, **facts}, allow_nan=False)
            thread = threading.Thread(target=self._run, args=(event, body), daemon=True)
            thread.start()
            self._threads = [t for t in self._threads if t.is_alive()] + [thread]

    def problems(self) -> list[str]:
        """What went wrong with the command since the last call."""
        found = []
        with suppress(Empty):
            while True:
                found.append(self._problems.get_nowait())
        return found

    def close(self) -> None:
        """Wait for running commands to end, at most until their timeout."""
        end = time.monotonic() + self._timeout_s + 1
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _run(self, event: str, body: str) -> None:
        try:
            problem = self._problem(event, body)
        except (OSError, ValueError) as error:
            problem = str(error)
        if problem is not None:
            self._problems.put(f"run.notify: {problem} (event {event})")

    def _problem(self, event: str, body: str) -> str | None:
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                ["/bin/sh", "-c", str(self._command)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=children.environment({VARIABLE: event}),
                start_new_session=True,
            )
            try:
                process.communicate(body.encode() + b"\n", timeout=self._timeout_s)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return f"the command was killed after {self._timeout_s:g} s"
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
        if process.returncode == 0:
            return None
        tail = f": {lines[-1][:160]}" if lines else ""
        return f"the command ended with {process.returncode}{tail}"
