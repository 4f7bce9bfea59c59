"""Reads, writes and deletes inside one folder, whatever links lie in it.

Every step of a name is opened by its folder's descriptor and never through a link, so that a link
in the folder, or one that appears meanwhile, leads nowhere else.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.errors import UserError, unwritable
from orchestrator.results.files import sync

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


def write_in(folder: Path, name: str, content: bytes) -> None:
    """Write a file as `results.files.write_whole` does; a link in its place is replaced.

    Args:
        folder: Where; a link that leads to it is followed, for the user named it.
        name: Relative, of plain parts; folders are made.
        content: All of it.

    Raises:
        UserError: It cannot be written, e.g. for one of its folders is a link.
    """
    aside = f".{name.rpartition('/')[2]}.{os.getpid()}"
    try:
        with _parent(folder, name, make=True) as (handle, last):
            with suppress(FileNotFoundError):
                os.unlink(aside, dir_fd=handle)
            try:
                with os.fdopen(os.open(aside, _NEW, 0o666, dir_fd=handle), "wb") as file:
                    file.write(content)
                    file.flush()
                    sync(file.fileno())
                os.rename(aside, last, src_dir_fd=handle, dst_dir_fd=handle)
            except OSError:
                with suppress(OSError):
                    os.unlink(aside, dir_fd=handle)
                raise
            sync(handle)
    except OSError as error:
        raise _refused(folder, name, error) from None


def remove_in(folder: Path, name: str) -> None:
    """Remove a file that may exist.

    Raises:
        UserError: It cannot be removed, e.g. for one of its folders is a link.
    """
    try:
        with _parent(folder, name, make=False) as (handle, last):
            os.unlink(last, dir_fd=handle)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _refused(folder, name, error) from None


def read_in(folder: Path, name: str, limit: int) -> bytes | None:
    """A small file; None if there is no plain file of at most `limit` bytes."""
    try:
        with _parent(folder, name, make=False) as (handle, last):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe must not wait for a writer
            with os.fdopen(os.open(last, flags, dir_fd=handle), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    return None
                content = file.read(limit + 1)
    except (OSError, UserError):
        return None
    return content if len(content) <= limit else None


@contextmanager
def _parent(folder: Path, name: str, *, make: bool) -> Iterator[tuple[int, str]]:
    """Descriptor of the folder that holds a name, and the name's last part."""
    *folders, last = name.split("/")
    if any(part in ("", ".", "..") or not part.isprintable() for part in (*folders, last)):
        raise UserError(f"{folder}: {name!a} is no plain relative name")
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in folders:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=handle)
            inner = os.open(part, _FOLDER, dir_fd=handle)
            os.close(handle)
            handle = inner
        yield handle, last
    finally:
        os.close(handle)


def _refused(folder: Path, name: str, error: OSError) -> UserError:
    place = folder
    for part in name.split("/")[:-1]:
        place /= part
        if place.is_symlink():
            return UserError(f"{place}: is a link, and nothing is written or deleted through it")
    return unwritable(folder / name, error)
