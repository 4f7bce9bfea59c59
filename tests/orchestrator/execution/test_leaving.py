"""An idle worker is asked to end, and frees its model, before its launch ends it."""

import time
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.execution.engines import ray_engine
from orchestrator.execution.engines.base import Ended
from tests.builders import a_spec
from tests.orchestrator.execution.sleeper import Instant


class Leaving(Instant):
    """Tells when its model is freed, and may take its time."""

    def __init__(self, note: Path, free_s: float) -> None:
        self.note, self.free_s = note, free_s

    def free(self) -> None:
        with self.note.open("a") as file:
            file.write("freed\n")
        time.sleep(self.free_s)


@pytest.mark.slow
@pytest.mark.parametrize("free_s", [0.0, 600.0], ids=["leaves", "hangs"])
def test_an_idle_worker_frees_its_model_and_nobody_waits_for_a_late_one(tmp_path, free_s):
    note, ended = tmp_path / "note", []
    engine = ray_engine.RayEngine(recycle_after=9, slots=1, node=lambda: Leaving(note, free_s))
    with closing(engine):
        (host,) = engine.hosts()
        engine.start(a_spec(), host.host, 1, None)
        end = time.monotonic() + 60
        while not any(isinstance(e, Ended) for e in ended):
            engine.poll(0.1, ended.append)
            assert time.monotonic() < end
        start = time.monotonic()
    assert note.read_text() == "freed\n"
    assert time.monotonic() - start < 120
