"""Starts, stops and pulls a sweep whose driver runs on a cluster's head, from the laptop."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.cluster.ray import ask, run_there
from orchestrator.cluster.ssh import Remote
from orchestrator.config.cluster_file import demand_cluster
from orchestrator.config.hosts import Cluster
from orchestrator.errors import UserError
from orchestrator.results.files import write_whole

MODULE = "orchestrator.cluster.on_host.driver"
WHERE, PULLED = ".cluster.json", ".pulled.json"
LAUNCH_S, SHORT_S, SEND_S = 180.0, 60.0, 3600.0
BATCH_BYTES = 32 << 20
LAST = "cells"
"""Table whose rows are pulled last: a cell's row must come after all that belongs to it."""


Driver = tuple[int, str]
"""Process id and host."""


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
        self._head = Remote(cluster, cluster.head_host)
        self._index: dict[str, list[int]] = _read(folder / PULLED)

    @classmethod
    def of(cls, folder: Path) -> "Far | None":
        """From the note in a results folder; None if its sweep ran on this machine.

        Raises:
            UserError: The cluster file it names is gone or wrong.
        """
        known = _read(folder / WHERE)
        return cls(demand_cluster(Path(known["cluster"])), folder) if known else None

    def remember(self, cluster_file: Path) -> None:
        """Write the note by which later commands find the cluster."""
        where = json.dumps({"cluster": str(cluster_file.resolve())})
        write_whole(self.folder / WHERE, where.encode())

    def launch(self, text: str) -> dict[str, Any]:
        """Start the driver; see `on_host.driver.launch`.

        Raises:
            UserError: The head cannot be reached, the cluster is down, or the driver ends at once.
        """
        return self._start("launch", text=text)

    def stress(self, options: list[str], sets: list[tuple[str, str]]) -> dict[str, Any]:
        """Start the driver of a stress test; see `on_host.driver.stress`.

        Raises:
            UserError: As `launch`.
        """
        return self._start("stress", options=options, sets=sets)

    def _start(self, action: str, **request: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask(action, LAUNCH_S, **request)
        if answer.get("code"):
            raise UserError(f"{self._head.host.name}: {answer['said']}")
        return answer

    def stop(self) -> str:
        """Ask the driver to stop; finished cells are kept."""
        return f"{self._head.host.name}: {self._ask('stop', SHORT_S)['said']}"

    def pull(self) -> Pulled:
        """Fetch files that are new or have changed, each checked by its SHA-256.

        Raises:
            UserError: The head cannot be reached, or a file arrives with other bytes.
        """
        found = self._ask("list", SHORT_S)
        files: dict[str, list[int]] = found["files"]
        # files that the head has removed; a cell's row goes before what belongs to it
        gone = self._index.keys() - files.keys()
        for name in sorted(gone, key=lambda n: not n.startswith(f"{LAST}/")):
            (self.folder / name).unlink(missing_ok=True)
            del self._index[name]
        wanted = [n for n, stamp in files.items() if self._index.get(n) != stamp]
        came = 0
        for batch in _batches(wanted, files):
            for name, body in self._receive(batch):
                write_whole(self.folder / name, body)
                self._index[name] = files[name]
                came += 1
            write_whole(self.folder / PULLED, json.dumps(self._index).encode())
        driver = tuple(found["launch"]) if found["launch"] else None
        return Pulled(driver, came)

    def _receive(self, names: list[str]) -> Iterator[tuple[str, bytes]]:
        request = {"files": names}
        head, _, rest = run_there(
            self._head, MODULE, "send", SEND_S, sweep=self.folder.name, **request
        ).partition(b"\n")
        at = 0
        for name, (size, digest) in json.loads(head).items():
            body = rest[at : at + size]
            at += size
            if hashlib.sha256(body).hexdigest() != digest:
                raise self._head.error(f"{name} arrived with other bytes; try again")
            yield name, body

    def _ask(self, action: str, timeout_s: float, **request: Any) -> Any:
        return ask(self._head, action, timeout_s, module=MODULE, sweep=self.folder.name, **request)


def _batches(names: list[str], files: dict[str, list[int]]) -> Iterator[list[str]]:
    """File names in batches of at most `BATCH_BYTES`; rows of `cells` after everything else."""
    batch: list[str] = []
    size = 0
    for name in sorted(names, key=lambda n: (n.startswith(f"{LAST}/"), n)):
        if batch and size + files[name][0] > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(name)
        size += files[name][0]
    if batch:
        yield batch


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, json.JSONDecodeError):
        raise UserError(f"{path}: cannot be read; delete it, and launch again") from None
    return found
