"""The store's promise: a cell is whole or absent, keys are unique, nothing missing becomes 0."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from orchestrator.errors import UserError
from orchestrator.inspection.status import log_lines
from orchestrator.results import adapters, files, schema
from orchestrator.results import folder as folder_module
from orchestrator.results import store as storing
from orchestrator.results.store import Store, done_elsewhere, read_file, siblings
from tasks.contract.cell import CellSpec, Measurements, Point, Status
from tasks.contract.prompts import PromptSet
from tests import ROOT
from tests.answers import GREEDY, a_prompt, a_unit, answered, judgement, keep
from tests.builders import MACHINE, a_failure, a_result, a_spec, filled, shuffled

WRITES = 6  # adapter config and weights, steps, scores, probe_scores, cells
CHILDREN = ("steps", "scores", "probe_scores")
CELL = "0123456789abcdef"


class CrashError(BaseException):
    """The process ends here; nobody catches it."""


@pytest.fixture
def crash_after(monkeypatch):
    """A function that lets so many files be written and then ends the process."""

    def arm(n: int) -> None:
        numbers = count()

        def write(path: Path, content: bytes) -> None:
            if next(numbers) == n:
                raise CrashError
            files.write_whole(path, content)

        for module in (storing, adapters):
            monkeypatch.setattr(module, "write_whole", write)

    yield arm
    monkeypatch.undo()


def contents(store: Store, *, but: tuple[str, ...] = ("finished_at",)) -> dict[str, list[dict]]:
    """All rows of all tables, without what the clock decides."""
    return {
        table: [{k: v for k, v in r.items() if k not in but} for r in store.rows(table)]
        for table in schema.TABLES
    }


def rewritten(path: Path, table: pa.Table, codec: str | None = None) -> None:
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.ipc.new_file(path, table.schema, options=options) as writer:
        writer.write_table(table)


# whole or absent


@pytest.mark.parametrize("n", range(WRITES))
def test_a_crash_between_files_leaves_no_cell(tmp_path, crash_after, n):
    store = filled(tmp_path / "r", a_result(a_spec(seed=1)))
    before = contents(store)
    crash_after(n)
    with pytest.raises(CrashError):
        store.commit(a_result(a_spec(seed=2)), attempts=1, ray=None)
    assert store.done() == {a_spec(seed=1).cell_id}
    assert contents(store) == before


@pytest.mark.parametrize("n", range(WRITES))
def test_a_cell_that_crashed_is_whole_when_committed_again(tmp_path, crash_after, n, monkeypatch):
    result = a_result(a_spec())
    store = filled(tmp_path / "r")
    crash_after(n)
    with pytest.raises(CrashError):
        store.commit(result, attempts=1, ray=None)
    monkeypatch.undo()
    store.commit(result, attempts=1, ray=None)
    assert contents(store) == contents(filled(tmp_path / "undisturbed", result))


@pytest.mark.parametrize("n", range(WRITES))
def test_a_crash_over_a_failed_cell_shows_no_row_of_the_new_attempt(tmp_path, crash_after, n):
    store = filled(tmp_path / "r", a_failure(a_spec()))
    crash_after(n)
    with pytest.raises(CrashError):
        store.commit(a_result(a_spec()), attempts=2, ray=None)
    assert all(rows == [] for rows in contents(store).values())


@pytest.mark.parametrize("n", range(1, WRITES))
def test_rows_of_a_crashed_attempt_stay_hidden_when_the_next_one_fails(tmp_path, crash_after, n):
    store = filled(tmp_path / "r")
    crash_after(n)
    with pytest.raises(CrashError):
        store.commit(a_result(a_spec()), attempts=1, ray=None)
    crash_after(99)
    store.commit_failure(a_failure(a_spec()), attempts=2, ray=None)
    assert store.statuses() == {a_spec().cell_id: Status.FAILED}
    assert all(store.rows(t) == [] for t in CHILDREN)
    assert list(store.adapter_folder(a_spec().cell_id).iterdir()) == []


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_crash_within_a_file_leaves_a_temporary_one_that_nobody_reads(
    tmp_path, monkeypatch, step
):
    store = filled(tmp_path / "r", a_result(a_spec(seed=1)))
    before = contents(store)

    def crash(*_: object) -> None:
        raise CrashError

    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[step], crash)
    with pytest.raises(CrashError):
        store.commit_failure(a_failure(a_spec(seed=2)), attempts=1, ray=None)
    monkeypatch.undo()
    leftovers = [p for p in (store.folder / "cells").iterdir() if p.name.startswith(".")]
    assert len(leftovers) == 1
    assert contents(store) == before


def test_a_file_that_cannot_be_written_is_a_clear_error_and_leaves_nothing(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"x\.arrow: cannot be written \(No space left on device\)"):
        files.write_whole(tmp_path / "x.arrow", b"content")
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys, time
from pathlib import Path
from orchestrator.results import files, store
from tests.builders import a_result, a_spec, filled

def slow(path, content):
    files.write_whole(path, content)
    time.sleep(0.003)  # so that the signal comes between two files, as a rule

store.write_whole = slow
results = filled(Path(sys.argv[1]))
for seed in range(1000):
    results.commit(a_result(a_spec(seed=seed), weights=b"%d" % seed), attempts=1, ray=None)
    print(seed, flush=True)
"""


@pytest.mark.slow
def test_kill_9_in_mid_commit_leaves_only_whole_cells(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "r")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        for _ in range(5):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        later = process.stdout.read().split()
    last = int(later[-1]) if later else last
    store = Store(tmp_path / "r")
    seeds = {json.loads(r["spec"])["seed"] for r in store.rows("cells")}
    assert seeds in (set(range(last + 1)), set(range(last + 2)))
    undisturbed = filled(
        tmp_path / "u", *(a_result(a_spec(seed=s), weights=b"%d" % s) for s in sorted(seeds))
    )
    assert contents(store) == contents(undisturbed)
    for seed in seeds:
        folder = store.adapter_folder(a_spec(seed=seed).cell_id)
        assert (folder / "adapters.safetensors").read_bytes() == b"%d" % seed


# round trip


def test_a_cell_comes_back_as_it_went(tmp_path):
    result = a_result(a_spec())
    store = filled(tmp_path / "r", result)
    (row,) = store.rows("cells")
    assert CellSpec.from_dict(json.loads(row["spec"])) == result.spec
    assert row["cell_id"] == result.spec.cell_id
    assert row["arm_id"] == result.spec.arm_id
    assert (row["status"], row["stage"], row["trace"]) == ("ok", None, None)
    assert (row["rho_weight"], row["margin"], row["seed"]) == (0.2, 0.1, 1)
    assert row["adapter_sha256"] == result.adapter.sha256
    assert row["contrast_behaviors"] == ["bias", "factual"]
    mark = {"cell_id": result.spec.cell_id}
    for table in CHILDREN:
        end = {} if table == "steps" else {"step": None, "pack": None, "pack_digest": None}
        rows = [mark | asdict(r) | end for r in getattr(result, table)]
        found = [
            {k: dict(v) if isinstance(v, list) else v for k, v in r.items()}
            for r in store.rows(table)
        ]
        assert found == rows


def test_the_adapter_lies_where_mlx_lm_looks_for_it(tmp_path):
    store = filled(tmp_path / "r", a_result(a_spec(), weights=b"tensors"))
    folder = store.adapter_folder(a_spec().cell_id)
    assert (folder / "adapters.safetensors").read_bytes() == b"tensors"
    assert json.loads((folder / "adapter_config.json").read_text()) == {"rank": 8}


def test_a_failure_keeps_stage_message_trace_and_host(tmp_path):
    store = filled(tmp_path / "r", a_failure(a_spec(), "boom"))
    (row,) = store.rows("cells")
    assert (row["status"], row["stage"], row["message"]) == ("failed", "load", "boom")
    assert row["trace"].startswith("Traceback")
    assert row["host"] == MACHINE.host


def test_what_was_not_measured_is_null_and_never_0(tmp_path):
    store = filled(
        tmp_path / "r",
        a_failure(a_spec(seed=1)),
        a_result(a_spec("sft-only", seed=2), {("factual", "train"): None}),
    )
    failed, scored = sorted(store.rows("cells"), key=lambda r: r["seed"])
    measured = [
        k for k in Measurements.__dataclass_fields__ if k in failed and k != "memory_peak_bytes"
    ]
    assert len(measured) > 15
    assert all(failed[k] is None for k in [*measured, "memory_peak", "wall_s", "adapter_sha256"])
    assert (scored["rho_weight"], scored["margin"], scored["hinge_loss"]) == (None, None, None)
    (score,) = store.rows("scores")
    assert score["n_valid"] == 0
    assert score["rho"] is score["rho_sd"] is score["auc"] is score["accuracy"] is None
    assert {r["hinge_loss"] for r in store.rows("steps")} == {None}


def test_a_diverged_cell_has_steps_but_no_scores_and_is_settled(tmp_path):
    store = filled(tmp_path / "r", a_result(a_spec(), status=Status.DIVERGED))
    assert store.done() == {a_spec().cell_id}
    assert [len(store.rows(t)) for t in CHILDREN] == [2, 0, 0]
    assert not store.adapter_folder(a_spec().cell_id).exists()


def test_a_failed_cell_is_not_done(tmp_path):
    assert filled(tmp_path / "r", a_failure(a_spec())).done() == set()


def test_a_second_write_of_an_attempt_replaces_the_first(tmp_path):
    store = filled(tmp_path / "r")
    row = {"cell_id": CELL, "attempt": 1, "started_at": 0, "outcome": "running"}
    store.write_attempt(row)
    store.write_attempt(row | {"outcome": "ok"})
    store.write_attempt(row | {"attempt": 10})
    store.write_attempt(row | {"attempt": 2})
    assert [(r["attempt"], r["outcome"]) for r in store.attempts_of(CELL)] == [
        (1, "ok"),
        (2, "running"),
        (10, "running"),
    ]


def test_the_journal_is_written_behind_and_is_whole_after_a_flush(tmp_path):
    store = filled(tmp_path / "r")
    for attempt in range(300):
        row = {"cell_id": CELL, "attempt": attempt, "started_at": 0, "outcome": "running"}
        store.write_attempt(row)
        store.write_attempt(row | {"outcome": "lost"})
    store.flush()
    rows = Store(store.folder).rows("attempts")
    assert sorted(r["attempt"] for r in rows) == list(range(300))
    assert {r["outcome"] for r in rows} == {"lost"}


def test_a_journal_that_cannot_be_written_is_a_clear_error(tmp_path, monkeypatch):
    store = filled(tmp_path / "r")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    store.write_attempt({"cell_id": CELL, "attempt": 1, "started_at": 0, "outcome": "ok"})
    with pytest.raises(UserError, match="No space left on device"):
        store.flush()


def test_rows_are_in_the_order_of_ids_whatever_the_file_system_says(tmp_path, monkeypatch):
    store = filled(tmp_path / "r", *(a_result(a_spec(seed=s)) for s in range(4)))
    real = os.scandir
    monkeypatch.setattr(
        os, "scandir", lambda folder: nullcontext(shuffled(sorted(real(folder), key=str), 1))
    )
    ids = [r["cell_id"] for r in store.rows("cells")]
    assert ids == sorted(ids)
    assert list(dict.fromkeys(r["cell_id"] for r in store.rows("scores"))) == ids


# what the files say of themselves


def test_every_file_names_its_table_its_version_and_its_units(tmp_path):
    store = filled(tmp_path / "r", a_result(a_spec()))
    store.write_attempt({"cell_id": CELL, "attempt": 1, "started_at": 0, "outcome": "ok"})
    store.flush()
    unit = a_unit(a_result(a_spec()))
    keep(store, answered(unit))
    store.write("judgements", f"{unit.generation_id}.{CELL}", [judgement(unit, "p0", "compliance")])
    number = {"cell_id": CELL, "measurement": "t:acc", "value": 0.5, "tool": "lm-eval"}
    number |= {"file": "f", "file_sha256": "0" * 64, "imported_at": 0}
    store.write("imported", f"{CELL}.{CELL}", [number])
    for table in schema.TABLES:
        (path,) = (store.folder / table).glob("*.arrow")
        with pa.ipc.open_file(path) as reader:
            found = reader.schema
        assert found.metadata[b"table"] == table.encode()
        assert found.metadata[b"schema_version"] == schema.SCHEMA_VERSION.encode()
        units = {f.name: (f.metadata or {}).get(b"unit") for f in found}
        for field in found:
            if pa.types.is_floating(field.type):
                assert units[field.name], f"{table}.{field.name} has no unit"
    assert schema.SCORES.field("rho").metadata[b"unit"] == b"nat/token"
    assert schema.CELLS.field("memory_peak").metadata[b"unit"] == b"byte"


def test_every_key_column_exists_and_may_not_be_null_but_for_what_the_sweep_scored_at_its_end():
    of_others = {schema.STEP, schema.PACK, schema.PACK_DIGEST}
    for table, keys in schema.KEYS.items():
        for key in keys:
            assert schema.TABLES[table].field(key).nullable == (
                key in of_others and table != "steps"
            )


# damaged files


def remade(make: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    """Damage done to the rows or the schema of a file that is whole as such."""
    return lambda path: rewritten(path, make(read_file(path, path.parent.name)))


OTHER_VERSION = {"table": "cells", "schema_version": "0"}
DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda p: p.write_bytes(b""),
    "cut": lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]),
    "a byte short": lambda p: p.write_bytes(p.read_bytes()[:-1]),
    "text": lambda p: p.write_text("not Arrow at all"),
    "zeros": lambda p: p.write_bytes(bytes(p.stat().st_size)),
    "other table": remade(lambda _: schema.to_arrow("steps", [])),
    "other version": remade(lambda t: t.replace_schema_metadata(OTHER_VERSION)),
    "no metadata": remade(lambda t: t.replace_schema_metadata(None)),
    "other columns": remade(lambda t: t.drop_columns(["status"])),
    "no row": remade(lambda t: t.slice(0, 0)),
    "two rows": remade(lambda t: pa.concat_tables([t, t])),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("act", [Store.statuses, Store.done, lambda s: s.read("cells")])
def test_a_damaged_cell_is_a_clear_error_that_names_the_file(tmp_path, how, act):
    store = filled(tmp_path / "r", a_result(a_spec(seed=1)), a_result(a_spec(seed=2)))
    path = store.path("cells", a_spec(seed=1).cell_id)
    DAMAGES[how](path)
    with pytest.raises(UserError) as error:
        act(store)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("how", ["empty", "cut", "text"])
def test_a_damaged_child_table_is_a_clear_error(tmp_path, how):
    store = filled(tmp_path / "r", a_result(a_spec()))
    path = store.path("scores", a_spec().cell_id)
    DAMAGES[how](path)
    with pytest.raises(UserError, match=r"scores.*launch again"):
        store.read("scores")
    assert store.done() == set()


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_a_compressed_file_is_refused_before_it_fills_the_memory(tmp_path, codec):
    store = filled(tmp_path / "r", a_result(a_spec()))
    path = store.path("cells", a_spec().cell_id)
    rows = read_file(path, "cells")
    place, long = rows.schema.get_field_index("message"), pa.array(["a" * 20_000_000])
    rewritten(path, rows.set_column(place, rows.schema.field(place), long), codec)
    del rows, long
    size, before = path.stat().st_size, pa.total_allocated_bytes()
    assert size < 200_000
    with pytest.raises(UserError, match=r"compressed.*launch again") as error:
        store.rows("cells")
    assert str(path) in str(error.value)
    assert pa.total_allocated_bytes() - before <= 2 * size


TIMES = [(t, f.name) for t, s in schema.TABLES.items() for f in s if pa.types.is_timestamp(f.type)]


@pytest.mark.parametrize("us", [2**62, -(2**62), 253_402_300_800_000_000, -62_135_596_800_000_001])
@pytest.mark.parametrize(("table", "name"), TIMES)
def test_a_time_that_no_calendar_has_is_a_clear_error(tmp_path, table, name, us):
    wanted = schema.TABLES[table]
    path = tmp_path / f"{CELL}.arrow"
    row = _some_row(table)
    rows = schema.to_arrow(table, [row])
    place = wanted.get_field_index(name)
    odd = pa.array([us], pa.int64()).view(wanted.field(name).type)
    rewritten(path, rows.set_column(place, rows.schema.field(place), odd))
    with pytest.raises(UserError, match=f"its {name} is outside the years 1 to 9999"):
        read_file(path, table)
    near = pa.array([us + (1 if us < 0 else -1)], pa.int64()).view(wanted.field(name).type)
    rewritten(path, rows.set_column(place, rows.schema.field(place), near))
    if abs(us) < 2**60:
        assert storing.to_rows(read_file(path, table))[0][name].year in (1, 9999)


def promised(store: Store, cell: str) -> list[Path]:
    """The files that the row of a trained cell promises."""
    folder = store.adapter_folder(cell)
    return [*(store.path(t, cell) for t in CHILDREN), *(folder / f for f in adapters.FILES)]


def of_an_older_version(store: Store, cell: str) -> None:
    """A row of `cells` as it was before rows named their files."""
    path = store.path("cells", cell)
    rewritten(path, read_file(path, "cells").drop_columns(["files"]))


WOUNDS: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "empty": DAMAGES["empty"],
    "cut": DAMAGES["cut"],
    "a byte short": DAMAGES["a byte short"],
    "a link": lambda p: p.symlink_to(p.rename(p.with_name("elsewhere"))),
}


@pytest.mark.slow
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("wound", WOUNDS)
@pytest.mark.parametrize("number", range(5))
def test_a_cell_is_done_only_with_every_file_that_its_row_promises(tmp_path, number, wound, old):
    weights = save({"lora_a": np.zeros(4, np.float32)})
    store = filled(tmp_path / "r", a_result(a_spec(seed=1), weights=weights))
    cell = a_spec(seed=1).cell_id
    if old:
        of_an_older_version(store, cell)
    assert (store.done(), store.lacking([cell])) == ({cell}, {})
    path = promised(store, cell)[number]
    WOUNDS[wound](path)
    assert store.done() == set()
    (problem,) = store.lacking([cell])[cell]
    assert problem.startswith(f"{path.relative_to(store.folder)} ")
    assert done_elsewhere(tmp_path / "other", [cell]) == ({}, [])


def test_a_cell_that_failed_or_diverged_promises_no_more_than_it_wrote(tmp_path):
    diverged = a_result(a_spec(seed=2), status=Status.DIVERGED)
    store = filled(tmp_path / "r", a_failure(a_spec(seed=1)), diverged)
    assert store.lacking([a_spec(seed=1).cell_id, diverged.spec.cell_id]) == {}
    store.path("steps", diverged.spec.cell_id).unlink()
    assert store.done() == set()


def test_a_row_names_the_files_of_its_cell_with_size_and_digest(tmp_path):
    store = filled(tmp_path / "r", a_result(a_spec()))
    (row,) = store.rows("cells")
    named = {f["name"]: (f["bytes"], f["sha256"]) for f in row["files"]}
    found = {p: p.read_bytes() for p in promised(store, row["cell_id"])}
    assert named == {
        str(p.relative_to(store.folder)): (len(c), hashlib.sha256(c).hexdigest())
        for p, c in found.items()
    }


@pytest.mark.parametrize("table", schema.TABLES)
def test_a_file_that_lacks_columns_which_may_be_null_reads_as_null(tmp_path, table):
    wanted = schema.TABLES[table]
    path = tmp_path / f"{CELL}.arrow"
    row = _some_row(table)
    rewritten(path, schema.to_arrow(table, [row]).select(list(row)))
    found = read_file(path, table)
    assert found.schema.equals(wanted)
    (read,) = found.to_pylist()
    assert {k for k, v in read.items() if v is None} == set(wanted.names) - row.keys()
    for missing in row:
        rewritten(path, schema.to_arrow(table, [row]).drop_columns([missing]))
        with pytest.raises(UserError, match="its columns are not those"):
            read_file(path, table)


def test_a_file_that_may_not_have_nulls_where_today_there_may_be_some_is_read(tmp_path):
    store = filled(tmp_path / "r", a_result(a_spec()))
    path = store.path("cells", a_spec().cell_id)
    rows = read_file(path, "cells")
    old = pa.schema([c.with_nullable(c.nullable and c.name != "host") for c in rows.schema])
    rewritten(path, rows.cast(old.with_metadata(rows.schema.metadata)))
    assert read_file(path, "cells").equals(rows)
    new = pa.schema([c.with_nullable(c.nullable or c.name == "cell_id") for c in rows.schema])
    rewritten(path, rows.cast(new.with_metadata(rows.schema.metadata)))
    with pytest.raises(UserError, match="its columns are not those"):
        read_file(path, "cells")


@pytest.mark.parametrize("name", [f.name for f in schema.TABLES["cells"] if not f.nullable])
def test_a_column_that_must_have_a_value_and_has_none_is_an_error(tmp_path, name):
    result = a_result(a_spec())
    store = filled(tmp_path, result)
    (row,) = store.rows("cells")
    store.write("cells", result.spec.cell_id, [row | {name: None}])
    with pytest.raises(UserError, match=rf"{result.spec.cell_id}\.arrow: "):
        store.rows("cells")


def test_columns_of_another_order_or_unknown_ones_are_an_error(tmp_path):
    store = filled(tmp_path / "r", a_result(a_spec()))
    path = store.path("scores", a_spec().cell_id)
    rows = read_file(path, "scores")
    for other in (rows.select(rows.schema.names[::-1]), rows.append_column("more", rows["rho"])):
        rewritten(path, other)
        with pytest.raises(UserError, match="its columns are not those"):
            store.read("scores")


def _some_row(table: str) -> dict[str, object]:
    """The columns that must have a value; of the answers, those of a unit of one prompt."""
    row = {f.name: _some(f) for f in schema.TABLES[table] if not f.nullable}
    if table != "generations":
        return row
    asked = a_prompt(0, "benign", id=CELL, text=CELL, category=CELL)
    digest = PromptSet(name=CELL, prompts=(asked,)).digest
    unit = {"set": "benign", "intent": "benign", "prompts_digest": digest}
    return row | unit | {"decoding": GREEDY.text, "status": "failed"}


def _some(column: pa.Field) -> object:
    """A value of the column's type."""
    if pa.types.is_string(column.type):
        return CELL
    return [] if pa.types.is_nested(column.type) else 0


@pytest.fixture(scope="module")
def one_cell(tmp_path_factory) -> tuple[Store, Path, bytes]:
    """A store of one cell, the file of its row, and what is in it."""
    store = filled(tmp_path_factory.mktemp("r"), a_result(a_spec()))
    path = store.path("cells", a_spec().cell_id)
    return store, path, path.read_bytes()


@given(data=st.data())
def test_no_damage_whatever_ends_in_anything_but_rows_or_a_clear_error(one_cell, data):
    store, path, whole = one_cell
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    said = str(path)
    try:
        store.statuses()
        store.rows("cells")
    except UserError as error:
        said = str(error)
    assert str(path) in said


def test_a_file_copied_under_another_name_is_found_out(tmp_path):
    store = filled(tmp_path / "r", a_result(a_spec()))
    path = store.path("cells", a_spec().cell_id)
    store.path("cells", "0123456789abcdef").write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="0123456789abcdef"):
        store.read("cells")
    with pytest.raises(UserError, match="0123456789abcdef"):
        store.statuses()


@pytest.mark.parametrize("table", ["steps", "scores", "probe_scores"])
def test_a_key_that_occurs_twice_is_an_error_that_names_it(tmp_path, table):
    store = filled(tmp_path / "r", a_result(a_spec()))
    path = store.path(table, a_spec().cell_id)
    rows = read_file(path, table)
    rewritten(path, pa.concat_tables([rows, rows.slice(0, 1)]))
    with pytest.raises(UserError, match=f"cell_id={a_spec().cell_id}.*occurs more than once"):
        store.read(table)


FOREIGN = (
    ".DS_Store",
    "._{}",
    "{}~",
    "#{}#",
    ".#{}",
    "{}.swp",
    "copy of {}",
    "{} (conflicted copy)",
    "Icon\r",
    ".nfs000000000001",
    "desktop.ini",
    "Thumbs.db",
    "x 2.arrow",
    "0123456789abcdef 2.arrow",
    "0123456789ABCDEF.arrow",
    "notes.arrow",
    ".half.arrow.123",
)


def strewn(folder: Path) -> None:
    """Put beside every entry of every folder of the results what desktops and editors leave."""
    for kind in folder_module.NAMES:
        place = folder / kind
        place.mkdir(exist_ok=True)
        name = next((p.name for p in place.iterdir()), CELL)
        for foreign in FOREIGN:
            (place / foreign.format(name)).write_text("?")
        other = name.replace(name[:16], "fedcba9876543210")
        (place / other).write_text("?") if kind == "adapters" else (place / other).mkdir()
        os.mkfifo(place / name.replace(name[:16], "fedcba9876543211"))
        (place / name.replace(name[:16], "fedcba9876543212")).symlink_to(place / name)


def test_only_names_that_we_give_and_only_plain_files_are_data(tmp_path):
    store = filled(tmp_path / "r", a_result(a_spec()))
    store.write_attempt({"cell_id": CELL, "attempt": 1, "started_at": 0, "outcome": "ok"})
    unit = a_unit(a_result(a_spec()))
    keep(store, answered(unit))
    store.write("judgements", f"{unit.generation_id}.{CELL}", [judgement(unit, "p0", "compliance")])
    before = contents(store)
    names = {kind: folder_module.ours(store.folder, kind) for kind in folder_module.NAMES}
    strewn(store.folder)
    assert contents(store) == before
    assert {kind: folder_module.ours(store.folder, kind) for kind in names} == names
    assert store.done() == {a_spec().cell_id}
    assert [r["attempt"] for r in store.attempts_of(CELL)] == [1]
    over = folder_module.passed_over(store.folder)
    assert len(over) == len(folder_module.NAMES) * (len(FOREIGN) + 3)
    assert "scores/.DS_Store" in over


def test_a_file_that_a_killed_writer_left_aside_is_not_named_as_foreign(tmp_path):
    store = filled(tmp_path / "r", a_result(a_spec()))
    assert folder_module.passed_over(store.folder) == []
    (store.folder / "cells" / f".{CELL}.arrow.123").write_text("?")
    assert folder_module.passed_over(store.folder) == []


# folders


def test_a_folder_without_results_says_how_to_make_some(tmp_path):
    empty = tmp_path / "alone" / "empty"  # beside no results of other tests, which would be named
    empty.mkdir(parents=True)
    for folder in (empty, empty / "gone"):
        with pytest.raises(UserError, match="no results here; make some with: rho-sweep launch"):
            Store.existing(folder)


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_results_that_cannot_be_made_are_a_clear_error(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made"):
        Store(tmp_path / place).create()


def test_results_that_are_read_only_are_a_clear_error(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot be made"):
        Store(tmp_path / "r").create()


def test_an_empty_store_has_empty_tables(tmp_path):
    store = filled(tmp_path / "r")
    for table in schema.TABLES:
        assert store.rows(table) == []
        assert store.read(table).schema.equals(schema.TABLES[table])
    assert Store(tmp_path / "never").rows("cells") == []


# siblings


def test_a_cell_of_a_sibling_is_linked_and_not_copied(tmp_path):
    a = filled(tmp_path / "a", a_result(a_spec()))
    a.write_attempt({"cell_id": a_spec().cell_id, "attempt": 1, "started_at": 0, "outcome": "ok"})
    a.flush()
    b = filled(tmp_path / "b")
    found, _ = done_elsewhere(b.folder, [a_spec().cell_id, "not there"])
    assert list(found) == [a_spec().cell_id]
    b.link_from(found[a_spec().cell_id], a_spec().cell_id)
    assert contents(a) == contents(b)
    for path in (p for p in a.folder.rglob("*") if p.is_file()):
        assert path.samefile(b.folder / path.relative_to(a.folder))


def test_what_one_sweep_does_later_never_changes_the_other(tmp_path):
    a = filled(tmp_path / "a", a_result(a_spec()))
    b = filled(tmp_path / "b")
    b.link_from(a, a_spec().cell_id)
    before = contents(a)
    b.commit(a_result(a_spec(), {("factual", "train"): 9.0}), attempts=2, ray=None)
    assert contents(a) == before


def test_linking_twice_changes_nothing_and_leaves_nothing_behind(tmp_path):
    a = filled(tmp_path / "a", a_result(a_spec()))
    b = filled(tmp_path / "b")
    b.link_from(a, a_spec().cell_id)
    b.link_from(a, a_spec().cell_id)
    assert contents(a) == contents(b)
    assert [p for p in b.folder.rglob(".*") if p.is_file()] == []


def test_where_links_are_impossible_the_files_are_copied_whole(tmp_path, monkeypatch):
    a = filled(tmp_path / "a", a_result(a_spec()))
    b = filled(tmp_path / "b")
    synced = []
    sync = os.fsync

    def impossible(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", impossible)
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(handle) or sync(handle))
    b.link_from(a, a_spec().cell_id)
    assert contents(a) == contents(b)
    path = b.path("cells", a_spec().cell_id)
    assert not path.samefile(a.path("cells", a_spec().cell_id))
    assert len(synced) >= WRITES


def test_a_crash_while_linking_leaves_no_cell(tmp_path, monkeypatch):
    a = filled(tmp_path / "a", a_result(a_spec()))
    for n in range(WRITES):
        b = filled(tmp_path / f"b{n}")
        numbers = count()

        def link(source: Path, target: Path, n=n, numbers=numbers) -> None:
            if next(numbers) == n:
                raise CrashError
            files.link_whole(source, target)

        monkeypatch.setattr(storing, "link_whole", link)
        with pytest.raises(CrashError):
            b.link_from(a, a_spec().cell_id)
        assert b.done() == set()
        assert b.rows("scores") == []


def test_a_sibling_that_lacks_a_table_is_a_clear_error(tmp_path):
    a = filled(tmp_path / "a", a_result(a_spec()))
    a.path("scores", a_spec().cell_id).unlink()
    with pytest.raises(UserError, match=r"scores.*is missing"):
        filled(tmp_path / "b").link_from(a, a_spec().cell_id)


@given(seed=st.integers(0, 2**32))
def test_no_changed_bit_of_a_cell_beside_is_taken_over(a_cell_beside, seed):
    rng, store, cell = Random(seed), a_cell_beside, a_spec().cell_id
    changed = rng.choice([p for p in sorted(store.folder.rglob("*")) if p.is_file()])
    before = changed.read_bytes()
    content = bytearray(before)
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    changed.write_bytes(content)
    new = Store(store.folder.with_name("new"))
    new.create()
    try:
        with pytest.raises(files.UnreadableError, match=re.escape(f"{changed}: ")):
            new.link_from(store, cell)
        assert [p for p in new.folder.rglob("*") if p.is_file()] == []
    finally:
        changed.write_bytes(before)


@pytest.fixture(scope="module")
def a_cell_beside(tmp_path_factory) -> Store:
    """A cell with an adapter from within its training, and an attempt."""
    spec = a_spec()
    trained = a_result(spec)
    kept = replace(trained, points=(Point(step=1, adapter=trained.adapter),))
    store = filled(tmp_path_factory.mktemp("beside") / "a", kept)
    store.write_attempt({"cell_id": spec.cell_id, "attempt": 1, "started_at": 0, "outcome": "ok"})
    store.flush()
    return store


def test_a_cell_beside_whose_spec_is_of_another_is_not_taken_over(tmp_path):
    a, (cell, other) = filled(tmp_path / "a"), (a_spec(), a_spec(seed=9))
    a.commit(a_result(cell), attempts=1, ray=None)
    (row,) = a.rows("cells")
    a.write("cells", cell.cell_id, [row | {"spec": json.dumps(asdict(other), sort_keys=True)}])
    with pytest.raises(files.UnreadableError, match="its spec is of another cell"):
        filled(tmp_path / "b").link_from(a, cell.cell_id)


def test_only_settled_cells_of_siblings_count(tmp_path):
    filled(tmp_path / "a", a_failure(a_spec(seed=1)))
    filled(tmp_path / "b", a_result(a_spec(seed=2), status=Status.DIVERGED))
    wanted = [a_spec(seed=s).cell_id for s in (1, 2)]
    assert list(done_elsewhere(tmp_path / "new", wanted)[0]) == wanted[1:]


def test_a_row_that_is_a_link_is_no_result_here_and_none_beside(tmp_path):
    a, cell = filled(tmp_path / "a", a_result(a_spec())), a_spec().cell_id
    path = a.path("cells", cell)
    path.symlink_to(path.rename(tmp_path / "away"))
    assert (a.done(), a.lacking([cell])) == (set(), {})
    assert done_elsewhere(tmp_path / "new", [cell]) == ({}, [])
    assert log_lines(a, cell) == ["nothing is known about this cell yet"]


def test_a_row_beside_that_cannot_be_read_is_a_note(tmp_path):
    a, b = (filled(tmp_path / name, a_result(a_spec())) for name in "ab")
    path = a.path("cells", a_spec().cell_id)
    path.write_bytes(b"garbage")
    found, (note,) = done_elsewhere(tmp_path / "new", [a_spec().cell_id])
    assert {cell: store.folder for cell, store in found.items()} == {a_spec().cell_id: b.folder}
    assert note.startswith(f"passed over: {path}: ")


def test_only_folders_with_cells_are_siblings(tmp_path):
    filled(tmp_path / "a")
    filled(tmp_path / "own")
    (tmp_path / "other").mkdir()
    (tmp_path / "file").write_text("")
    assert [s.folder.name for s in siblings(tmp_path / "own")] == ["a"]
    assert list(siblings(tmp_path / "no" / "such")) == []


def test_a_folder_that_may_not_be_entered_is_no_sibling(tmp_path, monkeypatch):
    filled(tmp_path / "a")
    (tmp_path / "locked").mkdir()
    real = Path.stat

    def stat(self: Path, **kwargs: object) -> os.stat_result:
        if "locked" in self.parts[:-1]:
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, **kwargs)

    monkeypatch.setattr(Path, "stat", stat)
    assert [s.folder.name for s in siblings(tmp_path / "own")] == ["a"]


@pytest.mark.parametrize("few", [0, storing.FEW])
@given(keys=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), max_size=12))
def test_a_key_that_occurs_twice_is_found_in_tables_of_any_size(few, keys):
    table = pa.table(
        {
            "cell_id": pa.array([cell for cell, _ in keys], pa.string()),
            "attempt": pa.array([n for _, n in keys], pa.int64()),
        }
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(storing, "FEW", few)
        found = storing.repeated_key(table, "attempts")
    twice = {key for key in keys if keys.count(key) > 1}
    assert (found is None) == (not twice)
    assert found is None or (found["cell_id"], found["attempt"]) in twice
