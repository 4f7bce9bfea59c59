"""What a launch makes of attempts that a dead driver left as running."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.results.attempts import close_attempts
from orchestrator.results.live import write_live
from tests.answers import a_unit
from tests.builders import a_result, a_spec, filled

BEGAN = datetime(2026, 1, 1, 12, tzinfo=UTC)
HEARD = BEGAN + timedelta(minutes=5)
KEPT = BEGAN + timedelta(minutes=9)


def left_running(store, cell: str) -> dict:
    """The row of attempt 1 after the launch that follows a dead driver has looked at it."""
    begun = {"host": "here", "started_at": BEGAN, "ended_at": None, "message": None}
    store.write_attempt({"cell_id": cell, "attempt": 1, "outcome": "running", **begun})
    close_attempts(store)
    (row,) = store.attempts_of(cell)
    return row


def test_an_attempt_whose_cell_was_kept_ended_then_and_not_at_the_next_launch(tmp_path):
    result = a_result(a_spec())
    store = filled(tmp_path)
    store.commit(result, attempts=1, ray=None, finished_at=KEPT)
    row = left_running(store, result.spec.cell_id)
    assert (row["outcome"], row["ended_at"]) == ("ok", KEPT)


def test_a_lost_attempt_ended_at_its_last_sign_of_life(tmp_path):
    store, cell = filled(tmp_path), a_spec().cell_id
    (tmp_path / "logs").mkdir()
    log = f"{BEGAN:%Y-%m-%d %H:%M:%S} here pid 1 load\n{HEARD:%Y-%m-%d %H:%M:%S} here pid 1 train\n"
    (tmp_path / "logs" / f"{cell}.log").write_text(log)
    row = left_running(store, cell)
    assert (row["outcome"], row["ended_at"]) == ("lost", HEARD)
    facts = {"label": "x", "host": "here", "stage": "train", "step": 1, "steps": 2, "loss": 1.0}
    write_live(tmp_path, {"running": [{"cell_id": cell, **facts}], "at": KEPT.isoformat()})
    assert left_running(store, cell)["ended_at"] == KEPT


@pytest.mark.parametrize("at", [None, "", "now"])
def test_what_a_dead_driver_wrote_of_the_time_may_be_none(tmp_path, at):
    store, cell = filled(tmp_path), a_spec().cell_id
    facts = {"label": "x", "host": None, "stage": "train", "step": 1, "steps": 2, "loss": None}
    write_live(tmp_path, {"running": [{"cell_id": cell, **facts}], "at": at})
    row = left_running(store, cell)
    assert (row["outcome"], row["ended_at"]) == ("lost", BEGAN)


@pytest.mark.parametrize("log", [b"", b"\xff\n", b"2025-01-01 00:00:00 before\n", b"9" * 9000])
def test_an_attempt_never_ends_before_it_began(tmp_path, log):
    store, cell = filled(tmp_path), a_spec().cell_id
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / f"{cell}.log").write_bytes(log)
    (tmp_path / "live.json").write_text(json.dumps({"running": [], "at": "now"}))
    row = left_running(store, cell)
    assert (row["outcome"], row["ended_at"]) == ("lost", BEGAN)


def test_an_attempt_at_a_scoring_that_is_whole_was_not_lost(tmp_path):
    result = a_result(a_spec())
    store = filled(tmp_path, result)
    unit = a_unit(result).generation_id
    store.write("scores", f"{result.spec.cell_id}.{unit}", [])
    assert left_running(store, unit)["outcome"] == "ok"
