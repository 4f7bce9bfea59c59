"""What the driver costs: cells per second through schedule, journal and store, and Ray's share.

`make bench-driver` prints both. The cells do nothing, but their results are as large as those of
a small cell: two steps, two scores, two probe pairs, an adapter.
"""

import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from orchestrator.execution.display import PlainDisplay
from orchestrator.execution.engines.base import Ended, Engine, Report
from orchestrator.execution.engines.ray_engine import RayEngine
from orchestrator.execution.run import Run, Work
from orchestrator.execution.scheduling.hosts import HostUp, Job
from orchestrator.results.store import Store
from tasks.contract.cell import CellSpec, Spec
from tasks.contract.reports import Outcome
from tests.builders import a_result, a_spec

CELLS = 2000
SLOTS = 2
RECYCLE_AFTER = 25
CELL_S = 60.0


class Quiet(PlainDisplay):
    """A display that counts finished cells and prints nothing."""

    def settled(self, *_: object) -> None:
        pass

    def begin(self, **_: object) -> None:
        pass


class Nothing:
    """A node whose cells do nothing."""

    def execute(self, spec: Spec, *_: object) -> Outcome:
        assert isinstance(spec, CellSpec)
        return a_result(spec)


class Immediate:
    """An engine whose cells have ended at the next poll."""

    name = "immediate"

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._queue: deque[Report] = deque()

    def hosts(self) -> list[HostUp]:
        return [HostUp("here", self._slots)]

    def start(self, spec: Spec, host: str, attempt: int, resume: bytes | None) -> None:  # noqa: ARG002
        assert isinstance(spec, CellSpec)
        self._queue.append(Ended(spec.cell_id, attempt, a_result(spec)))

    def abandon(self, cell_id: str, attempt: int) -> None:
        pass

    def poll(self, timeout_s: float, take: Callable[[Report], None]) -> None:  # noqa: ARG002
        found = list(self._queue)
        self._queue.clear()
        for report in found:
            take(report)

    def close(self) -> None:
        pass


def work(count: int) -> Work:
    specs: dict[str, Spec] = {s.cell_id: s for s in (a_spec(seed=i) for i in range(count))}
    return Work(specs=specs, jobs=tuple(Job(c) for c in specs))


def seconds(engine: Engine, count: int, folder: Path) -> float:
    """Duration of a whole launch of cells that do nothing."""
    store = Store(folder)
    store.create()
    todo = work(count)
    begun = time.monotonic()
    Run(store, engine, Quiet(), todo).to_the_end()
    took = time.monotonic() - begun
    assert len(store.done()) == count
    return took


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else CELLS
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{count} cells that do nothing, {SLOTS} slots, {cores} cores")
    with tempfile.TemporaryDirectory(prefix="bench-driver-", dir=".") as folder:
        root = Path(folder)
        seconds(Immediate(SLOTS), 20, root / "warm")
        bare_s = seconds(Immediate(SLOTS), count, root / "bare")
        print(f"schedule, journal, store   {count / bare_s:7.1f} cells/s")
        with closing(RayEngine(recycle_after=10**6, slots=SLOTS, node=Nothing)) as engine:
            cold_s = seconds(engine, SLOTS, root / "cold")
            ray_s = seconds(engine, count, root / "ray")
        print(f"the same through Ray       {count / ray_s:7.1f} cells/s")
        with closing(RayEngine(recycle_after=10**6, slots=1, node=Nothing)) as engine:
            seconds(engine, 1, root / "cold-1")
            one_s = seconds(engine, count // 4, root / "one") / (count // 4)
    alone_s = bare_s / count
    share = (one_s - alone_s + cold_s / RECYCLE_AFTER) / CELL_S
    print(f"Ray's part, one slot       {1000 * (one_s - alone_s):7.2f} ms a cell")
    print(f"a new worker process       {cold_s:7.2f} s, every {RECYCLE_AFTER} cells")
    print(f"Ray's share of a {CELL_S:g} s cell  {100 * share:7.2f} %")


if __name__ == "__main__":
    main()
