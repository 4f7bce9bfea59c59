"""Which files of a results folder may travel, and how a head lists and sends them. Pure."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from orchestrator.config.foreign_json import BadAnswerError, parse, shown
from orchestrator.results.folder import ADAPTER, ALONE, NAMES

MOST_FILES = 200_000
LARGEST_FILE = 4 << 30
LARGEST_LISTING = 64 << 20
LARGEST_HEAD = 16 << 20
"""Bytes of the line before the files of a reply; a batch names few files."""
GROWTH = 16 << 20
"""Bytes by which files of one reply may have grown since they were listed: logs do."""
_HOST = re.compile(r"[A-Za-z0-9_.-]{1,255}")
SHAPE = {"files": {str: [int]}, "launch": object}
Stamp = list[int]
"""Size in bytes and time of the last change, ns."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a head has of a sweep.

    Attributes:
        files: Name -> stamp.
        driver: Process id and host of the driver that runs; None if none does.
    """

    files: dict[str, Stamp]
    driver: tuple[int, str] | None


def is_ours(name: str) -> bool:
    """Whether this is the relative name of a file that a driver writes and another may have."""
    match name.split("/"):
        case [alone]:
            return alone in ALONE
        case ["adapters" as kind, cell, file]:
            return NAMES[kind].fullmatch(cell) is not None and file in ADAPTER
        case [kind, file] if kind in NAMES and kind not in ("adapters", "checkpoints"):
            return NAMES[kind].fullmatch(file) is not None
    return False


def read_listing(raw: bytes) -> Listing:
    """What a head listed.

    Raises:
        BadAnswerError: Some of it is not what an honest head lists.
    """
    found = parse(raw, SHAPE)
    files: dict[str, Stamp] = found["files"]
    if len(files) > MOST_FILES:
        raise BadAnswerError(f"it lists {len(files)} files; more than {MOST_FILES} are refused")
    for name, stamp in files.items():
        if not is_ours(name):
            raise BadAnswerError(f"it lists {shown(name)}, which is no file of a results folder")
        if len(stamp) != 2 or stamp[0] > LARGEST_FILE:
            raise BadAnswerError(f"{name}: size and time {shown(stamp)} are refused")
    return Listing(files, _driver(found["launch"]))


def read_reply(raw: bytes, asked: dict[str, Stamp]) -> Iterator[tuple[str, bytes]]:
    """The files of a reply, each checked by its SHA-256.

    Args:
        raw: One line of JSON, `{name: [size, sha256]}`, and the bytes of the files in that order.
        asked: The files that were asked for; one that has gone since may be missing.

    Yields:
        Name and bytes.

    Raises:
        BadAnswerError: A name was not asked for, or the bytes are not those announced.
    """
    line, _, rest = raw.partition(b"\n")
    sent = parse(line, {str: [(int, str)]})
    for name, facts in sent.items():
        if name not in asked:
            raise BadAnswerError(f"it sends {shown(name)}, which was not asked for")
        if [type(fact) for fact in facts] != [int, str]:
            raise BadAnswerError(f"{name}: size and checksum {shown(facts)} are refused")
    announced = sum(size for size, _ in sent.values())
    if announced < len(rest):
        raise BadAnswerError(f"it sends {len(rest)} bytes and announced {announced}")
    at = 0
    for name, (size, digest) in sent.items():
        body = rest[at : at + size]
        at += size
        if hashlib.sha256(body).hexdigest() != digest:
            raise BadAnswerError(f"{name} arrived with other bytes; try again")
        yield name, body


def _driver(raw: Any) -> tuple[int, str] | None:
    if raw is None:
        return None
    match raw:
        case [pid, str(host)] if type(pid) is int and 0 < pid < 1 << 32 and _HOST.fullmatch(host):
            return pid, host
    raise BadAnswerError(f"launch must be a process id and a host, got {shown(raw)}")
