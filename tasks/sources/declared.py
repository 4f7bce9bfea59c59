"""Where records come from: a name, how they are read, and what a host must have to read them."""

import glob
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Generic, TypeVar

from tasks.contract.cell import NodeError
from tasks.sources import host_copies as content
from tasks.sources.foreign import is_foreign
from tasks.sources.hub import COMMIT

Record = TypeVar("Record")
ON_HUB = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)@(?P<revision>[^@:]+):(?P<file>(?!/)(?!.*\.\./).+)")
"""A file of a data set on the hub: `OWNER/NAME@COMMIT:FILE`."""


class Delivery(StrEnum):
    """How the records get to a host, where they are not `HubFiles`."""

    SHIPPED = "shipped"
    """Part of the program."""
    INSTALLED = "pack"
    """In the predecessor's distribution, which `cluster install` brings; a host's is compared."""
    FILE = content.FILE
    """A file of the machine that launches; `cluster prefetch` copies it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFiles:
    """Files of a data set on the hub, at one commit.

    Attributes:
        repo: e.g. `tatsu-lab/alpaca`.
        revision: The commit.
        pattern: Which of its files.
    """

    repo: str
    revision: str
    pattern: str

    def find(self, *, download: bool) -> tuple[Path, list[Path]]:
        """Folder of the files on this machine, and the files in order.

        Raises:
            NotHereError: Not here, or in part only, and `download` is false.
            NodeError: As `hub.snapshot`, or the folder has no such files.
        """
        from tasks.sources.hub import NotHereError, snapshot  # only these sources need a hub

        folder = snapshot(self.repo, self.revision, (self.pattern,), data=True, download=download)
        files = sorted(p for p in folder.glob(self.pattern) if not is_foreign(p.name))
        if not files and not download:
            raise NotHereError(f"dataset {self.repo} is on this machine in part only")
        if not files:
            raise NodeError(f"{folder}: no {self.pattern}; delete the folder and launch again")
        return folder, files


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(Generic[Record]):
    """A source of probe pairs or SFT texts.

    Attributes:
        name: As a sweep has it: a built-in name, or a path.
        delivery: How it gets to a host; `cluster prefetch` follows it.
        read: Paths -> every record, in order. The paths are those of `HubFiles`, else none.
        about: Its row in docs/data.md, Markdown; empty for files.
    """

    name: str
    delivery: Delivery | HubFiles
    read: Callable[[list[Path]], tuple[Record, ...]]
    about: str = ""

    def records(self, *, download: bool) -> tuple[Record, ...]:
        """Every record, in order.

        Args:
            download: Whether files of a hub may be fetched when they are not on this machine.

        Raises:
            NotHereError: Files of a hub are not here, and `download` is false.
            NodeError: The source is missing or malformed.
        """
        if isinstance(self.delivery, HubFiles):
            return self.read(self.delivery.find(download=download)[1])
        return self.read([])


def source_of(
    name: str,
    declared: tuple[Source[Record], ...],
    read_file: Callable[[Path], tuple[Record, ...]],
) -> Source[Record]:
    """The declared source of a name, or the file that it is the path of.

    Reading the file raises a `NodeError` that names the declared sources where there is no file.
    """
    for source in declared:
        if source.name == name:
            return source

    def read(_: list[Path]) -> tuple[Record, ...]:
        path = content.named(content.FILE, name) or Path(name)
        if not os.path.exists(path):  # noqa: PTH110 - never raises
            known = ", ".join(s.name for s in declared)
            raise NodeError(f"{path}: no such file, and no built-in name; those are {known}")
        return read_file(path)

    return Source(name=name, delivery=Delivery.FILE, read=read)


def file_of(name: str, *, download: bool) -> Path:
    """The file on this machine that a name means: a path, or `OWNER/NAME@COMMIT:FILE`.

    Args:
        name: As a sweep has it.
        download: Whether a file of the hub may be fetched when it is not on this machine.

    Raises:
        NotHereError: It is on the hub, not here, and `download` is false.
        NodeError: It is missing, or its revision is no commit.
    """
    found = ON_HUB.fullmatch(name)
    if copied := content.named(content.FILE, name):
        return copied
    if found is None:
        if not os.path.isfile(name):  # noqa: PTH113 - never raises
            raise NodeError(f"{name}: no such file")
        return Path(name)
    repo, revision, file = found.groups()
    if not COMMIT.fullmatch(revision):
        raise NodeError(
            f"{name}: {revision} may mean another file tomorrow; give the commit, 40 hex digits, "
            f"as OWNER/NAME@COMMIT:FILE"
        )
    files = HubFiles(repo=repo, revision=revision, pattern=glob.escape(file))
    return files.find(download=download)[1][0]
