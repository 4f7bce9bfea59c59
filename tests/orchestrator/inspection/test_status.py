"""Status, logs, stop and export of a results folder."""

import csv
import json

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import yaml

from orchestrator.errors import UserError
from orchestrator.inspection.export import export
from orchestrator.inspection.listing import listing
from orchestrator.inspection.status import find_cell, kept_line, log_lines, status, status_lines
from orchestrator.results import lock
from orchestrator.results.folder import one_named
from orchestrator.results.lock import stop
from orchestrator.results.manifest import load_manifest
from orchestrator.results.schema import TABLES
from orchestrator.results.store import Store
from tasks.contract.cell import Status
from tests.builders import a_failure, a_result, a_spec, filled, launched

SWEEP = """\
name: s
model: m
grid:
  condition: [rho-guided]
  rho_weight: [0.1, 0.2]
  margin: [0.1]
  seed: [1, 2]
"""
from tests.orchestrator.config.test_yaml_lines import BOMB


@pytest.fixture
def half(tmp_path):
    """Five cells: one scored, one diverged, one failed, two not yet run."""
    store, expansion = launched(tmp_path / "s", SWEEP)
    ok, diverged, failed, *_ = expansion.all
    store.commit(a_result(ok), attempts=1, ray=None)
    store.commit(a_result(diverged, status=Status.DIVERGED), attempts=1, ray=None)
    store.commit_failure(a_failure(failed, "no memory"), attempts=2, ray=None)
    return store, expansion


# status


def test_status_counts_every_cell_once_and_names_those_without_scores(half):
    store, expansion = half
    found = status(store)
    counts = {k: found[k] for k in ("total", "ok", "diverged", "failed", "open")}
    assert counts == {"total": 5, "ok": 1, "diverged": 1, "failed": 1, "open": 3}
    assert {(u["cell_id"], u["status"]) for u in found["unscored"]} == {
        (expansion.all[1].cell_id, "diverged"),
        (expansion.all[2].cell_id, "failed"),
    }
    assert (found["launch"], found["running"]) == (None, [])
    json.dumps(found, allow_nan=False)


def test_status_for_people_says_what_to_do_next(half):
    lines = status_lines(status(half[0]))
    assert lines[0] == "s: 1 of 5 cells scored, 1 diverged, 1 failed; no launch running"
    assert any("no memory" in line and line.startswith("  failed") for line in lines)
    assert lines[-1] == "  to run: 2 open, 1 failed; launch the sweep again to go on"


def test_what_runs_is_shown_only_while_a_launch_holds_the_folder(half):
    store, expansion = half
    live = {
        "cell_id": expansion.all[3].cell_id,
        "label": "rho-guided",
        "host": "h",
        "stage": "train",
        "step": 3,
        "steps": 9,
        "loss": 1.5,
    }
    (store.folder / "live.json").write_text(json.dumps({"at": "now", "running": [live]}))
    assert status(store)["running"] == []
    with lock.held(store.folder):
        found = status(store)
        assert found["launch"]["pid"]
        assert found["running"] == [live]
        lines = status_lines(found)
        assert "  running   rho-guided on h: train step 3/9 loss 1.500" in lines
        assert not any("launch the sweep again" in line for line in lines)
        assert "left" not in lines[0]
        assert status_lines(found | {"left_s": 200.0})[0].endswith("about 3:20 left")
        shown = status_lines(found | {"left_s": 200.0}, 65.0)[0]
        assert shown.endswith(", 1:05 elapsed, about 3:20 left")
        assert ("running: train", "3/9", 1.5, "h") in {
            (r["status"], r.get("steps"), r.get("loss"), r.get("host"))
            for r in listing(store)[0].rows
        }
        (store.folder / "live.json").write_text('{"at": ')
        assert status(store)["running"] == []


def test_cells_of_another_sweep_in_the_folder_are_not_counted(half):
    store, _ = half
    store.commit(a_result(a_spec(digest="other")), attempts=1, ray=None)
    assert status(store)["total"] == 5
    assert status(store)["ok"] == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "missing; launch the sweep again"),
        ("cells: 3", "cannot be read"),
        ("- a", "cannot be read"),
        ("cells: [", "cannot be read"),
        ("\0", "cannot be read"),
        ("cells: " + "[" * 20_000, "cannot be read .nested too deeply"),
        (BOMB, "cannot be read .*more than 200,000 values"),
    ],
)
def test_a_damaged_manifest_is_one_clear_error(half, content, says):
    store, _ = half
    path = store.folder / "sweep.yaml"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(UserError, match=says) as error:
        status(store)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_the_manifest_keeps_the_sweep_as_it_was_resolved(half):
    store, expansion = half
    found = load_manifest(store.folder)
    assert found["cells"] == {s.cell_id: s.label for s in expansion.all}
    assert found["named"] == 4
    assert found["settings"]["train.lora_rank"] == 8
    assert found["grids"][0]["rho_weight"] == [0.1, 0.2]
    assert found["resolved"]["models"][0]["digest"] == expansion.all[0].model.digest
    assert found["resolved"]["probes"][0]["digest"] == expansion.all[0].probes.digest
    assert found["resolved"]["data"][0]["digest"] == expansion.all[1].data.digest
    assert yaml.safe_load((store.folder / "sweep.yaml").read_text()) == found


# logs


def test_a_cell_is_found_by_the_start_of_its_id_or_by_its_label(half):
    store, expansion = half
    for spec in expansion.all:
        assert find_cell(store, spec.cell_id[:10]) == spec.cell_id
        assert find_cell(store, spec.label) == spec.cell_id


def test_first_words_of_a_label_are_enough_where_they_fit_one():
    labels = {"aa": "sft-only seed=42", "ab": "rho-guided w=0.1 seed=4", "ac": "rho-guided w=0.1"}
    assert one_named("sft-only", labels, "cell") == "aa"
    assert one_named("rho-guided w=0.1", labels, "cell") == "ac"
    for word, says in (("sft-only seed=4", "no cell; did you mean"), ("rho-guided", "more than")):
        with pytest.raises(UserError, match=says):
            one_named(word, labels, "cell")


@pytest.mark.parametrize(("word", "says"), [("zzz", "names no cell"), ("", "more than one cell")])
def test_a_word_that_names_no_single_cell_lists_those_there_are(half, word, says):
    store, expansion = half
    with pytest.raises(UserError, match=says) as error:
        find_cell(store, word)
    for spec in expansion.all:
        assert f"{spec.cell_id}  {spec.label}" in str(error.value)


def test_logs_show_progress_attempts_error_and_trace(half):
    store, expansion = half
    cell = expansion.all[2].cell_id
    (store.folder / "logs").mkdir()
    (store.folder / "logs" / f"{cell}.log").write_text("12:00 train step 1/2\n")
    row = {"cell_id": cell, "started_at": 0, "host": "h"}
    store.write_attempt(row | {"attempt": 2, "outcome": "failed", "message": "no memory"})
    store.write_attempt(row | {"attempt": 1, "outcome": "lost", "message": None})
    assert log_lines(store, cell) == [
        "12:00 train step 1/2",
        "attempt 1 on h: lost",
        "attempt 2 on h: failed: no memory",
        "failed in stage load: no memory",
        "Traceback",
        "  line",
    ]


def test_a_cell_that_never_ran_says_so(half):
    store, expansion = half
    assert log_lines(store, expansion.all[4].cell_id) == ["nothing is known about this cell yet"]


def test_without_a_cell_all_are_listed_with_how_far_they_are(half, rho_sweep):
    store, expansion = half
    out = rho_sweep("logs", store.folder).out
    (view,) = listing(store)
    assert [r["status"] for r in view.rows] == ["ok", "diverged", "failed", "open", "open"]
    for spec, row in zip(expansion.all, view.rows, strict=True):
        assert spec.cell_id.startswith(row["id"])
        assert find_cell(store, row["id"]) == spec.cell_id
        assert f"{spec.label} " in out
    assert view.rows[2]["time"] == ""  # a failure has no seconds, and not 0 of them


def test_an_interrupted_launch_says_how_many_cells_are_kept(half, tmp_path):
    assert kept_line(half[0].folder) == f"2 of 5 cells are kept in {half[0].folder}"
    assert kept_line(tmp_path / "none") == f"finished cells are kept in {tmp_path / 'none'}"


# stop


def test_stop_without_a_launch_says_so(half):
    assert stop(half[0].folder) == f"{half[0].folder}: no launch is running"


def test_stop_of_a_launch_that_ended_meanwhile_is_no_traceback(half, monkeypatch):
    def gone(*_: object) -> None:
        raise ProcessLookupError(3, "No such process")

    monkeypatch.setattr(lock.os, "kill", gone)
    with lock.held(half[0].folder), pytest.raises(UserError, match="No such process"):
        stop(half[0].folder)


# export


def test_parquet_reads_back_as_the_tables_with_units(half, tmp_path):
    store, _ = half
    written = export(store, "parquet", tmp_path / "out")
    assert [p.name for p in written] == [f"{t}.parquet" for t in TABLES]
    for table in TABLES:
        found = pa.parquet.read_table(tmp_path / "out" / f"{table}.parquet")
        assert found.to_pylist() == store.rows(table)
        for field in TABLES[table]:
            if field.metadata:
                assert found.schema.field(field.name).metadata[b"unit"] == field.metadata[b"unit"]


def test_csv_reads_back_with_json_for_maps_and_nothing_for_null(half, tmp_path):
    store, _ = half
    export(store, "csv", tmp_path / "out")
    for table in ("cells", "steps", "scores", "probe_scores", "attempts"):
        path = tmp_path / "out" / f"{table}.csv"
        assert pa.csv.read_csv(path).num_rows == len(store.rows(table))
        with path.open() as file:
            rows = list(csv.DictReader(file))
        assert [r["cell_id"] for r in rows] == [r["cell_id"] for r in store.rows(table)]
        if table == "cells":
            for row, cell in zip(rows, store.rows(table), strict=True):
                assert row["rho_weight"] == ("" if cell["rho_weight"] is None else "0.1")
                assert json.loads(row["contrast_behaviors"]) == cell["contrast_behaviors"]
                assert row["finished_at"].endswith("Z")
                assert row["finished_at"][:19] == f"{cell['finished_at']:%Y-%m-%dT%H:%M:%S}"
        if table == "steps":
            assert json.loads(rows[0]["hinge_loss_by_behavior"]) == {"factual": 0.5}
            assert rows[0]["hinge_loss"] == ""


def test_csv_comes_with_a_file_of_units(half, tmp_path):
    written = export(half[0], "csv", tmp_path / "out")
    assert written[-1].name == "units.csv"
    with written[-1].open() as file:
        units = {(r["table"], r["column"]): r["unit"] for r in csv.DictReader(file)}
    assert units["scores", "rho"] == "nat/token"
    assert units["cells", "memory_peak"] == "byte"
    assert units["cells", "cell_id"] == ""
    assert len(units) == sum(len(s) for s in TABLES.values())


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_an_empty_store_exports_empty_tables(tmp_path, kind):
    export(filled(tmp_path / "r"), kind, tmp_path / "out")
    path = tmp_path / "out" / f"cells.{kind}"
    reader = pa.parquet.read_table if kind == "parquet" else pa.csv.read_csv
    assert reader(path).num_rows == 0


def test_an_export_that_cannot_be_written_is_a_clear_error(half, tmp_path):
    (tmp_path / "file").write_text("")
    for place in ("file", "file/below"):
        with pytest.raises(UserError, match="cannot be written"):
            export(half[0], "csv", tmp_path / place)


def test_a_damaged_table_stops_the_export(half, tmp_path):
    store: Store = half[0]
    next((store.folder / "scores").glob("*.arrow")).write_bytes(b"x")
    with pytest.raises(UserError, match="scores"):
        export(store, "csv", tmp_path / "out")
