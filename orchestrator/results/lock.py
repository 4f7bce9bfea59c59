"""One launch at a time per results folder."""

import fcntl
import json
import os
import platform
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from orchestrator.config.foreign_json import BadAnswerError, parse
from orchestrator.errors import UserError, as_typed, writing
from orchestrator.results.folder import LOCK
from tasks.model.machine import machine_id

NAME = LOCK
LONGEST = 4096


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold the folder for this process; the system frees it however the process ends.

    Yields:
        Whether the process before did not come to its end: it died, or an error stopped it.

    Raises:
        UserError: Another launch holds it, or it cannot be written.
    """
    with writing(folder / NAME):
        file = (folder / NAME).open("ab", buffering=0)  # closing a full buffer would fail again
    with file:
        if not _taken(file):
            found = holder(folder)
            by = f" (process {found[0]} on {found[1]})" if found else ""
            raise UserError(
                f"{folder}: another launch is running{by}",
                f"see: {as_typed('status', folder)}, or end it: {as_typed('stop', folder)}",
            )
        died = file.tell() > 0
        with writing(folder / NAME):
            file.truncate(0)
            # the name is for people: a Mac's changes with the network
            here = {"pid": os.getpid(), "host": platform.node(), "machine": machine_id()}
            file.write(json.dumps(here).encode())
        yield died
        file.truncate(0)


def _taken(file: IO[bytes]) -> bool:
    """Whether the lock could be had; one who only looks (`holder`) has it for an instant."""
    for _ in range(5):
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.02)
    return False


def holder(folder: Path) -> tuple[int, str] | None:
    """(pid, host) of the launch that is running, or None."""
    found = _written(folder)
    return (found["pid"], found["host"]) if found else None


def _written(folder: Path) -> dict[str, Any] | None:
    """What the launch that is running wrote of itself, or None."""
    path = folder / NAME
    if not path.is_file():
        return None
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            with suppress(BadAnswerError):
                shape = {"pid": int, "host": str, "machine?": str}
                found: dict[str, Any] = parse(file.read(LONGEST), shape)
                return found
    return None


def stop(folder: Path) -> str:
    """Ask the running launch to stop; finished cells are kept.

    Raises:
        UserError: It runs on another machine, or may not be stopped by this user.
    """
    running = _written(folder)
    if running is None:
        return f"{folder}: no launch is running"
    pid = running["pid"]
    if running.get("machine") != machine_id():
        raise UserError(f"{folder}: the launch runs on {running['host']}", "stop it there")
    try:
        os.kill(pid, signal.SIGTERM)  # SIGINT is ignored by what a script starts with &
    except OSError as error:
        raise UserError(f"{folder}: process {pid} cannot be stopped ({error.strerror})") from None
    return f"{folder}: asked process {pid} to stop; launch again to go on"
