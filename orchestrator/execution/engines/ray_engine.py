"""Runs cells through Ray: one worker process per slot of every node, kept while all goes well."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import ActorUnschedulableError, GetTimeoutError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.errors import UserError
from orchestrator.execution.engines.base import Ended, Executor, Report, WorkerLost
from orchestrator.execution.engines.node import Node
from orchestrator.execution.engines.ray_nodes import Nodes
from orchestrator.execution.engines.ray_settings import OBJECT_STORE_BYTES, SLOT
from orchestrator.execution.engines.ray_worker import Board, Worker
from orchestrator.execution.scheduling.events import HostLost, HostUp
from tasks.contract.cell import CellFailure, Spec
from tasks.model.machine import describe

PATIENCE_S = 2.0
"""The driver waits no longer for any answer of Ray; what is late comes with a later call."""
LOOK_EVERY_S = 0.2
"""Signs of life are fetched so often; the last one comes with the result."""


@dataclass(slots=True)
class _Slot:
    """A place for one worker at a time.

    Attributes:
        worker: Actor handle; None until a cell needs one, and after it was retired.
        cells: Cells it has finished.
        spec: What it is running.
        attempt: Of that cell.
    """

    worker: Any = None
    cells: int = 0
    spec: Spec | None = None
    attempt: int = 0


@dataclass(slots=True)
class _Place:
    """A node and its slots."""

    node_id: str
    slots: list[_Slot] = field(default_factory=list)


class RayEngine:
    """The nodes of a Ray cluster that have slots, or one node that is started here.

    Args:
        recycle_after: Cells after which a worker process is replaced.
        slots: Cells at once on a node started here; a cluster's nodes say it themselves.
        address: Of a running Ray; None starts one on this machine.
        checkpoint_s: Seconds of training that may be lost; 0 for no checkpoints.
        without: Hosts of a cluster that are not to be used.
        node: Makes what executes the cells in a worker process.

    Raises:
        UserError: Ray cannot be started or reached, or has no node with slots.
    """

    name = "ray"

    def __init__(
        self,
        *,
        recycle_after: int,
        slots: int = 1,
        address: str | None = None,
        without: frozenset[str] = frozenset(),
        checkpoint_s: float = 0.0,
        node: Callable[[], Executor] = Node,
    ) -> None:
        self._recycle_after, self._node, self._every_s = recycle_after, node, checkpoint_s
        with _own_sigterm():
            _connect(address, slots)
        self._nodes = Nodes(local=address is None, without=without)
        self._board = _beside_driver(ray.remote(Board)).remote()
        self._drain: Any = None
        self._drained_s = 0.0
        self._places: dict[str, _Place] = {}
        self._running: dict[Any, tuple[str, _Slot]] = {}
        self._late: list[Report] = []
        self._first = [e for e in self._host_changes() if isinstance(e, HostUp)]
        if not self._first:
            self.close()
            raise UserError(
                f"the Ray at {address} has no node with the resource {SLOT!r}; "
                f"start its nodes with --resources '{{\"{SLOT}\": 1}}'"
            )

    def hosts(self) -> list[HostUp]:
        """The hosts at the start."""
        return self._first

    def start(self, spec: Spec, host: str, attempt: int, resume: bytes | None) -> None:
        """Begin a cell on a free slot, in the slot's worker if it still may serve."""
        place = self._places.get(host)
        slot = next((s for s in place.slots if s.spec is None), None) if place else None
        if place is None or slot is None:
            self._late.append(WorkerLost(spec.key, attempt, f"host {host} has no free slot"))
            return
        if slot.worker is None:
            slot.cells, slot.worker = 0, self._worker(place.node_id)
        slot.spec, slot.attempt = spec, attempt
        self._running[slot.worker.execute.remote(spec, attempt, resume)] = (host, slot)

    def _worker(self, node_id: str) -> Any:
        options = {
            "num_cpus": 0,
            "resources": {SLOT: 1},
            "max_restarts": 0,
            "max_task_retries": 0,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node_id, soft=False),
        }
        worker = ray.remote(Worker).options(**options)
        return worker.remote(self._board, self._node, self._every_s)

    def abandon(self, cell_id: str, attempt: int) -> None:
        """Forget an attempt and kill its process; Ray's word on it is not waited for."""
        for ref, (_, slot) in list(self._running.items()):
            if slot.spec is not None and (slot.spec.key, slot.attempt) == (cell_id, attempt):
                del self._running[ref]
                slot.spec = None
                self._retire(slot)

    def poll(self, timeout_s: float) -> list[Report]:
        """What happened since the last call."""
        late, self._late = self._late, []
        if not self._running:
            time.sleep(0 if late else timeout_s)
            return late + self._host_changes()
        refs = list(self._running)
        first, _ = ray.wait(refs, timeout=0 if late else timeout_s)
        ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0) if first else ([], None)
        signs = self._signs()
        ended = [report for ref in ready for report in self._collect(ref)]
        return [*late, *signs, *ended, *self._host_changes()]

    def _signs(self) -> list[Report]:
        """Signs of life and checkpoints; the board lives here, so they are not long in coming."""
        if time.monotonic() - self._drained_s < LOOK_EVERY_S:
            return []
        self._drained_s = time.monotonic()
        self._drain = self._drain or self._board.drain.remote()
        if not ray.wait([self._drain], timeout=PATIENCE_S)[0]:
            return []
        drain, self._drain = self._drain, None
        try:
            signs: list[Report] = ray.get(drain, timeout=PATIENCE_S)
        except RayError:  # the board died; Ray starts it anew
            return []
        return signs

    def _collect(self, ref: Any) -> list[Report]:
        host, slot = self._running[ref]
        spec, attempt = slot.spec, slot.attempt
        if spec is None:
            raise AssertionError("a running slot has a cell")
        try:
            outcome, sign = ray.get(ref, timeout=PATIENCE_S)
        except GetTimeoutError:
            return []
        except RayTaskError as error:
            outcome, sign = _broken(spec, error), None
        except RayError as error:
            self._end(ref, slot)
            self._retire(slot)
            return self._loss(host, spec.key, attempt, error)
        self._end(ref, slot)
        slot.cells += 1
        if isinstance(outcome, CellFailure) or slot.cells >= self._recycle_after:
            self._retire(slot)
        ended = Ended(spec.key, attempt, outcome)
        return [ended] if sign is None else [sign, ended]

    def _end(self, ref: Any, slot: _Slot) -> None:
        del self._running[ref]
        slot.spec = None

    def _loss(self, host: str, cell: str, attempt: int, error: RayError) -> list[Report]:
        """Ray knows of a dead node through its actors before its list of nodes says so."""
        if isinstance(error, ActorUnschedulableError) or "node has died" in str(error):
            self._nodes.bury(host)
            return []
        return [WorkerLost(cell, attempt, _reason(error))]

    def _host_changes(self) -> list[Report]:
        came, gone = self._nodes.changes()
        found: list[Report] = []
        for host in gone:
            self._forget(host)
            found.append(HostLost(host))
        for node in came:
            place = self._places.setdefault(node.up.host, _Place(node.node_id))
            missing = node.up.slots - len(place.slots)
            place.slots += [_Slot() for _ in range(missing)]
            found.append(node.up)
        return found

    def _forget(self, host: str) -> None:
        """A host is gone; what ran on it is not waited for."""
        for ref in [r for r, (h, _) in self._running.items() if h == host]:
            del self._running[ref]
        for slot in self._places.pop(host).slots:
            self._retire(slot)

    def _retire(self, slot: _Slot) -> None:
        """End a worker process; the slot's next cell gets a new one."""
        if slot.worker is not None:
            ray.kill(slot.worker)
        slot.worker = None

    def close(self) -> None:
        """Stop all workers, and Ray itself if it was started here."""
        self._nodes.close()
        for place in self._places.values():
            for slot in place.slots:
                self._retire(slot)
        ray.shutdown()


def _beside_driver(actor: Any) -> Any:
    """Signs of life must arrive whatever becomes of the other nodes."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    return actor.options(num_cpus=0, max_restarts=-1, scheduling_strategy=here)


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep this process's answer to SIGTERM: Ray puts one of its own in the place."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread() and before is not None:
        signal.signal(signal.SIGTERM, before)


def _connect(address: str | None, slots: int) -> None:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    try:
        if address is not None:
            ray.init(address=address, **quiet)
        else:
            ray.init(
                address="local",
                num_cpus=slots,
                num_gpus=0,
                resources={SLOT: slots},
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                **quiet,
            )
    except (RayError, OSError, ConnectionError, RuntimeError, ValueError) as error:
        where = f"at {address}" if address else "on this machine"
        line = str(error).strip().splitlines()[0]
        raise UserError(f"Ray cannot be started {where} ({line}); try --inline") from None


def _broken(spec: Spec, error: RayTaskError) -> CellFailure:
    """The worker itself raised an error, not the cell: a fault of the installation, as a rule."""
    return CellFailure(
        spec=spec,
        stage="process",
        message=f"{type(error.cause).__name__}: {error.cause}",
        trace=str(error),
        machine=describe(),
    )


def _reason(error: RayError) -> str:
    lines = [x.strip() for x in str(error).splitlines() if x.strip()]
    line = next((x for x in lines if x.startswith("The actor is dead")), "")
    detail = (line or "".join(lines[:1]) or type(error).__name__).partition("Worker exit type")[0]
    return f"the worker process died ({detail.strip()[:160]})"
