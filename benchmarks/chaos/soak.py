"""Runs many cells that do nothing through real Ray and measures files and memory: `make soak`.

A thread looks at open files and memory of the driver and of the board (the actor that collects
signs of life), and at the size of Ray's temporary folder.
"""

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import ray

from benchmarks.bench_driver import Nothing, Quiet, work
from benchmarks.chaos.sites import role
from orchestrator.execution.engines.ray_engine import RayEngine
from orchestrator.execution.run import Run
from orchestrator.results.store import Store

CELLS = 1000
SLOTS = 2
RECYCLE_AFTER = 25
"""As sweeps have it by default: 40 worker processes come and go."""
LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Figure:
    """A measurement that must not grow.

    Attributes:
        name: What is measured, and of which process.
        unit: How many measured units make one printed unit, and the name of the printed unit.
        spare: Growth that is allowed, in the printed unit, for allocator noise and late imports.
    """

    name: str
    unit: tuple[float, str]
    spare: float


MIB = (float(1 << 20), "MiB")
FIGURES = (
    Figure("driver: open files", (1, ""), 4),
    Figure("driver: memory", MIB, 8),
    Figure("board: open files", (1, ""), 4),
    Figure("board: memory", MIB, 8),
    Figure("Ray's temporary folder", MIB, 2),
)
Sample = tuple[float, ...]
"""One value for each figure."""


def measured(board: psutil.Process, folder: Path) -> Sample:
    """The present values of all figures."""
    driver = psutil.Process()
    values = [float(v) for p in (driver, board) for v in (p.num_fds(), p.memory_info().rss)]
    size = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            facts = path.lstat()
            size += facts.st_blocks * 512  # a file may be sparse
    return (*values, float(size))


def the_board() -> psutil.Process:
    """The board's process; it starts after the engine."""
    while True:
        for process in psutil.Process().children(recursive=True):
            if role(process) == "board":
                return process
        time.sleep(0.1)


@contextmanager
def watched(folder: Path) -> Iterator[list[Sample]]:
    """Samples, taken in the background while the block runs."""
    board = the_board()
    samples: list[Sample] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_EVERY_S):
            samples.append(measured(board, folder))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def line(figure: Figure, values: list[float]) -> tuple[str, bool]:
    """Start, middle and end as text, and whether it grows from the middle on.

    The first half is not judged, because pools of threads and connections fill and modules load.
    """
    by, name = figure.unit
    tenth = max(1, len(values) // 10)
    middle = len(values) // 2
    parts = (values[:tenth], values[middle : middle + tenth], values[-tenth:])
    start, mid, end = (statistics.median(part) / by for part in parts)
    grows = end - mid > figure.spare
    verdict = "growing" if grows else "flat"
    return f"{figure.name:<24}{start:9.1f}{mid:9.1f}{end:9.1f} {name:<4} {verdict}", grows


def main() -> None:
    """Run, print, judge."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else CELLS
    with tempfile.TemporaryDirectory(prefix="soak-", dir=".") as place:
        store = Store(Path(place) / "soak")
        store.create()
        with closing(RayEngine(recycle_after=RECYCLE_AFTER, slots=SLOTS, node=Nothing)) as engine:
            session = Path(ray._private.worker.global_worker.node.get_session_dir_path())
            with watched(session) as samples:
                Run(store, engine, Quiet(), work(count)).to_the_end()
        done = len(store.done())
    print(f"{done} of {count} cells that do nothing, {len(samples)} samples")
    print(f"{'':<24}{'start':>9}{'middle':>9}{'end':>9}")
    lines = [line(figure, [s[i] for s in samples]) for i, figure in enumerate(FIGURES)]
    print("\n".join(text for text, _ in lines))
    grows = any(grown for _, grown in lines)
    print("growing" if grows else "flat")
    sys.exit(grows or done < count)


if __name__ == "__main__":
    main()
