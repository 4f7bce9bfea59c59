"""What a launch needs of the thing that executes cells, and its in-process twin."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from orchestrator.errors import UserError
from orchestrator.execution.engines.node import Node
from orchestrator.execution.scheduling.events import HostLost, HostUp
from tasks.contract.cell import Spec
from tasks.contract.checkpoint_envelope import Saving
from tasks.contract.reports import Beat, Outcome


@dataclass(frozen=True, slots=True)
class Sign:
    """A sign of life of an attempt; `beat` is None where only its process said that it lives.

    Here and below `cell_id` is the key of any unit.
    """

    cell_id: str
    attempt: int
    beat: Beat | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt came back."""

    cell_id: str
    attempt: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """The process of an attempt died."""

    cell_id: str
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class Saved:
    """An attempt made a checkpoint."""

    cell_id: str
    attempt: int
    sealed: bytes


Report = Sign | Saved | Ended | WorkerLost | HostUp | HostLost


class Executor(Protocol):
    """Runs a cell in its own process; the real one is `engines.node.Node`."""

    def execute(self, spec: Spec, beat: Callable[[Beat], None], saving: Saving) -> Outcome:
        """Run a cell; never raises."""


class Engine(Protocol):
    """Executes cells. Used by one thread."""

    name: str

    def hosts(self) -> list[HostUp]:
        """The hosts at the start; `poll` tells of later ones."""

    def start(self, spec: Spec, host: str, attempt: int, resume: bytes | None) -> None:
        """Begin a cell, or go on from a checkpoint; at most as many at once as it has slots."""

    def abandon(self, cell_id: str, attempt: int) -> None:
        """End an attempt without waiting for it; nothing is reported of it any more."""

    def poll(self, timeout_s: float) -> list[Report]:
        """What happened since the last call; waits up to `timeout_s` for something."""

    def close(self) -> None:
        """Stop everything that is running."""


class InlineEngine:
    """Runs cells in this very process, one at a time: for debugging and tests.

    Args:
        node: Makes what executes the cells.
        checkpoint_s: Seconds of training that may be lost; 0 for no checkpoints.
        keep: Keeps the checkpoint of a cell at once, for `poll` returns only at the cell's end.
    """

    name = "inline"

    def __init__(
        self,
        node: Callable[[], Executor] = Node,
        *,
        checkpoint_s: float = 0.0,
        keep: Callable[[str, bytes], object] = lambda _cell, _sealed: None,
    ) -> None:
        self._node, self._every_s, self._keep = node(), checkpoint_s, keep
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
        """Take a cell out of the queue."""
        self._queue = deque(q for q in self._queue if (q[0].key, q[1]) != (cell_id, attempt))

    def poll(self, timeout_s: float) -> list[Report]:  # noqa: ARG002 - a cell takes its time
        """Run the next cell to its end."""
        if not self._queue:
            return []
        spec, attempt, resume = self._queue.popleft()
        beats: list[Beat] = []
        saving = Saving(every_s=self._every_s, keep=partial(self._save, spec.key), resume=resume)
        outcome = self._node.execute(spec, beats.append, saving)
        signs = [Sign(spec.key, attempt, beat) for beat in beats]
        return [*signs, Ended(spec.key, attempt, outcome)]

    def _save(self, cell_id: str, sealed: bytes) -> None:
        with suppress(UserError):  # a full disk must not cost the cell
            self._keep(cell_id, sealed)

    def close(self) -> None:
        """Nothing runs between two calls."""
