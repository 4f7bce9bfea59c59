"""What MLX wrote as it ended its process becomes the reason of the loss, through Ray."""

import os
import time
from contextlib import closing

import pytest

from orchestrator.execution.engines import ray_engine
from orchestrator.execution.scheduling.schedule import Lost
from tests.builders import a_spec
from tests.orchestrator.execution.sleeper import Instant

CODE = "kIOGPUCommandBufferCallbackErrorImpactingInteractivity"
WORDS = (
    "libc++abi: terminating due to uncaught exception of type std::runtime_error: [METAL] Command "
    f"buffer execution failed: Impacting Interactivity (0000000e:{CODE})\n"
)


class Aborting(Instant):
    """Cells whose process ends as MLX ends it on a Mac: with a last line, from another thread."""

    def execute(self, spec, beat, saving):
        os.write(2, WORDS.encode() if spec.seed == 1 else b"a line of no meaning\n")
        os.abort()


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "says"), [(1, "the display had to wait"), (2, "process died")])
def test_the_reason_is_the_fault_with_its_advice(seed, says):
    lost = []
    with closing(ray_engine.RayEngine(recycle_after=9, slots=1, node=Aborting)) as engine:
        (host,) = engine.hosts()
        engine.start(a_spec(seed=seed), host.host, 1, None)
        end = time.monotonic() + 60
        while not any(isinstance(report, Lost) for report in lost):
            engine.poll(0.2, lost.append)
            assert time.monotonic() < end
    (reason,) = [report.reason for report in lost if isinstance(report, Lost)]
    assert says in reason
    assert ("displaysleep" in reason) == (seed == 1)
