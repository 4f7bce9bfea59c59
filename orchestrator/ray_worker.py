"""What runs inside Ray: the process that executes cells, and the board for signs of life."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from orchestrator.engine import Executor, Sign
from orchestrator.node import Beat, Outcome
from tasks.contract import CellSpec

BEAT_EVERY_S = 0.5
PULSE_EVERY_S = 5.0
"""A process says so often that it lives, however long the cell has nothing to report."""


class Worker:
    """A process that executes cells; a Ray actor. Retrying is the schedule's business."""

    def __init__(self, board: Any, node: Callable[[], Executor]) -> None:
        self._node = node()
        self._board = board
        self._posted = ("", "", 0.0)
        self._last: Sign | None = None

    def execute(self, spec: CellSpec, attempt: int) -> tuple[Outcome, Sign | None]:
        """Run one cell; returns what came of it, and its last sign of life."""
        cell = spec.cell_id
        self._last = None
        with self._pulse(cell, attempt):
            outcome = self._node.execute(spec, lambda beat: self._beat(attempt, beat))
        return outcome, self._last

    @contextmanager
    def _pulse(self, cell: str, attempt: int) -> Iterator[None]:
        """A thread of its own, which touches no model, reports while the cell is silent."""
        ended = threading.Event()

        def pulse() -> None:
            while not ended.wait(PULSE_EVERY_S):
                self._board.post.remote(Sign(cell, attempt))

        threading.Thread(target=pulse, daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def _beat(self, attempt: int, beat: Beat) -> None:
        """Post progress, but not more often than anybody looks."""
        self._last = Sign(beat.cell_id, attempt, beat)
        cell, stage, at = self._posted
        now = time.monotonic()
        if (cell, stage) != (beat.cell_id, beat.progress.stage) or now - at >= BEAT_EVERY_S:
            self._posted = (beat.cell_id, beat.progress.stage, now)
            self._board.post.remote(self._last)


class Board:
    """Collects signs of life from all workers; a Ray actor beside the driver."""

    def __init__(self) -> None:
        self._signs: list[Sign] = []

    def post(self, sign: Sign) -> None:
        """Add one."""
        self._signs.append(sign)

    def drain(self) -> list[Sign]:
        """Take all."""
        signs, self._signs = self._signs, []
        return signs
