"""Runs cells through Ray: one worker process per slot, kept while all goes well."""

import os
import time
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from orchestrator.engine import Ended, Report, WorkerLost
from orchestrator.errors import UserError
from orchestrator.node import Beat, Node, Outcome
from orchestrator.ray_settings import OBJECT_STORE_BYTES, SLOT
from tasks.contract import CellFailure, CellSpec

BEAT_EVERY_S = 0.5


class Worker:
    """A process that executes cells; a Ray actor. Retrying is the schedule's business."""

    def __init__(self, board: Any) -> None:
        self._node = Node()
        self._board = board
        self._last = ("", "", 0.0)
        self._posts: list[Any] = []

    def execute(self, spec: CellSpec) -> Outcome:
        """Run one cell; all its signs of life have arrived when this returns."""
        outcome = self._node.execute(spec, self._beat)
        ray.get(self._posts)
        self._posts.clear()
        return outcome

    def _beat(self, beat: Beat) -> None:
        """Post signs of life, but not more often than anybody looks."""
        cell, stage, at = self._last
        now = time.monotonic()
        same = (cell, stage) == (beat.cell_id, beat.progress.stage)
        if not same or now - at >= BEAT_EVERY_S or beat.progress.step == beat.progress.steps:
            self._last = (beat.cell_id, beat.progress.stage, now)
            self._posts.append(self._board.post.remote(beat))


class Board:
    """Collects signs of life from all workers; a Ray actor."""

    def __init__(self) -> None:
        self._beats: list[Beat] = []

    def post(self, beat: Beat) -> None:
        """Add one."""
        self._beats.append(beat)

    def drain(self) -> list[Beat]:
        """Take all."""
        beats, self._beats = self._beats, []
        return beats


@dataclass(slots=True)
class _Slot:
    """A place for one worker at a time.

    Attributes:
        worker: Actor handle; None until a cell needs one, and after it was retired.
        memory: Bytes that the worker reserved.
        cells: Cells it has finished.
        spec: What it is running.
    """

    worker: Any = None
    memory: int = 0
    cells: int = 0
    spec: CellSpec | None = None


class RayEngine:
    """One Ray node, started here or reached by its address.

    Args:
        slots: Cells at once.
        recycle_after: Cells after which a worker process is replaced.
        memory_of: Estimated peak memory of a cell, bytes.
        address: Of a running Ray; None starts one on this machine.

    Raises:
        UserError: Ray cannot be started or reached.
    """

    name = "ray"

    def __init__(
        self,
        *,
        slots: int,
        recycle_after: int,
        memory_of: dict[str, int],
        address: str | None = None,
    ) -> None:
        self._recycle_after = recycle_after
        self._memory_of = memory_of
        _connect(address, slots, slots * max(memory_of.values()))
        self._host = ray.util.get_node_ip_address()
        self._slots = [_Slot() for _ in range(slots)]
        self._board = ray.remote(Board).options(num_cpus=0).remote()
        self._running: dict[Any, _Slot] = {}

    def hosts(self) -> dict[str, int]:
        """Host -> slots."""
        return {self._host: len(self._slots)}

    def start(self, spec: CellSpec, host: str) -> None:  # noqa: ARG002 - there is one host
        """Begin a cell on a free slot, in the slot's worker if it still may serve."""
        slot = next(s for s in self._slots if s.spec is None)
        memory = self._memory_of.get(spec.cell_id, 0)
        if slot.worker is not None and memory > slot.memory:
            self._retire(slot)
        if slot.worker is None:
            slot.memory, slot.cells = memory, 0
            options = {"num_cpus": 1, "resources": {SLOT: 1}, "max_restarts": 0}
            slot.worker = ray.remote(Worker).options(memory=memory, **options).remote(self._board)
        slot.spec = spec
        self._running[slot.worker.execute.remote(spec)] = slot

    def poll(self, timeout_s: float) -> list[Report]:
        """What happened since the last call."""
        if not self._running:
            time.sleep(timeout_s)
            return []
        ready, _ = ray.wait(list(self._running), timeout=timeout_s)
        beats: list[Report] = list(ray.get(self._board.drain.remote()))
        return beats + [self._collect(ref) for ref in ready]

    def _collect(self, ref: Any) -> Report:
        slot = self._running.pop(ref)
        spec, slot.spec = slot.spec, None
        if spec is None:
            raise AssertionError("a running slot has a cell")
        try:
            outcome: Outcome = ray.get(ref)
        except RayTaskError:
            raise
        except RayError as error:
            self._retire(slot)
            return WorkerLost(spec.cell_id, _reason(error))
        slot.cells += 1
        if isinstance(outcome, CellFailure) or slot.cells >= self._recycle_after:
            self._retire(slot)
        return Ended(spec.cell_id, outcome)

    def _retire(self, slot: _Slot) -> None:
        """End a worker process; the slot's next cell gets a new one."""
        if slot.worker is not None:
            ray.kill(slot.worker)
        slot.worker = None

    def close(self) -> None:
        """Stop all workers, and Ray itself if it was started here."""
        for slot in self._slots:
            self._retire(slot)
        ray.shutdown()


def _connect(address: str | None, slots: int, memory: int) -> None:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    try:
        if address is not None:
            ray.init(address=address, **quiet)
        else:
            ray.init(
                address="local",
                num_cpus=max(slots, 1),
                num_gpus=0,
                resources={SLOT: slots},
                _memory=memory,
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                **quiet,
            )
    except (RayError, OSError, ConnectionError, RuntimeError, ValueError) as error:
        where = f"at {address}" if address else "on this machine"
        line = str(error).strip().splitlines()[0]
        raise UserError(f"Ray cannot be started {where} ({line}); try --inline") from None
    offered = ray.cluster_resources().get(SLOT, 0)
    if offered < slots:
        ray.shutdown()
        raise UserError(
            f"the Ray at {address} offers {offered:g} of the resource {SLOT!r}, {slots} are "
            f"needed; start its nodes with --resources '{{\"{SLOT}\": 1}}' or lower --slots"
        )


def _reason(error: RayError) -> str:
    line = next((x for x in str(error).splitlines() if x.strip()), type(error).__name__)
    return f"the worker process died ({line.strip()[:160]})"
