"""What runs inside Ray: the process that executes cells, and the board for signs of life."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import ray

from orchestrator.execution.engines.base import Executor, Saved, Sign
from tasks.contract.cell import Spec
from tasks.contract.checkpoint_envelope import Saving
from tasks.contract.reports import Beat, Outcome

BEAT_EVERY_S = 0.5
PULSE_EVERY_S = 5.0
"""A process says so often that it lives, however long the cell has nothing to report."""


class Worker:
    """A process that executes cells; a Ray actor. Retrying is the schedule's business."""

    def __init__(self, board: Any, node: Callable[[], Executor], checkpoint_s: float) -> None:
        self._node = node()
        self._board, self._every_s = board, checkpoint_s
        self._sending: Any = None
        self._posted = ("", "", 0.0)
        self._last: Sign | None = None

    def execute(
        self, spec: Spec, attempt: int, resume: bytes | None
    ) -> tuple[Outcome, Sign | None]:
        """Run one cell; returns what came of it, and its last sign of life."""
        cell = spec.key
        self._last = None
        keep = partial(self._send, cell, attempt)
        saving = Saving(every_s=self._every_s, keep=keep, resume=resume)
        with self._pulse(cell, attempt):
            outcome = self._node.execute(spec, lambda beat: self._beat(attempt, beat), saving)
        return outcome, self._last

    def _send(self, cell: str, attempt: int, sealed: bytes) -> None:
        """Send a checkpoint, unless the one before is still on its way: the link is slow."""
        if self._sending is None or ray.wait([self._sending], timeout=0)[0]:
            self._sending = self._board.save.remote(Saved(cell, attempt, sealed))

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
        news = (cell, stage) != (beat.cell_id, beat.progress.stage) or beat.progress.note
        if news or now - at >= BEAT_EVERY_S:
            self._posted = (beat.cell_id, beat.progress.stage, now)
            self._board.post.remote(self._last)


class Board:
    """Collects signs of life and checkpoints of all workers; a Ray actor beside the driver."""

    def __init__(self) -> None:
        self._signs: list[Sign] = []
        self._saved: dict[tuple[str, int], Saved] = {}

    def post(self, sign: Sign) -> None:
        """Add one."""
        self._signs.append(sign)

    def save(self, saved: Saved) -> None:
        """Keep the newest checkpoint of an attempt."""
        self._saved[saved.cell_id, saved.attempt] = saved

    def drain(self) -> list[Sign | Saved]:
        """Take all signs, and one checkpoint: they are large."""
        signs, self._signs = self._signs, []
        saved = [self._saved.pop(next(iter(self._saved)))] if self._saved else []
        return [*signs, *saved]
