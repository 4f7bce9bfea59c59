"""What a launch needs of the thing that executes cells, and its in-process twin."""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from orchestrator.node import Beat, Node, Outcome
from tasks.contract import CellSpec


@dataclass(frozen=True, slots=True)
class Ended:
    """A cell came back."""

    cell_id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """The process of a cell died."""

    cell_id: str
    reason: str


Report = Beat | Ended | WorkerLost


class Engine(Protocol):
    """Executes cells. Used by one thread."""

    name: str

    def hosts(self) -> dict[str, int]:
        """Host -> slots."""

    def start(self, spec: CellSpec, host: str) -> None:
        """Begin a cell; at most as many at once as the host has slots."""

    def poll(self, timeout_s: float) -> list[Report]:
        """What happened since the last call; waits up to `timeout_s` for something."""

    def close(self) -> None:
        """Stop everything that is running."""


class InlineEngine:
    """Runs cells in this very process, one at a time: for debugging and tests."""

    name = "inline"

    def __init__(self) -> None:
        self._node = Node()
        self._queue: deque[CellSpec] = deque()
        self._beats: list[Report] = []

    def hosts(self) -> dict[str, int]:
        """One slot, here."""
        return {"inline": 1}

    def start(self, spec: CellSpec, host: str) -> None:  # noqa: ARG002 - there is one host
        """Put a cell in the queue; `poll` runs it."""
        self._queue.append(spec)

    def poll(self, timeout_s: float) -> list[Report]:  # noqa: ARG002 - a cell takes its time
        """Run the next cell to its end."""
        if not self._queue:
            return []
        spec = self._queue.popleft()
        outcome = self._node.execute(spec, self._beats.append)
        beats, self._beats = self._beats, []
        return [*beats, Ended(spec.cell_id, outcome)]

    def close(self) -> None:
        """Nothing runs between two calls."""
