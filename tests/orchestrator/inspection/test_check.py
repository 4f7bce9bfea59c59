"""`check` finds every changed byte, names what does not belong together, and stays readable."""

import pickle
import shutil
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import UserError
from orchestrator.inspection.check import Checked, check, lines_of
from orchestrator.inspection.status import status, status_lines
from orchestrator.results.files import UNSEALED, intact, sealed
from orchestrator.results.folder import passed_over
from orchestrator.results.manifest import load_manifest
from orchestrator.results.schema import TABLES
from orchestrator.results.store import Store, read_file, to_rows
from tests.answers import a_unit, answered, judgement, keep
from tests.builders import a_result, launched

SWEEP = """\
name: s
model: m
grid: {condition: [sft-only], seed: [1, 2]}
"""


def filled(folder: Path) -> Store:
    """Two trained cells and a baseline, answers of one and their labels."""
    store, expansion = launched(folder, SWEEP)
    for spec in expansion.all:
        result = a_result(spec)
        store.commit(result, attempts=1, ray=None)
        row = {"cell_id": spec.cell_id, "attempt": 1, "started_at": 0, "outcome": "ok"}
        store.write_attempt(row)
    store.flush()
    unit = a_unit(result)
    keep(store, answered(unit))
    answer = store.rows("generations")[0]
    facts = {"response_sha256": answer["response_sha256"]}
    labels = [judgement(unit, answer["prompt_id"], "compliance", **facts)]
    store.write("judgements", f"{unit.generation_id}.0123456789abcdef", labels)
    return store


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Store:
    return filled(tmp_path_factory.mktemp("sound") / "s")


@pytest.fixture
def store(sound, tmp_path) -> Store:
    return Store(Path(shutil.copytree(sound.folder, tmp_path / "s")))


def problems(store: Store) -> dict[str, str]:
    return {p.path: p.problem for p in check(store).problems}


def test_sound_results_have_no_problem(sound):
    assert check(sound) == Checked(cells=3, problems=(), passed_over=(), unlisted=(), open=())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_flipped_bit_in_any_file_is_found_and_no_reader_of_the_table_is_silent(sound, seed):
    rng = Random(seed)
    file = rng.choice([p for p in sorted(sound.folder.rglob("*")) if p.is_file()])
    before = file.read_bytes()
    changed = bytearray(before)
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    file.write_bytes(changed)
    try:
        name = file.relative_to(sound.folder).as_posix()
        assert name in problems(sound)
        if (table := name.partition("/")[0]) in TABLES:
            with pytest.raises(UserError, match=str(file)):
                sound.read(table)
    finally:
        file.write_bytes(before)


def test_a_problem_is_whole_whatever_the_folder_is_called(sound, tmp_path):
    folder = Path(shutil.copytree(sound.folder, tmp_path / "a; b: c"))
    (attempt, *_) = (f"attempts/{path.name}" for path in sorted((folder / "attempts").iterdir()))
    broken = {"sweep.yaml": b"- 1", "stress.json": b"{", attempt: b"no" * 99}
    for name, content in broken.items():
        (folder / name).write_bytes(content)
    assert problems(Store(folder)) == {
        "sweep.yaml": "cannot be read (expected keys and values)",
        "stress.json": "cannot be read (it is no JSON: '{')",
        attempt: "corrupted (Not an Arrow file)",
    }


def test_an_error_keeps_reason_and_advice_apart_also_between_processes():
    error = UserError("a; b: is broken", "mend it")
    for kept in (error, pickle.loads(pickle.dumps(error))):
        assert (kept.reason, kept.advice) == ("a; b: is broken", "mend it")
        assert str(kept) == "a; b: is broken; mend it"
    assert str(UserError("alone")) == "alone"


def test_a_file_of_a_version_without_seals_is_sound(store):
    for path in store.folder.glob("*/*.arrow"):
        rows = read_file(path, path.parent.name)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
            writer.write_table(rows)
    found = problems(store)
    assert not any(name.startswith(("cells", "attempts", "generations")) for name in found)
    assert len(store.rows("cells")) == 3


@pytest.mark.parametrize("table", ["generations", "judgements"])
def test_a_copy_of_answers_under_another_name_is_named_by_check_and_by_readers(store, table):
    (path,) = (store.folder / table).iterdir()
    copy = path.with_name(f"{path.name.partition('.')[0]}.ffffffffffffffff.arrow")
    shutil.copy(path, copy)
    first, last = sorted((path.name, copy.name))
    assert problems(store) == {f"{table}/{last}": f"holds a key that {table}/{first} has, too"}
    with pytest.raises(UserError, match=rf"{last}: the key .* occurs more than once, as does") as e:
        store.read(table)
    assert first in str(e.value)
    assert "delete it" in str(e.value)


def test_a_copy_of_an_attempt_or_a_cell_under_another_name_is_named(store):
    cell = store.rows("cells")[0]["cell_id"]
    for source, copy in (
        (f"attempts/{cell}.1.arrow", f"attempts/{cell}.2.arrow"),
        (f"cells/{cell}.arrow", "cells/ffffffffffffffff.arrow"),
    ):
        shutil.copy(store.folder / source, store.folder / copy)
        assert "another" in problems(store)[copy]
        with pytest.raises(UserError, match=copy):
            store.read(copy.partition("/")[0])
        (store.folder / copy).unlink()
    shutil.copy(
        store.folder / f"attempts/{cell}.1.arrow", store.folder / f"attempts/{cell}.01.arrow"
    )
    assert check(store).passed_over == (f"attempts/{cell}.01.arrow",)


def test_cells_that_the_sweep_does_not_list_and_listed_ones_without_a_row_are_named(store):
    labels = load_manifest(store.folder)["cells"]
    gone, other, *_ = labels
    store.path("cells", gone).unlink()
    manifest = store.folder / "sweep.yaml"
    manifest.write_text(manifest.read_text().replace(f"{other}: ", f"{'f' * 16}: "))
    found = check(store)
    assert found.unlisted == (other,)
    assert found.open == tuple(sorted((gone, "f" * 16)))
    lines = lines_of(found, store.folder)
    assert any("1 cells have a result and are not in sweep.yaml" in line for line in lines)


def test_a_row_with_other_settings_than_its_spec_or_its_label_is_named(store):
    row = next(r for r in store.rows("cells") if r["seed"] == 1)
    store.write("cells", row["cell_id"], [row | {"seed": 7, "model": "x", "files": row["files"]}])
    name = f"cells/{row['cell_id']}.arrow"
    assert problems(store)[name] == "its model, seed are not those of its spec"
    store.write("cells", row["cell_id"], [row])
    manifest = store.folder / "sweep.yaml"
    manifest.write_text(manifest.read_text().replace("sft-only seed=1", "sft-only seed=9"))
    assert set(problems(store)) == {"sweep.yaml"}


FOREIGN = (
    "adapters/{}/0000100_adapters.safetensors",
    "adapters/{}/optimizer/state",
    "checkpoints/notes.txt",
    "cells/{} 2.arrow",
    "cells/{}.sync-conflict-20260101-120000-ABC.arrow",
    "sweep 2.yaml",
    "sweep.sync-conflict-20260101-120000-ABC.yaml",
    "copy/cells/{}.arrow",
)


@pytest.mark.parametrize("name", FOREIGN)
def test_entries_of_others_anywhere_are_passed_over_and_named(store, sound, name):
    path = store.folder / name.format(store.rows("cells")[0]["cell_id"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("?")
    (found,) = check(store).passed_over
    assert str(path).startswith(str(store.folder / found))
    assert check(store).problems == ()
    assert store.rows("cells") == sound.rows("cells")


def test_what_commands_make_and_killed_writers_leave_is_not_named(store):
    cell = store.rows("cells")[0]["cell_id"]
    for name in (f"adapters/{cell}/.adapters.safetensors.12", ".sweep.yaml.3", "launch.log"):
        (store.folder / name).touch()
    for name in ("analysis/T1.csv", "export/cells.parquet", "report.html", ".launch.lock"):
        (store.folder / name).parent.mkdir(exist_ok=True)
        (store.folder / name).touch()
    assert passed_over(store.folder) == []


def test_adapters_that_were_left_out_are_one_problem_and_cells_are_read_as_scored(store):
    shutil.rmtree(store.folder / "adapters")
    found = check(store)
    assert [(p.path, p.problem) for p in found.problems] == [
        ("adapters", "is missing, with the adapters of all cells")
    ]
    assert {row["status"] for row in store.cells().values()} == {"ok"}
    assert len(store.done()) == 1  # a launch trains the two others anew
    told = status(store)
    assert (told["ok"], told["unscored"], told["adapters_left_out"]) == (3, [], 2)
    assert any("adapters/ is left out" in line for line in status_lines(told))


def test_a_file_that_is_missing_is_not_to_be_deleted(store):
    next((store.folder / "adapters").glob("*/*.safetensors")).unlink()
    (one,) = check(store).problems
    assert (one.problem, one.then) == ("is missing", "launch again; the cell is run anew")
    assert [r["status"] for r in store.cells().values()].count("incomplete") == 1


def test_many_problems_of_one_kind_are_a_few_lines(store):
    for number in range(500):
        (store.folder / f"scores/{number:016x}.arrow").write_text("?")
    found = check(store)
    assert len(found.problems) == 500
    lines = lines_of(found, store.folder)
    assert lines[0] == f"{store.folder}: 500 problems, 3 readable cells"
    assert len(lines) == 1 + 3 * 2 + 1
    assert lines[-1] == f"scores: 497 more; all: rho-sweep check {store.folder} --json"


def test_a_status_that_no_launch_knows_is_named(store):
    row = store.rows("cells")[0]
    store.write("cells", row["cell_id"], [row | {"status": "odd"}])
    assert problems(store)[f"cells/{row['cell_id']}.arrow"] == "its status 'odd' is unknown"


def test_a_file_that_begins_as_ours_and_goes_on_as_another_table_is_named(store):
    """A file has its schema at both ends, and anybody can seal one."""
    cell = store.rows("cells")[0]["cell_id"]
    path = store.path("cells", cell)
    ours, buffer = path.read_bytes(), pa.BufferOutputStream()
    long = {"so that": "its head is longer than ours" * 1000}
    other = pa.table({"cell_id": [cell], "x": [1]}).replace_schema_metadata(long)
    with pa.ipc.new_file(buffer, other.schema, metadata={"seal": UNSEALED}) as writer:
        writer.write_table(other)
    head = 16 + int.from_bytes(ours[12:16], "little")
    path.write_bytes(sealed(ours[:head] + buffer.getvalue().to_pybytes()[head:]))
    with pytest.raises(UserError, match="corrupted"):
        read_file(path, "cells")
    with pytest.raises(UserError, match="delete it and launch again"):
        store.done()
    assert f"cells/{path.name}" in problems(store)


def test_a_text_with_the_mark_of_a_seal_is_a_text(tmp_path):
    mark = b"sealed:sha256:"
    for text in (mark, mark + b"0" * 64, mark + b"f" * 64 + b" and more"):
        content = sealed(b"# " + UNSEALED + b"\ndescription: " + text + b"\n")
        assert intact(content)
        assert intact(content.replace(b"description", b"Description")) is False


@pytest.mark.parametrize("name", ["logs/{cell}.log", "launch.log", "live.json"])
def test_a_log_has_no_seal_and_nothing_that_is_checked_comes_from_it(sound, store, name):
    cell = next(iter(store.done()))
    path = store.folder / name.format(cell=cell)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"rho 9.0 \xff\x1b]0;owned\x07\n" * 100)
    assert check(store) == check(sound)
    assert [to_rows(store.read(t)) for t in TABLES] == [to_rows(sound.read(t)) for t in TABLES]


MARKS = st.sampled_from([b"sealed:sha256:", b"0" * 64, b"a" * 64, b" ", b"x", UNSEALED])


@given(st.lists(MARKS | st.binary(max_size=4)), st.lists(MARKS | st.binary(max_size=4)))
def test_a_seal_is_found_whatever_looks_like_one_beside_it(before, after):
    content = sealed(b"".join(before) + b"\n" + UNSEALED + b"\n" + b"".join(after))
    assert intact(content) is True
    assert intact(content.replace(b"\n", b"\r", 1)) is False
