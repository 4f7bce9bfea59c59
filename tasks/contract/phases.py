"""Which phase a unit of work is in, and how it says so."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tasks.contract.cell import Progress

Report = Callable[[Progress], None]
"""Called by a unit to tell its progress. The driver's `engines.base.Report` is something else."""


@dataclass(slots=True)
class Phases:
    """Which phase a unit is in, and the seconds each took."""

    current: str = "load"
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str, report: Report) -> Iterator[None]:
        """Time a phase and announce it."""
        self.current = name
        report(Progress(stage=name))
        started = time.perf_counter()
        yield
        took = time.perf_counter() - started
        self.seconds[name] = self.seconds.get(name, 0.0) + took  # a phase may come back
