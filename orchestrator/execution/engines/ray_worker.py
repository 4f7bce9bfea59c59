"""The two Ray actors: the worker executes cells, the board collects their signs of life."""

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
"""Pause between two signs that the process is alive. A cell may report no progress for minutes,
while it loads or scores; `Rules.silence_s` must be several times as long."""


class Worker:
    """Executes cells, one after the other, in a process of its own; a Ray actor."""

    def __init__(self, board: Any, node: Callable[[], Executor], checkpoint_s: float) -> None:
        self._node = node()
        self._board, self._every_s = board, checkpoint_s
        self._sending: Any = None
        self._posted = ("", "", 0.0)
        self._last: Sign | None = None

    def execute(
        self, spec: Spec, attempt: int, resume: bytes | None
    ) -> tuple[Outcome, Sign | None]:
        """Run one cell; returns its outcome and its last sign of life."""
        cell = spec.key
        self._last = None
        keep = partial(self._send, cell, attempt)
        saving = Saving(every_s=self._every_s, keep=keep, resume=resume)
        with self._pulse(cell, attempt):
            outcome = self._node.execute(spec, lambda beat: self._beat(attempt, beat), saving)
        return outcome, self._last

    def leave(self) -> None:
        """Free the model and end this process, so that a GPU has its memory back in order."""
        free = getattr(self._node, "free", None)
        if free is not None:
            free()
        ray.actor.exit_actor()

    def _send(self, cell: str, attempt: int, sealed: bytes) -> None:
        """Send a checkpoint, or drop it: a slow link may still be sending the one before."""
        if self._sending is None or ray.wait([self._sending], timeout=0)[0]:
            self._sending = self._board.save.remote(Saved(cell, attempt, sealed))

    @contextmanager
    def _pulse(self, cell: str, attempt: int) -> Iterator[None]:
        """Within the block a thread, which does not touch MLX, sends signs of life."""
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
        """Post progress: at once a new stage or a note, otherwise one per `BEAT_EVERY_S`."""
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
        """Add a sign of life."""
        self._signs.append(sign)

    def save(self, saved: Saved) -> None:
        """Keep the newest checkpoint of an attempt."""
        self._saved[saved.cell_id, saved.attempt] = saved

    def drain(self) -> list[Sign | Saved]:
        """Remove and return all signs, and one checkpoint only, because checkpoints are large."""
        signs, self._signs = self._signs, []
        saved = [self._saved.pop(next(iter(self._saved)))] if self._saved else []
        return [*signs, *saved]
