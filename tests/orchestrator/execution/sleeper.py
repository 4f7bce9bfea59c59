"""Nodes for tests: cells train nothing, send signs of life, and the seed decides their results."""

import logging
import os
import time
import warnings
from collections.abc import Callable

from tasks.contract.cell import CellResult, CellSpec, Progress
from tasks.contract.checkpoint_envelope import Saving
from tasks.contract.reports import Beat, Outcome
from tests.builders import a_result

STEP_S = 0.05
STEPS = 20


class Instant:
    """Cells that take no time."""

    step_s = 0.0

    def execute(self, spec: CellSpec, beat: Callable[[Beat], None], saving: Saving) -> Outcome:
        """Send signs of life, sleep, and return the result of that seed."""
        for step in range(1, STEPS + 1):
            time.sleep(self.step_s)
            progress = Progress(stage="train", step=step, steps=STEPS, loss=1 / step)
            beat(Beat(cell_id=spec.cell_id, pid=os.getpid(), host="toy", progress=progress))
        return outcome_of(spec)


class Sleeper(Instant):
    """Cells that take one second, or ten on a host whose label says that it is slow."""

    def __init__(self) -> None:
        import ray

        labels = ray.get_runtime_context().get_node_labels()
        self.step_s = STEP_S * (10 if labels.get("host") == "slow" else 1)


ESCAPE = "\x1b]0;owned by ray\x07\x9b2J\u202e"


class Noisy(Instant):
    """Cells that write escape sequences to every output; one raises them, one ends its process."""

    def execute(self, spec: CellSpec, beat: Callable[[Beat], None], saving: Saving) -> Outcome:
        """Write the escapes, then return the result; seed 1 raises, seed 2 ends the process."""
        for stream in (1, 2):
            os.write(stream, f"{ESCAPE}\n".encode())
        print(ESCAPE, flush=True)
        logging.getLogger("ray").error(ESCAPE)
        warnings.warn(ESCAPE, stacklevel=1)
        if spec.seed == 1:
            raise RuntimeError(ESCAPE)
        if spec.seed == 2:
            os._exit(1)
        return outcome_of(spec)


def outcome_of(spec: CellSpec) -> CellResult:
    """The result of a cell, the same on every host."""
    seed = spec.seed or 0
    return a_result(spec, {("factual", "train"): 1 / (1 + seed)}, weights=b"%d" % seed)
