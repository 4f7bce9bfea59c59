"""Runs cells through Ray: its nodes as hosts, and one worker process per slot of every node.

How a loss shows: a dead worker process is an error of its call, `Lost` for its cell; a dead node is
missing from Ray's list of nodes, or named dead in such an error, `HostLost`. A host that sleeps or
whose link is cut is a dead node once Ray's health check has failed (`ray_settings.environment`). A
process that is alive but silent is found by the schedule. The head of a cluster that is gone ends
the launch, and so does a Ray that does not answer (`ray_watch`).
"""

import os
import platform
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants
from ray.exceptions import ActorUnschedulableError, GetTimeoutError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.errors import UserError
from orchestrator.execution.engines import ray_local
from orchestrator.execution.engines.base import Ended, Executor, Report
from orchestrator.execution.engines.node import Node
from orchestrator.execution.engines.ray_settings import SLOT
from orchestrator.execution.engines.ray_watch import Watch, is_dead
from orchestrator.execution.engines.ray_worker import Board, Worker
from orchestrator.execution.gpu_faults import gpu_fault
from orchestrator.execution.scheduling.hosts import HostUp
from orchestrator.execution.scheduling.schedule import HostLost, Lost
from orchestrator.execution.terminal import to_its_end
from tasks.contract.cell import CellFailure, Spec
from tasks.model.machine import chip, system

PATIENCE_S = 2.0
"""Longest wait for an answer of Ray, which a cut link can delay; a later `poll` asks again."""
SIGNS_EVERY_S = 0.2
"""Pause between two fetches of signs of life; a cell's last one comes with its result."""
NODES_EVERY_S = 1.0
"""Pause between two looks at Ray's list of nodes."""
LAST_BYTES = 4096
"""Of a dead worker's log that are looked at."""
STARTS = 4
"""Most starts of a Ray of this machine, or connections to a cluster's, in one launch."""
HOST_LABEL, CHIP_LABEL, SYSTEM_LABEL = "host", "chip", "system"
"""Labels of a node. A label holds no spaces, so those of a chip's name are dashes there."""


@dataclass(frozen=True, slots=True)
class RayNode:
    """A living node that has slots.

    Attributes:
        node_id: Ray's name for it; another one after every restart.
        up: The event that the schedule gets.
    """

    node_id: str
    up: HostUp


class Nodes:
    """Ray's nodes as hosts. A thread fetches Ray's list, which takes seconds while a link is cut.

    Args:
        own: Id of the node through which this process speaks to Ray.
        local: Whether this machine is the only node. Then its name and chip are asked of the
            system, and memory is no limit: the number of slots was chosen to fit it.
        without: Names of hosts that are not to be used.
    """

    def __init__(self, own: str, *, local: bool, without: frozenset[str] = frozenset()) -> None:
        self._own, self._local, self._without = own, local, without
        self._latest: list[Mapping[str, Any]] = ray.nodes()
        self._known: dict[str, RayNode] = {}
        self._dead: set[str] = set()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def changes(self) -> tuple[list[RayNode], list[str]]:
        """(hosts that came or changed, names of hosts that went) since the last call.

        A host that came back under another node id is in both. Of two living nodes with one name
        the known one counts: after a restart Ray may list the old node for a while.
        """
        alive = [n for n in self._latest if n["Alive"] and n["NodeID"] not in self._dead]
        if self.own_died():
            alive = []
        found: dict[str, RayNode] = {}
        for node in map(self._read, alive):
            name = node.up.host
            known = name in self._known and self._known[name].node_id == node.node_id
            if name in self._without:
                continue
            if node.up.slots > 0 and (known or name not in found):
                found[name] = node
        gone = [
            name
            for name, node in self._known.items()
            if name not in found or found[name].node_id != node.node_id
        ]
        came = [node for name, node in found.items() if self._known.get(name) != node]
        self._known = found
        return came, gone

    def own_died(self) -> bool:
        """Whether the node is dead through which this process speaks to Ray."""
        if self._own in self._dead or (self._local and ray_local.has_died()):
            return True
        return any(n["NodeID"] == self._own and not n["Alive"] for n in self._latest)

    def bury(self, host: str) -> None:
        """Count a host's node as dead before Ray's list says so; a restarted one has a new id."""
        node = self._known.get(host)
        if node is not None:
            self._dead.add(node.node_id)

    def bury_own(self) -> None:
        """The same of the node through which this process speaks to Ray."""
        self._dead.add(self._own)

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join(timeout=2 * NODES_EVERY_S)

    def _read(self, raw: Mapping[str, Any]) -> RayNode:
        labels, resources = raw.get("Labels") or {}, raw["Resources"]
        slots = int(resources.get(SLOT, 0))
        if self._local:
            return RayNode(raw["NodeID"], HostUp(platform.node(), slots, None, chip(), system()))
        name = labels.get(HOST_LABEL) or raw["NodeManagerAddress"]
        memory = int(resources.get("memory", 0))
        said = (labels.get(key, "").replace("-", " ") for key in (CHIP_LABEL, SYSTEM_LABEL))
        up = HostUp(name, slots, memory, *said)
        return RayNode(raw["NodeID"], up)

    def _look(self) -> None:
        while not self._closed.wait(NODES_EVERY_S):
            with suppress(RayError, ConnectionError, RuntimeError):
                self._latest = ray.nodes()


@dataclass(slots=True)
class _Slot:
    """A slot of a node, with its worker process.

    Attributes:
        worker: Handle of the Ray actor; None until a cell needs one, and after its process ended.
        cells: Cells that this process has finished.
        spec: What it runs now; None when idle.
        attempt: Number of the attempt at that cell.
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
    """Runs cells on the nodes of a Ray cluster that have slots, or on one node that it starts here.

    Args:
        recycle_after: Cells after which a worker process is replaced.
        slots: Cells at once on a node started here; a cluster's nodes say it themselves.
        address: Of a running Ray; None starts one on this machine.
        without: Names of hosts of a cluster that are not to be used.
        checkpoint_s: Seconds of training that may be lost; 0 for no checkpoints.
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
        self._slots, self._address, self._without = slots, address, without
        self._folder: ray_local.PrivateFolder | None = None
        self._starts = 0
        self._drained_s = 0.0
        self._places: dict[str, _Place] = {}
        self._running: dict[Any, tuple[str, _Slot]] = {}
        self._late: list[Report] = []
        self._watch = Watch(ray_local.kill)
        self._head_seen_s = 0.0
        with self._watch.over():
            self._open()
        self._first = [e for e in self._host_changes() if isinstance(e, HostUp)]
        if not self._first:
            self.close()
            raise UserError(
                f"the Ray at {address} has no node with the resource {SLOT!r}",
                f"start its nodes with --resources '{{\"{SLOT}\": 1}}'",
            )

    def _open(self) -> None:
        """Start a Ray or reach one, and put the board there."""
        before = signal.getsignal(signal.SIGTERM)
        if self._address is None:
            self._folder = ray_local.start(self._slots)
        else:
            _connect(self._address)
        self._starts += 1
        # ray.init replaces this process's handler of SIGTERM, by which `rho-sweep stop` ends it
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGTERM, before)
        own = ray.get_runtime_context().get_node_id()
        self._nodes = Nodes(own, local=self._address is None, without=self._without)
        # on the driver's own node, so that signs of life arrive whatever node is lost
        here = NodeAffinitySchedulingStrategy(own, soft=True)
        options = {"num_cpus": 0, "max_restarts": -1, "scheduling_strategy": here}
        self._board = ray.remote(Board).options(**options).remote()
        self._drain: Any = None

    def _open_again(self) -> None:
        """Start another Ray on this machine, or reach the raylet that a cluster's keeper starts.

        Without it Ray ends this process after a minute or two; no cell survives it in any case.

        Raises:
            UserError: It has died too often, or does not come back.
        """
        if not ray_local.has_died():
            ray_local.kill()  # `ray.shutdown` would wait for a raylet that is stopped
        self._shut()
        if self._starts == STARTS:
            raise UserError(
                f"Ray on this machine died {STARTS} times",
                "look for what ends its processes, e.g. "
                "memory (rho-sweep doctor), then launch again, or use --inline",
            )
        self._open()

    def hosts(self) -> list[HostUp]:
        """The hosts at the start."""
        return self._first

    def start(self, spec: Spec, host: str, attempt: int, resume: bytes | None) -> None:
        """Begin a cell on a free slot, in the worker process of the slot if it has one."""
        place = self._places.get(host)
        slot = next((s for s in place.slots if s.spec is None), None) if place else None
        if place is None or slot is None:
            self._late.append(Lost(spec.key, attempt, f"host {host} has no free slot"))
            return
        with self._watch.over():
            if slot.worker is None:
                slot.cells, slot.worker = 0, self._worker_on(place.node_id)
            slot.spec, slot.attempt = spec, attempt
            self._running[slot.worker.execute.remote(spec, attempt, resume)] = (host, slot)

    def _worker_on(self, node_id: str) -> Any:
        options = {
            "num_cpus": 0,
            "resources": {SLOT: 1},
            "max_restarts": 0,  # the schedule decides where a lost cell runs again
            "max_task_retries": 0,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node_id, soft=False),
        }
        actor = ray.remote(Worker).options(**options)
        return actor.remote(self._board, self._node, self._every_s)

    def abandon(self, cell_id: str, attempt: int) -> None:
        """Forget an attempt and kill its process, without waiting for Ray to confirm it."""
        for ref, (_, slot) in list(self._running.items()):
            if slot.spec is not None and (slot.spec.key, slot.attempt) == (cell_id, attempt):
                del self._running[ref]
                slot.spec = None
                self._retire(slot)

    def poll(self, timeout_s: float, take: Callable[[Report], None]) -> None:
        """Tell what happened since the last call."""
        for look in (partial(self._news, timeout_s), self._host_changes):
            with self._watch.over():
                reports = look()
            for report in reports:  # before the next look: `_host_changes` raises if Ray is gone
                take(report)

    def _news(self, timeout_s: float) -> list[Report]:
        late, self._late = self._late, []
        if not self._running:
            time.sleep(0 if late else timeout_s)
            return late
        refs = list(self._running)
        # two calls: the first returns as soon as one cell has ended, the second finds all that have
        first, _ = ray.wait(refs, timeout=0 if late else timeout_s)
        ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0) if first else ([], None)
        signs = self._signs()
        ended = [report for ref in ready for report in self._collect(ref)]
        return [*late, *signs, *ended]

    def _signs(self) -> list[Report]:
        """Signs of life and checkpoints since the last fetch; quick, for the board is local."""
        if time.monotonic() - self._drained_s < SIGNS_EVERY_S:
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
            # raised by the worker itself, not by the cell: as a rule, a broken installation
            outcome, sign = _broken(spec, error, host), None
        except RayError as error:
            self._end(ref, slot)
            self._retire(slot)
            # Ray knows of a dead node through its actors before its list of nodes says so
            if "its owner has died" in str(error):
                self._nodes.bury_own()
                return []
            if isinstance(error, ActorUnschedulableError) or "node has died" in str(error):
                self._nodes.bury(host)
                return []
            return [Lost(spec.key, attempt, _reason(error))]
        self._end(ref, slot)
        slot.cells += 1
        if isinstance(outcome, CellFailure) or slot.cells >= self._recycle_after:
            self._retire(slot)
        ended = Ended(spec.key, attempt, outcome)
        return [ended] if sign is None else [sign, ended]

    def _end(self, ref: Any, slot: _Slot) -> None:
        del self._running[ref]
        slot.spec = None

    def _host_changes(self) -> list[Report]:
        self._demand_head()
        came, gone = self._nodes.changes()
        found: list[Report] = []
        for host in gone:
            for ref in [r for r, (h, _) in self._running.items() if h == host]:
                del self._running[ref]
            for slot in self._places.pop(host).slots:
                self._retire(slot)
            found.append(HostLost(host))
        if self._nodes.own_died():
            self._open_again()
            came, _ = self._nodes.changes()
        for node in came:
            place = self._places.setdefault(node.up.host, _Place(node.node_id))
            missing = node.up.slots - len(place.slots)
            place.slots += [_Slot() for _ in range(missing)]
            found.append(node.up)
        return found

    def _demand_head(self) -> None:
        """Check that a cluster's head listens; its list of nodes would be waited for a minute.

        Raises:
            UserError: It does not. A head that is started again knows nothing of this launch.
        """
        now_s = time.monotonic()
        if self._address is None or now_s - self._head_seen_s < NODES_EVERY_S:
            return
        self._head_seen_s = now_s
        if is_dead(self._address):
            raise UserError(
                f"Ray's head at {self._address} has ended; finished cells are kept",
                "next: rho-sweep cluster up, then launch again",
            )

    def _retire(self, slot: _Slot) -> None:
        """End the worker process of a slot; the next cell there gets a new one."""
        if slot.worker is not None:
            ray.kill(slot.worker)
            slot.worker = None

    def close(self) -> None:
        """Ask idle workers to free their models and end, stop the others, and Ray if it is ours.

        An interruption waits for it: with half a Ray left this process would end as Ray ends it,
        with another exit code.
        """
        with self._watch.over(), to_its_end():
            slots = [slot for place in self._places.values() for slot in place.slots]
            idle = [slot.worker for slot in slots if slot.worker is not None and slot.spec is None]
            if leaving := [worker.leave.remote() for worker in idle]:
                ray.wait(leaving, num_returns=len(leaving), timeout=PATIENCE_S)
            self._shut()
        self._watch.close()

    def _shut(self) -> None:
        self._nodes.close()
        for place in self._places.values():
            for slot in place.slots:
                self._retire(slot)
        ray.shutdown()
        if self._folder is not None:
            self._folder.remove()


def _connect(address: str) -> None:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray_constants.NUM_REDIS_GET_RETRIES = 1  # each try takes 41 s, and Ray makes 20
    try:
        if is_dead(address):
            raise ConnectionRefusedError("nothing listens there")
        ray.init(address=address, **ray_local.ours())
    except Exception as error:  # noqa: BLE001 - Ray raises plain exceptions, of any type
        said = ray_local.first_line(error)
        raise UserError(
            f"no Ray answers at {address} ({said})", "look: rho-sweep cluster status"
        ) from None


def _broken(spec: Spec, error: RayTaskError, host: str) -> CellFailure:
    return CellFailure(
        spec=spec,
        stage="process",
        message=f"{type(error.cause).__name__}: {error.cause}",
        trace=str(error),
        machine=None,
        host=host,
    )


def _reason(error: RayError) -> str:
    """Why a worker died: a fault of the GPU if its last words name one, else what Ray says."""
    if fault := next(filter(None, map(gpu_fault, reversed(_last_words(str(error))))), None):
        return fault
    lines = [x.strip() for x in str(error).splitlines() if x.strip()]
    line = next((x for x in lines if x.startswith("The actor is dead")), "")
    detail = (line or "".join(lines[:1]) or type(error).__name__).partition("Worker exit type")[0]
    return f"the worker process died ({detail.strip()[:160]})"


def _last_words(said: str) -> list[str]:
    """What a worker on this machine wrote last: MLX ends its process with the reason.

    Args:
        said: Ray's error, which names the process and its address.
    """
    pid, address = (re.search(rf"^\s*{key}: (\S+)", said, re.M) for key in ("pid", "ip"))
    node = ray._private.worker._global_node
    if not pid or not address or node is None or address[1] != ray.util.get_node_ip_address():
        return []
    logs = Path(node.get_logs_dir_path())
    found: list[str] = []
    for path in logs.glob(f"worker-*-{pid[1]}.err"):
        with suppress(OSError), path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LAST_BYTES))
            found += file.read(LAST_BYTES).decode(errors="replace").splitlines()
    return found
