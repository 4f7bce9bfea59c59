"""Follows a sweep whose driver runs on a cluster's head, in this terminal."""

import time
from typing import Any

from orchestrator.cluster.remote_sweep import Far
from orchestrator.errors import UserError
from orchestrator.execution.display import CELLS, Display
from orchestrator.results.live import read_live
from orchestrator.results.manifest import NAME, load_manifest
from orchestrator.results.store import Store
from orchestrator.results.stress_record import units_in
from tasks.contract.cell import Progress, Status

EVERY_S = 2.0
PATIENCE = 15
"""Pulls in a row that may fail before following ends."""


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


class _View:
    """Tells a display what is new in a folder."""

    what, table, key = CELLS, "cells", "cell_id"

    def __init__(self, far: Far, display: Display) -> None:
        self._store, self._display = Store(far.folder), display
        self._labels: dict[str, str] = {}
        self._shown: dict[str, object] = {}

    def show(self) -> None:
        if not self._labels and not self._begin():
            return
        for cell, row in self._rows().items():
            if self._shown.get(cell) != row["finished_at"]:
                self._shown[cell] = row["finished_at"]
                status, message = Status(row["status"]), row["message"]
                self._display.settled(self._labels[cell], status, message)
        live = read_live(self._store.folder)
        cells = {cell["label"]: _progress(cell) for cell in live["running"]}
        self._display.running(cells, live.get("left_s"))

    def _begin(self) -> bool:
        self._labels = self._wanted()
        if not self._labels:
            return False
        rows = self._rows()
        self._shown = {cell: row["finished_at"] for cell, row in rows.items()}
        done = sum(row["status"] == Status.OK for row in rows.values())
        self._display.begin(total=len(self._labels), done=done, linked=0, what=self.what)
        return True

    def _wanted(self) -> dict[str, str]:
        """Key -> label of what is to be done; empty before anybody knows."""
        there = (self._store.folder / NAME).is_file()
        return load_manifest(self._store.folder)["cells"] if there else {}

    def _rows(self) -> dict[str, dict[str, Any]]:
        rows = self._store.rows(self.table)
        return {r[self.key]: r for r in rows if r[self.key] in self._labels}


class _Units(_View):
    """The same of a stress test."""

    what, table, key = "generations", "generations", "generation_id"

    def _wanted(self) -> dict[str, str]:
        return units_in(self._store.folder)


def _progress(cell: dict[str, Any]) -> Progress | None:
    if cell["stage"] == "start":
        return None
    return Progress(stage=cell["stage"], step=cell["step"], steps=cell["steps"], loss=cell["loss"])
