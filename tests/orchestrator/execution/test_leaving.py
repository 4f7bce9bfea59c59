"""A worker is asked to end, and frees its model, before it is killed."""

import time
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.execution.engines import ray_engine
from orchestrator.execution.engines.base import Ended
from tests.builders import a_failure, a_spec
from tests.orchestrator.execution.sleeper import Instant


class Leaving(Instant):
    """Cells that fail at once; a model that tells when it is freed, and may take its time."""

    def __init__(self, note: Path, free_s: float) -> None:
        self.note, self.free_s = note, free_s

    def execute(self, spec, beat, saving):
        return a_failure(spec)

    def free(self) -> None:
        with self.note.open("a") as file:
            file.write("freed\n")
        time.sleep(self.free_s)


def two_cells(note, free_s):
    """Fails two cells in one slot, so that the first one's worker is replaced."""

    def node():
        return Leaving(note, free_s)

    ended = []
    engine = ray_engine.RayEngine(recycle_after=9, slots=1, node=node)
    with closing(engine):
        (host,) = engine.hosts()
        for seed in range(2):
            engine.start(a_spec(seed=seed), host.host, 1, None)
            end = time.monotonic() + 60
            while len([e for e in ended if isinstance(e, Ended)]) <= seed:
                engine.poll(0.1, ended.append)
                assert time.monotonic() < end
        start = time.monotonic()
    return time.monotonic() - start


@pytest.mark.slow
@pytest.mark.parametrize("free_s", [0.0, 60.0], ids=["leaves", "hangs"])
def test_an_idle_worker_frees_its_model_and_a_late_one_is_killed(tmp_path, monkeypatch, free_s):
    monkeypatch.setattr(ray_engine, "LEAVE_S", 1.0)
    two_cells(tmp_path / "note", free_s)
    assert (tmp_path / "note").read_text().count("freed") >= 1
