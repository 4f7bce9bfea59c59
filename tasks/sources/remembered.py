"""What was worked out once on this machine: notes in the user's cache folder. Never loads MLX.

A note can always be made again: one that is missing or damaged is, and a folder that cannot be
written is no error.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import tasks
from tasks.contract.cell import digest_of
from tasks.sources.jsonl import parse_json

UNUSED_S = 30 * 24 * 3600
"""A note that nothing asked for in so long is deleted when another of its kind is written."""


def cache_folder() -> Path:
    """Where this project keeps what it can make again."""
    home = os.path.expanduser("~/.cache")  # noqa: PTH111 - never raises
    base = os.environ.get("XDG_CACHE_HOME") or home
    return Path(base) / "rho-sweep"


@cache
def code_digest() -> str:
    """sha256 over every Python file under `tasks`: other code may compute something else."""
    digest = hashlib.sha256()
    root = Path(tasks.__file__).parent
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def remembered(
    kind: str,
    given: object,
    make: Callable[[], Any],
    fits: Callable[[Any], bool] = lambda _: True,
) -> Any:
    """What `make` returns, from the note of an earlier call where there is one.

    Args:
        kind: Of the note: a folder of its own.
        given: All that the value depends on, as JSON values.
        make: Makes the value, which JSON can hold; what it raises is not remembered.
        fits: True if a value read from a note has the right form; otherwise it is made again.
    """
    if found := recalled(kind, given, fits):
        return found[0]
    value, note = make(), _note(kind, given)
    with suppress(OSError):
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = note.with_suffix(f".{os.getpid()}")
        try:
            aside.write_text(json.dumps(value))
            aside.replace(note)
        except OSError:  # a part of a note would help to keep a full disk full
            aside.unlink(missing_ok=True)
            raise
        _forget_unused(note.parent)
    return value


def recalled(kind: str, given: object, fits: Callable[[Any], bool] = lambda _: True) -> list[Any]:
    """The value of a note, in a list; empty where there is no note of the right form."""
    note = _note(kind, given)
    with suppress(OSError, ValueError):
        found = parse_json(note.read_bytes())
        if fits(found):
            with suppress(OSError):  # of another user, or on a disk that is read-only
                os.utime(note)
            return [found]
    return []


def _note(kind: str, given: object) -> Path:
    return cache_folder() / kind / digest_of(given)


def _forget_unused(folder: Path) -> None:
    oldest = time.time() - UNUSED_S
    for note in folder.iterdir():
        if note.stat().st_mtime < oldest:
            note.unlink(missing_ok=True)
