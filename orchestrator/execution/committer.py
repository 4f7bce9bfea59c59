"""Writes outcomes to the results, several at once and in the background.

Most of a commit is waiting for the disk (fsync); hosts get their next cell meanwhile.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from orchestrator.results import generations
from orchestrator.results.attempts import Attempt
from orchestrator.results.store import Store
from tasks.contract.cell import CellFailure, CellResult, Status
from tasks.contract.generation import GenerationResult, GenerationSpec
from tasks.contract.reports import Outcome
from tasks.contract.scoring import ScoringResult, ScoringSpec

AT_ONCE = 6
BEHIND = 16
"""Outcomes that may wait in memory for the disk; with more, `landed` waits. Some hold adapters."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How a cell ended whose row is on the disk."""

    cell: str
    status: Status
    message: str | None


@dataclass(frozen=True, slots=True)
class _Pending:
    write: Future[None]
    attempt: Attempt
    ended_at: datetime
    kept: Kept


def keep(
    store: Store,
    outcome: Outcome,
    *,
    attempts: int,
    ray: str | None,
    finished_at: datetime | None = None,
) -> None:
    """Write the outcome of a unit to the tables of its kind: cell, generation or scoring.

    Args:
        store: The results.
        outcome: What the attempt returned.
        attempts: Attempts at the unit so far.
        ray: Version of Ray that ran it; None without Ray.
        finished_at: When it ended; None for now.
    """
    facts: dict[str, Any] = {"attempts": attempts, "ray": ray, "finished_at": finished_at}
    match outcome:
        case CellResult():
            store.commit(outcome, **facts)
        case GenerationResult(spec=spec) | CellFailure(spec=GenerationSpec() as spec):
            generations.commit(store, outcome, spec, **facts)
        case ScoringResult():
            store.commit_scored(outcome)
        case CellFailure(spec=ScoringSpec()):
            pass  # the attempt's row says why
        case CellFailure():
            store.commit_failure(outcome, **facts)


class Committer:
    """Writes outcomes in threads of its own; its methods are called by one thread.

    Args:
        store: The results.
        ray: Version of Ray that runs the cells; None without Ray.
    """

    def __init__(self, store: Store, ray: str | None) -> None:
        self._store, self._ray = store, ray
        self._pool = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="commit")
        self._pending: deque[_Pending] = deque()

    def put(self, attempt: Attempt, outcome: Outcome) -> None:
        """Begin to write the outcome of an attempt; returns at once."""
        match outcome:
            case CellResult():
                kept = Kept(attempt.cell, outcome.status, outcome.message)
            case GenerationResult() | ScoringResult():
                kept = Kept(attempt.cell, Status.OK, None)
            case CellFailure():
                kept = Kept(attempt.cell, Status.FAILED, outcome.message)
        now = datetime.now(UTC)
        facts: dict[str, Any] = {"attempts": attempt.number, "ray": self._ray, "finished_at": now}
        write = self._pool.submit(keep, self._store, outcome, **facts)
        self._pending.append(_Pending(write, attempt, now, kept))

    def landed(self, *, last: bool = False) -> Iterator[Kept]:
        """Cells written since the last call, in the order of `put`.

        The row in `attempts` gets its end here, after the cell is on the disk.

        Args:
            last: Whether to wait for all that are pending.

        Raises:
            UserError: A cell cannot be written.
        """
        while self._pending:
            first = self._pending[0]
            if not (last or first.write.done() or len(self._pending) > BEHIND):
                return
            self._pending.popleft()
            first.write.result()
            row = first.attempt.row(str(first.kept.status), first.kept.message, first.ended_at)
            self._store.write_attempt(row)
            yield first.kept
