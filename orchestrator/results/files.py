"""Files that are whole or absent: written aside, fsynced, renamed; and their seals."""

import fcntl
import hashlib
import os
import re
import stat
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from orchestrator.errors import UserError, unwritable


class UnreadableError(UserError):
    """A file that was to be taken over is damaged or not readable; nothing of ours is wrong."""


_MARK = b"sealed:sha256:"
_SEALED = _MARK + rb"[0-9a-f]{64}"
_PAIR = re.compile(rb"(%b) \1" % _SEALED)
_ONE = len(_MARK) + 64
_ASIDE = re.compile(r"\.(?:[0-9a-f]{16}|adapter).*\.[0-9]{1,10}")
UNSEALED = b" ".join((_MARK + b"0" * 64,) * 2)
"""Stands in a file that is about to be sealed; twice the same, so that no changed bit hides it."""


def sealed(content: bytes) -> bytes:
    """A file with its own SHA-256 in the place of `UNSEALED`; the digest is over that text."""
    before, _, after = content.rpartition(UNSEALED)
    return before + _seal(content) + after


def intact(content: bytes) -> bool | None:
    """Whether every byte of a sealed file is as it was written; None for one without a seal.

    Files of older versions have none.
    """
    last = content.rfind(_MARK)
    seal = content[max(0, last - _ONE - 1) : last + _ONE]
    if not _PAIR.fullmatch(seal):  # to look through all of it takes as long as its digest
        # texts of others may hold such a mark, too: the pair counts, or one whose other was damaged
        found = re.findall(_SEALED, content)
        if not found:
            return None
        pairs = [b" ".join((one,) * 2) for one in found]
        seal = next((pair for pair in reversed(pairs) if pair in content), pairs[-1])
    before, _, after = content.rpartition(seal)
    return _seal(before + UNSEALED + after) == seal


def _seal(content: bytes) -> bytes:
    return b" ".join((_MARK + hashlib.sha256(content).hexdigest().encode(),) * 2)


def demand_spelling(folder: Path, advice: str) -> None:
    """Check that no folder beside it has the same name in other letters, large or small.

    A Mac's disk takes both for one folder, and results move from one machine to another.

    Raises:
        UserError: There is one, and this folder is not there.
    """
    beside = []
    with suppress(OSError):
        beside = [p.name for p in folder.parent.iterdir()]
    same = [name for name in beside if name.casefold() == folder.name.casefold()]
    if same and folder.name not in same:
        other = folder.parent / same[0]
        raise UserError(f"{folder}: {other} is there, and a Mac takes both for one folder", advice)


def write_whole(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write a file so that a crash at any moment leaves the old one, or none, or the new one.

    Args:
        path: The file; its folder is made.
        content: All of it.
        private: Let nobody else read it, at no time: mode 0600; a folder that is made gets 0700.

    Raises:
        UserError: The place cannot be written to, or it is a pipe or a device, e.g. `/dev/null`,
            which the rename would replace.
    """
    with suppress(OSError):
        if stat.S_IFMT(path.stat().st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
            raise UserError(f"{path}: is a pipe or a device, no file", "choose another place")
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with _opened(aside, private=private) as file:
            file.write(content)
            file.flush()
            sync(file.fileno())
        aside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        raise unwritable(path, error) from None


def _opened(path: Path, *, private: bool) -> BinaryIO:
    """A new file; its folder is made if need be, which is seldom."""
    try:
        return _made(path, private=private)
    except FileExistsError:
        path.unlink()
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700 if private else 0o777, parents=True, exist_ok=True)
    return _made(path, private=private)


def _made(path: Path, *, private: bool) -> BinaryIO:
    opener = partial(os.open, mode=0o600) if private else None
    return open(path, "xb", opener=opener)


def remove(path: Path) -> None:
    """Remove a file that may exist; to look first is much cheaper where it does not."""
    if path.exists():
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed while they wrote have left aside in a folder."""
    with suppress(OSError):
        for path in [p for p in folder.iterdir() if _ASIDE.fullmatch(p.name)]:
            with suppress(OSError):
                path.unlink()


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        sync(handle)
    finally:
        os.close(handle)


def sync(handle: int) -> None:
    """Have what was written reach the disk, and not only its cache, as `fsync` does on macOS."""
    if hasattr(fcntl, "F_FULLFSYNC"):
        with suppress(OSError):  # some file systems, e.g. of a server, have only the other
            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
            return
    os.fsync(handle)


def link_whole(source: Path, target: Path) -> None:
    """A second name for a finished file, or a copy where the file system has no links.

    Raises:
        UnreadableError: The source cannot be read.
        UserError: The place cannot be written to.
    """
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside.unlink(missing_ok=True)
        os.link(source, aside)
        aside.replace(target)
        aside.unlink(missing_ok=True)  # renaming onto a name of the same file does nothing
        sync_folder(target.parent)
    except OSError:
        write_whole(target, _content(source))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read ({error.strerror})") from None
