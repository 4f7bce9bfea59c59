"""Rows of the `attempts` table: one per attempt, put in the queue at its start and at its end.

The row of the end replaces that of the start.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from orchestrator.results import lock
from orchestrator.results.checkpoints import FOLDER
from orchestrator.results.files import remove_leftovers
from orchestrator.results.live import read_live
from orchestrator.results.schema import TABLES
from orchestrator.results.store import Store, to_rows
from tasks.contract.reports import Beat

LAST_BYTES = 4096
"""Of a log, which hold its last line."""


@dataclass(slots=True)
class Attempt:
    """One attempt under way.

    Attributes:
        cell: Key of the unit.
        number: From 1, over all launches.
        host: Name of the host that runs it.
        started_at: When.
        beat: Its latest progress.
    """

    cell: str
    number: int
    host: str
    started_at: datetime
    beat: Beat | None = None

    def row(
        self, outcome: str, message: str | None, ended_at: datetime | None = None
    ) -> dict[str, Any]:
        """The attempt as a row of the journal."""
        return {
            "cell_id": self.cell,
            "attempt": self.number,
            "host": self.host,
            "started_at": self.started_at,
            "ended_at": ended_at,
            "outcome": outcome,
            "message": message,
        }

    @property
    def stage(self) -> str:
        """Phase it is in; `start` before it said so."""
        return self.beat.progress.stage if self.beat else "start"

    def live(self, label: str) -> dict[str, Any]:
        """The attempt as `status` shows it."""
        progress = self.beat.progress if self.beat else None
        return {
            "cell_id": self.cell,
            "label": label,
            "attempt": self.number,
            "host": self.host,
            "pid": self.beat.pid if self.beat else None,
            "stage": self.stage,
            "step": progress.step if progress else 0,
            "steps": progress.steps if progress else 0,
            "loss": progress.loss if progress else None,
        }


@contextmanager
def alone(store: Store) -> Iterator[None]:
    """Hold a results folder; what a dead driver left is tidied first.

    Attempts that it left running are ended, files that it had begun to write are removed.

    Raises:
        UserError: Another launch holds it, or a file of the journal is damaged.
    """
    with lock.held(store.folder) as died:
        if died:
            for folder in (*TABLES, FOLDER, "adapters", "adapters/*"):
                for place in store.folder.glob(folder):
                    remove_leftovers(place)
            close_attempts(store)
            store.flush()
        yield


def close_attempts(store: Store) -> dict[str, int]:
    """Attempts made so far, by key; those that a dead driver left running are ended.

    Their end is when their unit was kept, or else their last sign of life.
    """
    made: dict[str, int] = {}
    kept, scored, now = _kept(store), store.scored_units(), read_live(store.folder)
    for row in store.rows("attempts"):
        cell, number = row["cell_id"], int(row["attempt"])
        made[cell] = max(made.get(cell, 0), number)
        if row["outcome"] == "running":
            # an attempt whose row was committed did end, whatever became of the driver after
            outcome, at = kept.get((cell, number), ("ok" if cell in scored else "lost", None))
            signs = [row["started_at"], at or _last_sign(store, row, now)]
            end = {"outcome": outcome, "message": "the driver died", "ended_at": max(signs)}
            store.write_attempt(row | end)
    return made


def last_attempts(store: Store) -> dict[str, dict[str, Any]]:
    """Key -> row of the last attempt of every unit that had one."""
    rows = sorted(store.rows("attempts"), key=lambda r: int(r["attempt"]))
    return {row["cell_id"]: row for row in rows}


def _kept(store: Store) -> dict[tuple[str, int], tuple[str, datetime]]:
    """(key, attempts made) -> how the unit ended, and when, of every one that is kept."""
    columns = ["attempts", "status", "finished_at"]
    cells = store.read("cells").select(["cell_id", *columns])
    answers = store.read("generations").select(["generation_id", *columns])
    rows = (tuple(row.values()) for table in (cells, answers) for row in to_rows(table))
    return {(key, number): (status, at) for key, number, status, at in rows}


def _last_sign(store: Store, row: Mapping[str, Any], now: Mapping[str, Any]) -> datetime:
    """When an attempt was last heard of: in `live.json`, which a dead driver leaves, or its log."""
    signs: list[datetime] = [row["started_at"]]
    runs = row["cell_id"] in (one.get("cell_id") for one in now["running"])
    texts: list[str] = [now["at"]] if runs and now["at"] else []
    with suppress(OSError), (store.folder / "logs" / f"{row['cell_id']}.log").open("rb") as log:
        log.seek(max(0, os.fstat(log.fileno()).st_size - LAST_BYTES))
        texts += log.read().decode(errors="replace").splitlines()[-1:]
    for text in texts:
        with suppress(ValueError):
            signs.append(datetime.fromisoformat(text[:19]).replace(tzinfo=UTC))
    return max(signs)
