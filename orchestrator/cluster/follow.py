"""Follows a sweep whose driver runs on a cluster's head, in this terminal."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from orchestrator.cluster.remote_sweep import Far
from orchestrator.cluster.ssh import LONGEST_LINE
from orchestrator.errors import UserError
from orchestrator.execution.display import CELLS, Display
from orchestrator.results.folder import LAUNCH_LOG
from orchestrator.results.live import read_live
from orchestrator.results.manifest import NAME, labels_to_run, load_manifest
from orchestrator.results.store import Store
from orchestrator.results.stress_record import units_in
from tasks.contract.cell import Progress, Status

EVERY_S = 2.0
PATIENCE = 15
"""Pulls in a row that may fail before following ends."""
LOG_BYTES = 1 << 16
"""Of the end of a driver's log, which are looked through for its last line."""


def follow(far: Far, display: Display, *, stress: bool = False) -> None:
    """Pull results and show them until the driver has ended.

    Args:
        far: Where the driver runs.
        display: Shows them.
        stress: Whether it runs a stress test, not cells.

    Raises:
        UserError: The head could not be reached `PATIENCE` times; the sweep goes on there.
        KeyboardInterrupt: The user pressed Ctrl-C.
    """
    view = _Units(far, display) if stress else _View(far, display)
    misses = 0
    while True:
        try:
            running = far.pull().driver is not None
            misses = 0
        except UserError as error:
            misses += 1
            if misses == PATIENCE:
                raise UserError(
                    f"{error}\nthe sweep goes on", "launch again to follow it"
                ) from None
            if misses == 1:
                display.note(f"{error}; trying again")
            running = True
        view.show()
        if not running:
            return
        time.sleep(EVERY_S)


def demand_ended(folder: Path, *, stress: bool = False) -> None:
    """Check that a driver elsewhere, which does not run any more, came to its end.

    Args:
        folder: Where its results were fetched to.
        stress: Whether it ran a stress test, not cells.

    Raises:
        UserError: Cells, or units of the test, are open; the message has the end of its log.
    """
    view = _Units if stress else _View
    wanted = view.wanted(folder)
    left = len(wanted.keys() - {r[view.key] for r in Store(folder).rows(view.table)})
    if left or not wanted:
        log = folder / LAUNCH_LOG
        raise UserError(
            f"{folder}: the driver has ended with {left} of {len(wanted)} {view.what} open, and "
            f"{log} with: {_last_words(log)}",
            "launch again to go on; if the cluster is down, first: rho-sweep cluster up",
        )


def _last_words(log: Path) -> str:
    """The last line of a driver's log that is not one of Ray's own, which begin with `[`."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_BYTES))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
        said = [line for line in lines if line and not line.startswith("[")]
        return said[-1][:LONGEST_LINE] if said else "nothing"
    return "nothing, for it is not there"


class _View:
    """Tells a display what is new in a folder."""

    what, table, key = CELLS, "cells", "cell_id"

    def __init__(self, far: Far, display: Display) -> None:
        self._store, self._display = Store(far.folder), display
        self._labels: dict[str, str] = {}
        self._shown: dict[str, object] = {}
        self._written = 0

    def show(self) -> None:
        # a launch that adds cells writes the manifest anew; reading it takes long if it is large
        path = self._store.folder / NAME
        written = path.stat().st_mtime_ns if path.is_file() else 0
        if (not self._labels or written != self._written) and not self._begin():
            return
        self._written = written
        for cell, row in self._rows().items():
            if self._shown.get(cell) != row["finished_at"]:
                self._shown[cell] = row["finished_at"]
                status, message = Status(row["status"]), row["message"]
                self._display.settled(self._labels[cell], status, message)
        live = read_live(self._store.folder)
        cells = {cell["label"]: _progress(cell) for cell in live["running"]}
        self._display.running(cells, live.get("left_s"))

    def _begin(self) -> bool:
        wanted = self.wanted(self._store.folder)
        if wanted == self._labels:
            return bool(wanted)
        self._labels = wanted
        if not self._labels:
            return False
        rows = self._rows()
        self._shown = {cell: row["finished_at"] for cell, row in rows.items()}
        done = sum(row["status"] == Status.OK for row in rows.values())
        self._display.begin(total=len(self._labels), done=done, linked=0, what=self.what)
        return True

    @staticmethod
    def wanted(folder: Path) -> dict[str, str]:
        """Key -> label of what is to be done; empty before anybody knows."""
        return labels_to_run(load_manifest(folder)) if (folder / NAME).is_file() else {}

    def _rows(self) -> dict[str, dict[str, Any]]:
        rows = self._store.rows(self.table)
        return {r[self.key]: r for r in rows if r[self.key] in self._labels}


class _Units(_View):
    """The same of a stress test."""

    what, table, key = "generations", "generations", "generation_id"

    @staticmethod
    def wanted(folder: Path) -> dict[str, str]:
        return units_in(folder)


def _progress(cell: dict[str, Any]) -> Progress | None:
    if cell["stage"] == "start":
        return None
    return Progress(stage=cell["stage"], step=cell["step"], steps=cell["steps"], loss=cell["loss"])
