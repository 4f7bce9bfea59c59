"""Follows a sweep whose driver runs on a cluster's head, in this terminal."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.cluster.remote_sweep import Far
from orchestrator.errors import UserError
from orchestrator.execution.display import CELLS, Display
from orchestrator.results.attempts import last_attempts
from orchestrator.results.folder import LAUNCH_LOG
from orchestrator.results.live import read_live
from orchestrator.results.manifest import NAME, labels_to_run, load_manifest
from orchestrator.results.store import Store
from orchestrator.results.stress_record import units_in, units_of_pack
from orchestrator.visible import last_line
from tasks.contract.cell import Progress, Status

EVERY_S = 2.0
PATIENCE = 15
"""Pulls in a row that may fail before following ends."""
LOG_BYTES = 1 << 16
"""Of the end of a driver's log, which are looked through for its last line."""
Ends = dict[str, tuple[object, Status, str | None]]
"""Key -> when a unit ended (any mark that changes when it ends again), how, and why."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One kind of work, as a results folder tells of it.

    Attributes:
        what: Name of its units, for people.
        wanted: Key -> label of all that a folder is to have; empty before anybody knows.
        ended: What of it has ended.
        lost: Keys of units whose last attempt was lost: given up, once no driver runs.
    """

    what: str
    wanted: Callable[[Path], Mapping[str, str]]
    ended: Callable[[Store], Ends]
    lost: Callable[[Store], set[str]] = lambda _: set()


def _cells(folder: Path) -> dict[str, str]:
    return labels_to_run(load_manifest(folder)) if (folder / NAME).is_file() else {}


def _rows(table: str, key: str, store: Store) -> Ends:
    rows = store.rows(table)
    return {r[key]: (r["finished_at"], Status(r["status"]), r["message"]) for r in rows}


SWEEP = Watched(CELLS, _cells, partial(_rows, "cells", "cell_id"))
ANSWERS = Watched("generations", units_in, partial(_rows, "generations", "generation_id"))


def scorings(pack: str) -> Watched:
    """Scorings of a pack by its name; a unit without scores has its attempts alone."""

    def ended(store: Store) -> Ends:
        failed = {
            key: (row["ended_at"], Status.FAILED, row["message"])
            for key, row in last_attempts(store).items()
            if row["outcome"] == "failed"
        }
        return failed | dict.fromkeys(store.scored_units(), (None, Status.OK, None))

    def lost(store: Store) -> set[str]:
        return {k for k, row in last_attempts(store).items() if row["outcome"] == "lost"}

    return Watched("scorings", partial(units_of_pack, name=pack), ended, lost)


def follow(far: Far, display: Display, work: Watched = SWEEP) -> None:
    """Pull results and show them until the driver has ended.

    Args:
        far: Where the driver runs.
        display: Shows them.
        work: What it runs.

    Raises:
        UserError: The head could not be reached `PATIENCE` times; the sweep goes on there.
        KeyboardInterrupt: The user pressed Ctrl-C.
    """
    view = _View(far, display, work)
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


def demand_ended(folder: Path, work: Watched = SWEEP) -> None:
    """Check that a driver elsewhere, which does not run any more, came to its end.

    Args:
        folder: Where its results were fetched to.
        work: What it ran.

    Raises:
        UserError: Units are open; the message has the end of its log.
    """
    wanted, store = work.wanted(folder), Store(folder)
    left = len(wanted.keys() - work.ended(store).keys() - work.lost(store))
    if left or not wanted:
        log = folder / LAUNCH_LOG
        raise UserError(
            f"{folder}: the driver has ended with {left} of {len(wanted)} {work.what} open, and "
            f"{log} with: {_last_words(log)}",
            "launch again to go on; if the cluster is down, first: rho-sweep cluster up",
        )


def _last_words(log: Path) -> str:
    """The last line of a driver's log that is not one of Ray's own, which begin with `[`."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_BYTES))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
        return last_line("\n".join(x for x in lines if not x.startswith("[")), "nothing")
    return "nothing, for it is not there"


class _View:
    """Tells a display what is new in a folder."""

    def __init__(self, far: Far, display: Display, work: Watched) -> None:
        self._store, self._display, self._work = Store(far.folder), display, work
        self._labels: Mapping[str, str] = {}
        self._shown: dict[str, object] = {}
        self._written = 0

    def show(self) -> None:
        # a launch that adds cells writes the manifest anew; reading it takes long if it is large
        path = self._store.folder / NAME
        written = path.stat().st_mtime_ns if path.is_file() else 0
        if (not self._labels or written != self._written) and not self._begin():
            return
        self._written = written
        for key, (at, status, message) in self._ends().items():
            if key not in self._shown or self._shown[key] != at:
                self._shown[key] = at
                self._display.settled(self._labels[key], status, message)
        live = read_live(self._store.folder)
        cells = {cell["label"]: _progress(cell) for cell in live["running"]}
        self._display.running(cells, live.get("left_s"))

    def _begin(self) -> bool:
        wanted = self._work.wanted(self._store.folder)
        if wanted == self._labels:
            return bool(wanted)
        self._labels = wanted
        if not self._labels:
            return False
        ends = self._ends()
        self._shown = {key: at for key, (at, *_) in ends.items()}
        done = sum(status is Status.OK for _, status, _ in ends.values())
        total, what = len(self._labels), self._work.what
        self._display.begin(total=total, done=done, linked=0, what=what)
        return True

    def _ends(self) -> Ends:
        return {k: end for k, end in self._work.ended(self._store).items() if k in self._labels}


def _progress(cell: dict[str, Any]) -> Progress | None:
    if cell["stage"] == "start":
        return None
    return Progress(stage=cell["stage"], step=cell["step"], steps=cell["steps"], loss=cell["loss"])
