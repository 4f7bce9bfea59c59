"""Keeps outcomes, in the background if need be, so that no host waits for the driver's disk."""

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

AT_ONCE = 6
BEHIND = 16
"""Results in memory that may wait for the disk."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A cell whose row is on the disk."""

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
    """Put what came of a unit where its kind belongs.

    Args:
        store: Where to.
        outcome: What an attempt brought home.
        attempts: Made at it so far.
        ray: Version that ran it; None without Ray.
        finished_at: When it ended; None is now.
    """
    facts: dict[str, Any] = {"attempts": attempts, "ray": ray, "finished_at": finished_at}
    match outcome:
        case CellResult():
            store.commit(outcome, **facts)
        case GenerationResult(spec=spec) | CellFailure(spec=GenerationSpec() as spec):
            generations.commit(store, outcome, spec, **facts)
        case CellFailure():
            store.commit_failure(outcome, **facts)


class Committer:
    """Commits several cells side by side; used by one thread.

    Args:
        store: Where to.
        ray: Version that ran the cells; None without Ray.
    """

    def __init__(self, store: Store, ray: str | None) -> None:
        self._store, self._ray = store, ray
        self._pool = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="commit")
        self._pending: deque[_Pending] = deque()

    def put(self, attempt: Attempt, outcome: Outcome) -> None:
        """Begin to keep what an attempt brought home; returns at once."""
        kept = Kept(attempt.cell, *_ending(outcome))
        ended_at = datetime.now(UTC)
        write = self._pool.submit(self._commit, outcome, attempt.number, ended_at)
        self._pending.append(_Pending(write, attempt, ended_at, kept))

    def _commit(self, outcome: Outcome, attempts: int, ended_at: datetime) -> None:
        keep(self._store, outcome, attempts=attempts, ray=self._ray, finished_at=ended_at)

    def landed(self, *, last: bool = False) -> Iterator[Kept]:
        """Cells that are kept since the last call, their attempts ended in the journal.

        Args:
            last: Wait for all.

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


def _ending(outcome: Outcome) -> tuple[Status, str | None]:
    match outcome:
        case CellResult():
            return outcome.status, outcome.message
        case GenerationResult():
            return Status.OK, None
        case CellFailure():
            return Status.FAILED, outcome.message
