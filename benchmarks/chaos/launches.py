"""A launch as a process: its output, and all processes that it started."""

import re
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

LOOK_EVERY_S = 0.2
TRACE = re.compile(r"Traceback \(most recent call last\)|Fatal Python error|\*\*\* SIG[A-Z]+")
PROGRESS = re.compile(
    r"^(ok |tables: |\d+ cells|.*: \d+ of \d+ cells scored|started: |running already|starting Ray)"
)


class Launch:
    """One `rho-sweep launch`, or another command, with its descendants.

    Args:
        argv: What to run.
        log: Gets everything that it prints.
        cwd: Where it runs.
        environment: All of its variables.
    """

    def __init__(self, argv: list[str], log: Path, cwd: Path, environment: dict[str, str]) -> None:
        self._log = log
        with log.open("wb") as file:
            self.process = psutil.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=environment,
                start_new_session=True,
            )
        self._seen = {self.process.pid: psutil.Process(self.process.pid)}

    @property
    def code(self) -> int | None:
        """Exit code; negative is a signal; None while it runs."""
        found: int | None = self.process.poll()
        return found

    @property
    def printed(self) -> str:
        """Everything so far."""
        return self._log.read_text(errors="replace")

    @property
    def said(self) -> str:
        """The most useful line of the output: an error, else the last line that is not progress."""
        lines = [x for x in self.printed.splitlines() if x.strip() and not PROGRESS.match(x)]
        errors = [x for x in lines if x.startswith("error:")]
        ended = f"ended by signal {-self.code}" if self.code and self.code < 0 else "nothing"
        return (errors or lines or [ended])[-1]

    @property
    def has_trace(self) -> bool:
        """Whether a user would have seen a traceback."""
        return TRACE.search(self.printed) is not None

    def tree(self) -> list[psutil.Process]:
        """Living processes that the launch started, even if their parent has ended."""
        children = defaultdict(list)
        for process in psutil.process_iter(["ppid"]):
            children[process.info["ppid"]].append(process)
        # a process that has ended says no to is_running even if its number is in use again
        self._seen = {pid: p for pid, p in self._seen.items() if _lives(p)}
        todo = list(self._seen.values())
        while todo:
            for child in children[todo.pop().pid]:
                if child.pid not in self._seen:
                    self._seen[child.pid] = child
                    todo.append(child)
        return list(self._seen.values())

    def looks(self, limit_s: float) -> Iterator[None]:
        """Yield again and again until the launch or the time ends; keeps its tree up to date."""
        deadline = time.monotonic() + limit_s
        while self.code is None and time.monotonic() < deadline:
            self.tree()
            yield
            time.sleep(LOOK_EVERY_S)

    def wait(self, limit_s: float) -> bool:
        """Wait until the launch ends; whether it ended in time."""
        for _ in self.looks(limit_s):
            pass
        return self.code is not None

    def end(self) -> None:
        """Send SIGKILL to the launch only; its descendants end by themselves."""
        self.tree()
        with suppress(psutil.Error):
            self.process.kill()
        self.process.wait()

    def sweep_up(self, patience_s: float) -> list[str]:
        """Kill descendants that live this long after the launch; returns which ones."""
        deadline = time.monotonic() + patience_s
        while self.tree() and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_S)
        names = []
        for process in (left := self.tree()):
            with suppress(psutil.Error):
                names.append(process.name())
                process.kill()
        psutil.wait_procs(left, timeout=5)
        return names


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
