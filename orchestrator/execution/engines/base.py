"""What a launch needs of an engine, which executes cells; and the engine of this process."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from orchestrator.execution.engines.node import Node
from orchestrator.execution.scheduling.hosts import HostUp
from orchestrator.execution.scheduling.schedule import HostLost, Lost
from tasks.contract.cell import Spec
from tasks.contract.checkpoint_envelope import Saving
from tasks.contract.reports import Beat, Outcome


@dataclass(frozen=True, slots=True)
class Sign:
    """An attempt gave a sign of life; `beat` is its progress, None if only its process is alive.

    Here and below `cell_id` is the key of any unit: a cell, or a generation.
    """

    cell_id: str
    attempt: int
    beat: Beat | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt ended with an outcome, which is in memory only until the committer wrote it."""

    cell_id: str
    attempt: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Saved:
    """An attempt made a checkpoint; `sealed` are the bytes of its file."""

    cell_id: str
    attempt: int
    sealed: bytes


Report = Sign | Saved | Ended | Lost | HostUp | HostLost
"""What `Engine.poll` tells. `Lost`, `HostUp` and `HostLost` are events of the schedule already;
`Run` turns the others into some. Not `tasks.contract.phases.Report`, which is a cell's callback."""


class Executor(Protocol):
    """Runs a cell in the process that it lives in; the real one is `engines.node.Node`."""

    def execute(self, spec: Spec, beat: Callable[[Beat], None], saving: Saving) -> Outcome:
        """Run a cell; never raises."""


class Engine(Protocol):
    """Executes cells. Used by one thread."""

    name: str

    def hosts(self) -> list[HostUp]:
        """The hosts at the start; later ones are reports of `poll`."""

    def start(self, spec: Spec, host: str, attempt: int, resume: bytes | None) -> None:
        """Begin a cell, from the checkpoint `resume` if any; a host gets no more than its slots."""

    def abandon(self, cell_id: str, attempt: int) -> None:
        """End an attempt and return at once; there are no more reports of it."""

    def poll(self, timeout_s: float, take: Callable[[Report], None]) -> None:
        """Tell what happened since the last call; wait up to `timeout_s` if nothing did."""

    def close(self) -> None:
        """Stop everything that is running."""


class _Stopped(BaseException):
    """The driver could not go on while a cell told something."""


class InlineEngine:
    """Runs cells in this process, one at a time: for debugging and tests.

    Args:
        node: Makes what executes the cells.
        checkpoint_s: Seconds of training that may be lost; 0 for no checkpoints.
    """

    name = "inline"

    def __init__(
        self,
        node: Callable[[], Executor] = Node,
        *,
        checkpoint_s: float = 0.0,
    ) -> None:
        self._node, self._every_s = node(), checkpoint_s
        self._queue: deque[tuple[Spec, int, bytes | None]] = deque()

    def hosts(self) -> list[HostUp]:
        """One slot, here."""
        return [HostUp("inline", 1)]

    def start(
        self,
        spec: Spec,
        host: str,  # noqa: ARG002 - there is one host
        attempt: int,
        resume: bytes | None,
    ) -> None:
        """Put a cell in the queue; `poll` runs it."""
        self._queue.append((spec, attempt, resume))

    def abandon(self, cell_id: str, attempt: int) -> None:
        """Remove a cell from the queue."""
        self._queue = deque(q for q in self._queue if (q[0].key, q[1]) != (cell_id, attempt))

    def poll(
        self,
        timeout_s: float,  # noqa: ARG002 - a cell takes its time
        take: Callable[[Report], None],
    ) -> None:
        """Run the next cell to its end; what it tells is taken while it runs."""
        if not self._queue:
            return
        spec, attempt, resume = self._queue.popleft()

        def tell(report: Report) -> None:
            try:
                take(report)
            except Exception as error:
                raise _Stopped from error

        saving = Saving(
            every_s=self._every_s,
            keep=lambda sealed: tell(Saved(spec.key, attempt, sealed)),
            resume=resume,
        )
        try:
            outcome = self._node.execute(
                spec, lambda beat: tell(Sign(spec.key, attempt, beat)), saving
            )
        except _Stopped as stopped:
            raise stopped.__cause__ or stopped from None
        take(Ended(spec.key, attempt, outcome))

    def close(self) -> None:
        """Do nothing: no cell runs between two calls."""
