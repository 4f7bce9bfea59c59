"""Files that are whole or absent: written aside, fsynced, renamed."""

import os
import shutil
from pathlib import Path

from orchestrator.errors import UserError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a crash at any moment leaves the old one, or none, or the new one.

    Raises:
        UserError: The place cannot be written to.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def link_whole(source: Path, target: Path) -> None:
    """A second name for a finished file, or a copy where the file system has no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    try:
        os.link(source, aside)
    except OSError:
        shutil.copyfile(source, aside)
    aside.replace(target)
