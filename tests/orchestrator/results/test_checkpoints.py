"""Checkpoints on the driver's disk: the newest one, whole or absent, gone with its cell."""

from dataclasses import replace

import pytest

from orchestrator.execution.engines.base import Ended, InlineEngine, Saved
from orchestrator.execution.scheduling.hosts import HostUp
from orchestrator.execution.scheduling.schedule import HostLost, Lost, Rules
from orchestrator.results.adapters import read_adapter, write_adapter
from orchestrator.results.checkpoints import FOLDER, Checkpoints
from tasks.contract.cell import Adapter, Status
from tasks.contract.checkpoint_envelope import Envelope, Origin, seal
from tests.builders import a_failure, a_result
from tests.orchestrator.execution.test_run import SPECS, Script, only, outcomes, run

CELL = SPECS[0].cell_id


def sealed(step=1, *, cell=CELL, family="Apple M2 Ultra"):
    made = Origin(cell_id=cell, recipe=1, code="c", mlx="0", backend="metal", family=family)
    return seal(Envelope(origin=made, step=step, body=b"tensors\n%d" % step))


def at_once(i):
    return replace(only(i), rules=Rules(backoff_s=(0.0,)))


def hosts():
    return [HostUp("m1", 1, chip="Apple M1 Max"), HostUp("m2", 1, chip="Apple M2 Ultra")]


def test_only_one_that_is_further_on_takes_the_place_of_another(tmp_path):
    kept = Checkpoints(tmp_path / "c")
    for step, stays in ((2, 2), (1, 2), (2, 2), (3, 3)):
        kept.keep(CELL, sealed(step))
        assert kept.read(CELL) == sealed(stays)


def test_one_of_a_fresh_start_elsewhere_takes_the_place_of_a_useless_one(tmp_path):
    kept = Checkpoints(tmp_path / "c")
    kept.keep(CELL, sealed(9))
    kept.keep(CELL, sealed(1, family="Apple M3"))
    assert kept.look(CELL).origin.family == "Apple M3"


@pytest.mark.parametrize("content", [sealed()[:-1], b"", b"x", sealed(cell="another")])
def test_what_is_torn_or_foreign_is_never_kept(tmp_path, content):
    kept = Checkpoints(tmp_path / "c")
    assert kept.keep(CELL, content) is None
    assert kept.read(CELL) is None


def test_a_torn_file_gives_way_to_a_whole_one(tmp_path):
    kept = Checkpoints(tmp_path)
    (tmp_path / CELL).write_bytes(sealed(9)[:-1])
    assert kept.look(CELL) is None
    kept.keep(CELL, sealed(1))
    assert kept.read(CELL) == sealed(1)


def test_files_that_no_memory_holds_are_not_read(tmp_path):
    adapter = write_adapter(tmp_path / "a", Adapter(weights=b"x", config={}))
    for path in (tmp_path / CELL, *adapter):
        with path.open("wb") as file:
            file.truncate(1 << 40)
    assert Checkpoints(tmp_path).read(CELL) is None
    assert Checkpoints(tmp_path).keep(CELL, sealed(1)) is not None
    assert read_adapter(tmp_path / "a") is None


def test_the_next_attempt_is_given_the_newest_and_stays_on_its_chip_family(tmp_path):
    on_m2 = [HostUp("m2", 1, chip="Apple M2 Ultra")]
    engine = Script(
        on_m2,
        [HostUp("m1", 1, chip="Apple M1 Max")],
        [Saved(CELL, 1, sealed(1)), Saved(CELL, 1, sealed(2))],
        [HostLost("m2")],
        [],
        on_m2,
        [Ended(CELL, 2, a_result(SPECS[0]))],
    )
    run(tmp_path, engine, at_once(0))
    assert engine.resumed == [None, sealed(2)]
    assert [host for _, host, _ in engine.started] == ["m2", "m2"]


@pytest.mark.parametrize(
    "end", [a_result(SPECS[0]), a_result(SPECS[0], status=Status.DIVERGED), a_failure(SPECS[0])]
)
def test_a_settled_cell_leaves_none(tmp_path, end):
    engine = Script(hosts(), [Saved(CELL, 1, sealed())], [Ended(CELL, 1, end)])
    store = run(tmp_path, engine, only(0))
    assert list((store.folder / FOLDER).iterdir()) == []


def test_a_cell_that_is_given_up_leaves_none(tmp_path):
    losses = [[Lost(CELL, n, "killed")] for n in (1, 2, 3, 4)]
    engine = Script([HostUp("m1", 1)], [Saved(CELL, 1, sealed())], *losses)
    store = run(tmp_path, engine, at_once(0))
    assert store.rows("cells")[0]["status"] == "failed"
    assert list((store.folder / FOLDER).iterdir()) == []


def test_one_from_an_attempt_that_is_over_is_not_kept(tmp_path):
    late = [Ended(CELL, 1, a_result(SPECS[0])), Saved(CELL, 1, sealed())]
    store = run(tmp_path, Script(hosts(), late), only(0))
    assert not (store.folder / FOLDER).exists()


def test_the_next_launch_takes_it_up_on_its_chip_family(tmp_path):
    Checkpoints(tmp_path / "r" / FOLDER).keep(CELL, sealed(5))
    engine = Script(hosts(), [Ended(CELL, 1, a_result(SPECS[0]))])
    run(tmp_path, engine, only(0))
    assert engine.started == [(CELL, "m2", 1)]
    assert engine.resumed == [sealed(5)]


def test_without_a_host_of_its_chip_family_the_cell_runs_elsewhere(tmp_path):
    Checkpoints(tmp_path / "r" / FOLDER).keep(CELL, sealed(5, family="Apple M9"))
    engine = Script(hosts(), [Ended(CELL, 1, a_result(SPECS[0]))])
    store = run(tmp_path, engine, only(0))
    assert outcomes(store) == [(1, "ok", None)]


def test_a_full_disk_costs_the_checkpoint_and_nothing_else(tmp_path, capsys):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / FOLDER).write_text("a file where the folder should be")
    saved, ended = [Saved(CELL, 1, sealed())], [Ended(CELL, 1, a_result(SPECS[0]))]
    store = run(tmp_path, Script(hosts(), saved, ended), only(0))
    assert outcomes(store) == [(1, "ok", None)]
    assert "no checkpoint:" in capsys.readouterr().err


def test_the_engine_in_this_process_keeps_them_while_the_cell_runs(tmp_path):
    told: list = []

    class Saver:
        def execute(self, spec, beat, saving):
            assert (saving.every_s, saving.resume) == (7.0, b"before")
            saving.keep(b"now")
            assert told[-1] == Saved(CELL, 1, b"now")
            return a_result(spec)

    engine = InlineEngine(Saver, checkpoint_s=7.0)
    engine.start(SPECS[0], "inline", 1, b"before")
    engine.poll(0, told.append)
    assert isinstance(told[-1], Ended)
