"""Starts, stops and pulls a sweep whose driver runs on a cluster's head, from the laptop."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from orchestrator.cluster.ray import ask, refused, run_there
from orchestrator.cluster.ssh import Remote
from orchestrator.cluster.trust.confined import remove_in, write_in
from orchestrator.cluster.trust.listing import (
    GROWTH,
    LARGEST_HEAD,
    LARGEST_LISTING,
    Listing,
    Stamp,
    read_listing,
    read_reply,
)
from orchestrator.cluster.trust.remembered import Memory
from orchestrator.config.cluster_file import demand_cluster
from orchestrator.config.foreign_json import BadAnswerError
from orchestrator.config.hosts import Cluster
from orchestrator.errors import UserError
from tasks.sources.paths import real

MODULE = "orchestrator.cluster.on_host.driver"
LAUNCH_S, SHORT_S = 180.0, 60.0
SLOWEST = 100_000
"""Bytes a second; a head that sends more slowly is given up."""
BATCH_BYTES = 32 << 20
STARTED = {"pid": int, "running": bool, "without?": [str]}
ENDED = {"said": str}
LAST = "cells"
"""Table whose rows are pulled last: a cell's row must come after all that belongs to it."""


Driver = tuple[int, str]
"""Process id and host."""
AskedFile = tuple[str, str, str]
"""A file that a command takes along: its option, e.g. `--pack`, its name, and its text."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """Result of a pull.

    Attributes:
        driver: The driver that runs; None if none does.
        files: How many files were fetched.
    """

    driver: Driver | None
    files: int


class Far:
    """A results folder of this machine whose sweep runs on a cluster.

    Attributes:
        folder: The folder here; on the head it has the same name.
    """

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.folder = folder
        self._sweep = real(folder).name
        self._head = Remote(cluster, cluster.head_host)
        self._memory = Memory(folder)

    @classmethod
    def of(cls, folder: Path) -> "Far | None":
        """From what this machine remembers of a results folder; None if it remembers no cluster.

        Raises:
            UserError: The cluster file that it remembers is gone or wrong.
        """
        if not folder.is_dir() or (file := Memory(folder).cluster_file) is None:
            return None
        return cls(demand_cluster(file), folder)

    def remember(self, cluster_file: Path) -> None:
        """Let later commands on this folder find the cluster."""
        self._memory.cluster_file = real(cluster_file)
        self._memory.keep()

    def launch(
        self, text: str, *, keep: bool = False, until_decided: bool = False
    ) -> dict[str, Any]:
        """Start the driver; see `on_host.driver.launch`.

        Raises:
            UserError: The head cannot be reached, the cluster is down, or the driver ends at once.
        """
        return self._start("launch", text=text, keep=keep, until_decided=until_decided)

    def later(
        self, command: Literal["stress", "score"], options: list[str], files: list[AskedFile]
    ) -> dict[str, Any]:
        """Start the driver of a command on saved adapters; see `on_host.driver.later`.

        Raises:
            UserError: As `launch`.
        """
        return self._start(command, options=options, files=files)

    def _start(self, action: str, **request: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask(action, LAUNCH_S, (STARTED, ENDED), **request)
        if "pid" not in answer:
            raise UserError(f"{self._head.host.name}: {answer['said']}")
        return answer

    def stop(self) -> str:
        """Ask the driver to stop; finished cells are kept."""
        return f"{self._head.host.name}: {self._ask('stop', SHORT_S, {'said': str})['said']}"

    def pull(self) -> Pulled:
        """Fetch files that are new or have changed, each checked by its SHA-256.

        The head may be wrong or hostile: only files of a results folder that were asked for are
        written, inside the folder only, and only those that came from this head are deleted.

        Raises:
            UserError: The head cannot be reached, lists or sends something else, or there is no
                room for it.
        """
        found = self._listed()
        known = self._memory.of_head(f"{self._head.cluster.name} {self._head.host.address}")
        # files that the head has removed; a cell's row goes before what belongs to it
        gone = known.keys() - found.files.keys()
        for name in sorted(gone, key=lambda n: not n.startswith(f"{LAST}/")):
            remove_in(self.folder, name)
            del known[name]
        wanted = {n: stamp for n, stamp in found.files.items() if known.get(n) != stamp}
        size, free = sum(s for s, _ in wanted.values()), shutil.disk_usage(self.folder).free
        if size > free:
            raise self._head.error(
                f"has {size / 2**30:.1f} GiB that are new, and {self.folder} has room for "
                f"{free / 2**30:.1f}; make room, or look for what is wrong there"
            )
        came = 0
        for batch in _batches(wanted):
            for name, body in self._receive(batch):
                write_in(self.folder, name, body)
                known[name] = found.files[name]
                came += 1
            self._memory.keep()
        return Pulled(found.driver, came)

    def _listed(self) -> Listing:
        raw = self._run("list", SHORT_S, LARGEST_LISTING)
        try:
            return read_listing(raw)
        except BadAnswerError as error:
            raise refused(self._head, "list", error) from None

    def _receive(self, batch: dict[str, Stamp]) -> Iterator[tuple[str, bytes]]:
        size = sum(size for size, _ in batch.values()) + GROWTH
        timeout_s = SHORT_S + size / SLOWEST
        raw = self._run("send", timeout_s, size + LARGEST_HEAD, files=list(batch))
        try:
            yield from read_reply(raw, batch)
        except BadAnswerError as error:
            raise refused(self._head, "send", error) from None

    def _run(self, action: str, timeout_s: float, limit: int, **request: Any) -> bytes:
        name = self._sweep
        return run_there(self._head, MODULE, action, timeout_s, limit, sweep=name, **request)

    def _ask(self, action: str, timeout_s: float, shape: Any, **request: Any) -> Any:
        name = self._sweep
        return ask(self._head, action, timeout_s, shape, MODULE, sweep=name, **request)


def _batches(files: dict[str, Stamp]) -> Iterator[dict[str, Stamp]]:
    """Files in batches of at most `BATCH_BYTES`; rows of `cells` after everything else."""
    batch: dict[str, Stamp] = {}
    size = 0
    for name in sorted(files, key=lambda n: (n.startswith(f"{LAST}/"), n)):
        if batch and size + files[name][0] > BATCH_BYTES:
            yield batch
            batch, size = {}, 0
        batch[name] = files[name]
        size += files[name][0]
    if batch:
        yield batch
