"""Results on disk: one Arrow file per table per cell, in one folder per sweep.

The promise: a cell is whole or absent. Its adapter and child tables are written first, its
`cells` row last, with the size and sha256 of each; readers look only at cells that have that row,
and a cell is done only while all that its row promises is there. What an earlier attempt left is
removed before, that row first. `generations`, `judgements`, `imported` and what saved adapters
score later have one file per unit of work, and belong to it whole. Every file is written aside,
fsynced and renamed. Different cells may be committed by several threads at once. The journal
(`attempts`) is written in the background; `flush` waits for it. Keys are unique; a reader that
meets a key twice raises.
"""

import hashlib
import io
import os
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc

from orchestrator.config.foreign_json import BadAnswerError, parse
from orchestrator.errors import UserError, writing
from orchestrator.results import adapters
from orchestrator.results.files import (
    UNSEALED,
    UnreadableError,
    intact,
    link_whole,
    remove,
    sealed,
    write_whole,
)
from orchestrator.results.folder import (
    NAMES,
    WEIGHTS,
    damage,
    demand_plain,
    demand_results,
    is_plain,
    kept_step,
    ours,
)
from orchestrator.results.schema import (
    IMPORTED_TABLE,
    KEYS,
    OWNERS,
    PACK_DIGEST,
    SCHEMA_VERSION,
    TABLES,
    failure_row,
    fitted,
    result_row,
    result_rows,
    scored_rows,
    spec_row,
    to_arrow,
    versioned,
)
from orchestrator.results.values import wrong
from tasks.contract.cell import CellFailure, CellResult, CellSpec, NodeError, Status
from tasks.contract.scoring import ScoringResult
from tasks.sources.foreign import is_foreign
from tasks.sources.jsonl import demand_file, parse_json
from tasks.sources.paths import real

SETTLED = (Status.OK, Status.DIVERGED)
"""A cell that ended so is not run again; a failed one is."""
CHILDREN = ("steps", "scores", "probe_scores")
CHANGED = "has other bytes than when it was written"
RERUN = "launch again; the cell is run anew"
ADVICE = f"delete it and {RERUN}"
SCORE_AGAIN = "delete it and run rho-sweep score again"
_ADVICE = {
    "attempts": "delete it; only the record of that attempt is lost",
    "generations": "delete it and run rho-sweep stress again; the answers are generated anew",
    "judgements": "delete it; rho-sweep judge run labels the answers anew",
    IMPORTED_TABLE: "delete it and import the other tool's file again",
}
MARK = ("cell_id", "status", "adapter_sha256", "files")
"""Columns of `cells` that say how a cell ended and which files belong to it."""
SEEN = ("cell_id", "status", "spec")
SPEC: dict[str, Any] = {
    "condition": str,
    "max_length": (None, int),
    "model": {},
    "probes": {},
} | dict.fromkeys(("train", "data", "hinge"), (None, {}))
"""The shape of `cells.spec`: `CellSpec`, with whatever an older or newer version has in a part."""
INCOMPLETE = "incomplete"
"""Shown as the status of a cell whose row promises files that are missing or damaged."""
MAGIC = b"ARROW1"
"""At both ends of an Arrow file."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_US, LAST_US = (
    (moment.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
    for moment in (datetime.min, datetime.max)
)
"""The times that Python has, as tables store them: microseconds since 1970."""
_DISK = ThreadPoolExecutor(max_workers=2, thread_name_prefix="journal")
FEW = 20_000
"""Up to so many rows keys are counted here: pyarrow would load its compute and dataset parts, and
pandas where it is installed, and is faster from a thousand rows on only."""
_BEHIND = 64
"""Rows of the journal that may wait for the disk."""


class Store:
    """The results of one sweep.

    Attributes:
        folder: e.g. `results/dose-response`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._journal: dict[str, Future[None]] = {}

    @classmethod
    def existing(cls, folder: Path) -> "Store":
        """Open results that must be there.

        Raises:
            UserError: There are none.
        """
        return cls(demand_results(folder))

    @classmethod
    def all_existing(cls, *folders: Path) -> list["Store"]:
        """Open several results.

        Raises:
            UserError: Some are not there; all of those are named.
        """
        found: list[Store] = []
        problems: list[str] = []
        for folder in folders:
            try:
                found.append(cls.existing(folder))
            except UserError as error:
                problems.append(str(error))
        if problems:
            raise UserError("\n".join(problems))
        return found

    def create(self) -> None:
        """Make the folder, and in it one for each table and one for adapters, empty.

        Raises:
            UserError: It cannot be made or written to, or holds links or pipes.
        """
        demand_plain(self.folder)
        with writing(self.folder, "made"):
            for name in (*TABLES, "adapters"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
        if not os.access(self.folder / "cells", os.W_OK):
            raise UserError(f"{self.folder}: is read-only", "choose another with --results DIR")

    def path(self, table: str, key: str) -> Path:
        """File of one cell in one table."""
        return self.folder / table / f"{key}.arrow"

    def adapter_folder(self, cell_id: str, step: int | None = None) -> Path:
        """Where a cell's adapter lies; mlx-lm loads it as `adapter_path`.

        Args:
            cell_id: The cell.
            step: Optimizer step of an adapter from within the training; None for the trained one.
        """
        return self.folder / "adapters" / (cell_id if step is None else f"{cell_id}.{step}")

    def commit(
        self,
        result: CellResult,
        *,
        attempts: int,
        ray: str | None,
        finished_at: datetime | None = None,
    ) -> None:
        """Keep a finished cell, its `cells` row last.

        Args:
            result: What it brought home.
            attempts: Made at it so far.
            ray: Version that ran it; None without Ray.
            finished_at: When it ended; None is now.
        """
        cell_id = result.spec.cell_id
        self._clear(cell_id, result.spec.keep_steps)
        written: dict[Path, bytes] = {}
        trained = {point.step: point.adapter for point in result.points} | {None: result.adapter}
        for step, adapter in trained.items():
            if adapter is not None:
                written |= adapters.write_adapter(self.adapter_folder(cell_id, step), adapter)
        for table, rows in result_rows(result).items():
            written[self.path(table, cell_id)] = self.write(table, cell_id, rows)
        files = [
            {
                "name": path.relative_to(self.folder).as_posix(),
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            for path, content in written.items()
        ]
        self._write_cell(result_row(result) | {"files": files}, attempts, ray, finished_at)

    def commit_failure(
        self,
        failure: CellFailure,
        *,
        attempts: int,
        ray: str | None,
        finished_at: datetime | None = None,
    ) -> None:
        """Keep the fact that a cell failed. The next launch tries it again."""
        self._clear(failure.spec.key, getattr(failure.spec, "keep_steps", ()))
        self._write_cell(failure_row(failure), attempts, ray, finished_at)

    def commit_scored(self, result: ScoringResult) -> None:
        """Keep what a saved adapter scored; `scores` last, for that file says that it is whole."""
        for table, rows in scored_rows(result).items():
            self.write(table, f"{result.spec.cell_id}.{result.spec.key}", rows)

    def scored_units(self) -> set[str]:
        """Keys of the scorings of saved adapters that are whole."""
        names = (name.split(".") for name in ours(self.folder, "scores"))
        return {parts[1] for parts in names if len(parts) == 3}

    def _clear(self, cell_id: str, kept: Iterable[int]) -> None:
        """Remove what an earlier attempt left, its `cells` row first; also what is of its adapter.

        Args:
            cell_id: The cell.
            kept: Steps after which its adapter is kept.
        """
        for table in ("cells", *CHILDREN):
            remove(self.path(table, cell_id))
        for table in ("generations", "scores", "probe_scores", IMPORTED_TABLE):
            for later in self.files_of(table, cell_id):
                remove(later)
        for step in (None, *kept):
            for name in adapters.FILES:
                remove(self.adapter_folder(cell_id, step) / name)

    def _write_cell(
        self, row: dict[str, Any], attempts: int, ray: str | None, finished_at: datetime | None
    ) -> None:
        ended = finished_at or datetime.now(UTC)
        row |= {"attempts": attempts, "ray": ray, "finished_at": ended}
        self.write("cells", row["cell_id"], [row])

    def files_of(self, table: str, owner: str) -> list[Path]:
        """The files of one owner in a table that has several for each."""
        return [p for p in self._files(table) if p.name.startswith(f"{owner}.")]

    def write_attempt(self, row: dict[str, Any]) -> None:
        """Queue the row of an attempt for a thread that writes it; a later row replaces it.

        Raises:
            UserError: An earlier row could not be written.
        """
        key = f"{row['cell_id']}.{row['attempt']}"
        self.flush(wait=False)
        if len(self._journal) >= _BEHIND:
            for oldest in list(self._journal)[: _BEHIND // 2]:
                self._journal.pop(oldest).result()
        before = self._journal.get(key)
        self._journal[key] = _DISK.submit(self._write_after, before, key, row)

    def _write_after(self, before: "Future[None] | None", key: str, row: dict[str, Any]) -> None:
        """Rows of one attempt go to one file, in order; the earlier one was begun before."""
        if before is not None:
            before.result()
        self.write("attempts", key, [row])

    def flush(self, *, wait: bool = True) -> None:
        """Wait until the journal is on the disk, or only look at what has been written of it.

        Raises:
            UserError: A row could not be written.
        """
        for key in [k for k, write in self._journal.items() if wait or write.done()]:
            self._journal.pop(key).result()

    def write(self, table: str, key: str, rows: list[dict[str, Any]]) -> bytes:
        """Put rows in the place of one file, whose name begins with their owner.

        Returns:
            The content of the file.
        """
        if not NAMES[table].fullmatch(f"{key}.arrow"):
            raise ValueError(f"{key!r} is no name of a file of {table}")
        content = as_file(table, rows)
        write_whole(self.path(table, key), content)
        return content

    def statuses(self) -> dict[str, Status]:
        """Cell id -> how it ended, of every committed cell.

        Raises:
            UserError: A file is corrupted or of another version.
        """
        return {path.stem: Status(_mark(path)["status"]) for path in self._files("cells")}

    def done(self) -> set[str]:
        """Cells that need not run again: scored or diverged, with all files that they promise."""
        marks = map(_mark, self._files("cells"))
        return {mark["cell_id"] for mark in marks if self.is_settled(mark)}

    def is_done(self, cell_id: str) -> bool:
        """As `done`, of one cell that has a row."""
        return self.is_settled(_mark(self.path("cells", cell_id)))

    def is_settled(self, mark: Mapping[str, Any]) -> bool:
        """As `done`, of a row of `cells` with at least the columns `MARK`."""
        return mark["status"] in SETTLED and not self.lacks(mark)

    @property
    def without_adapters(self) -> bool:
        """Whether the folder of adapters is missing as a whole, as in results to be read only."""
        return not (self.folder / "adapters").is_dir()

    def cells(self) -> dict[str, dict[str, Any]]:
        """Cell id -> its row of `cells`; `incomplete`, with a message, where files are missing.

        Adapters that were left out of the folder are not missed.
        """
        rows = {row["cell_id"]: row for row in self.rows("cells")}
        left_out = "adapters/" if self.without_adapters else "/"
        for row in rows.values():
            if problems := [p for p in self.lacks(row) if not p.startswith(left_out)]:
                message = f"{', '.join(problems)}; launch again"
                row |= {"status": INCOMPLETE, "message": message}
        return rows

    def lacking(self, cells: Iterable[str]) -> dict[str, list[str]]:
        """Cell id -> what `lacks` says, of those of some cells that have a row and lack something.

        Raises:
            UserError: A file of `cells` is corrupted or of another version.
        """
        there = [path for c in sorted(cells) if is_plain(path := self.path("cells", c))]
        found = {path.stem: self.lacks(_mark(path)) for path in there}
        return {cell: problems for cell, problems in found.items() if problems}

    def lacks(self, mark: Mapping[str, Any]) -> list[str]:
        """Which files that a row of `cells` promises are missing or damaged, by a quick look.

        Args:
            mark: At least the columns `MARK` of the row.

        Returns:
            e.g. `scores/<cell id>.arrow is missing`.
        """
        if mark["status"] not in SETTLED:
            return []
        cell = mark["cell_id"]
        names = [f"{table}/{cell}.arrow" for table in CHILDREN]
        if mark["adapter_sha256"] is not None:
            names += [f"adapters/{cell}/{name}" for name in adapters.FILES]
        sizes = {file["name"]: file["bytes"] for file in mark["files"] or ()}
        names += [name for name in sizes if kept_step(name, cell) is not None]
        place = f"{self.folder}/"  # a `Path` for each would take longer than the look
        found = ((name, damage(place + name, sizes.get(name))) for name in names)
        return [f"{name} {problem}" for name, problem in found if problem]

    def flaws(self, mark: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """As `lacks`, by reading every file that a row of `cells` promises.

        Yields:
            (file, what is wrong with it), e.g. `scores/<cell id>.arrow` and `is missing`.
        """
        if mark["status"] not in SETTLED:
            return
        cell = mark["cell_id"]
        lacking = dict(lack.split(" ", 1) for lack in self.lacks(mark))
        yield from lacking.items()
        digests = {file["name"]: file["sha256"] for file in mark["files"] or ()}
        names = {f"{table}/{cell}.arrow" for table in CHILDREN}
        names |= {f"adapters/{cell}/{name}" for name in adapters.FILES}
        names |= {name for name in digests if kept_step(name, cell) is not None}
        weights, trained = f"adapters/{cell}/{WEIGHTS}", mark["adapter_sha256"]
        for name in sorted(names & (digests.keys() | {weights}) - lacking.keys()):
            if name == weights and trained is None and name not in digests:
                continue
            path = self.folder / name
            try:
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
                if found != digests.get(name, found):
                    yield name, CHANGED
                elif name == weights and trained not in (None, found):
                    yield name, "is another adapter than that of its row"
                elif name.endswith(WEIGHTS):
                    adapters.demand_loadable(path)
            except OSError as error:
                yield name, f"cannot be read ({error.strerror})"
            except UserError as error:
                yield name, error.reason.removeprefix(f"{path}: ")

    def demand_whole(self, cell_id: str) -> dict[str, Any]:
        """Check a cell, its attempts too, by reading every file of it; returns its `MARK`.

        Raises:
            UserError: Something is missing, damaged or unreadable; the first is named.
        """
        path = self.path("cells", cell_id)
        rows = read_unique(path, "cells")
        own_spec(rows, path)
        (mark,) = rows.select(MARK).to_pylist()
        for name, problem in self.flaws(mark):
            raise UserError(f"{self.folder / name}: {problem}", ADVICE)
        for table in CHILDREN:
            read_unique(self.path(table, cell_id), table)
        for path in self.files_of("attempts", cell_id):
            read_unique(path, "attempts")
        whole: dict[str, Any] = mark
        return whole

    def read(self, table: str) -> pa.Table:
        """All rows of a table that belong to committed cells.

        Raises:
            UserError: A file is corrupted or of another version, or a key occurs twice.
        """
        self.flush()
        paths = self._files(table)
        if table in (*CHILDREN, "generations", IMPORTED_TABLE):
            committed = {owner_of(p) for p in self._files("cells")}
            paths = [p for p in paths if owner_of(p) in committed]
        if not paths:  # `empty_table` would load pandas, and so would a look at no values
            return pa.Table.from_batches([], versioned(table))
        parts = [read_file(path, table) for path in paths]
        whole = pa.concat_tables(parts)
        if table == "cells" and wrong(whole, table):
            for path, part in zip(paths, parts, strict=True):
                _demand_values(part, path, table)
        if twice := repeated_key(whole, table):
            rows = zip(paths, (p.select(list(twice)).to_pylist() for p in parts), strict=True)
            holders = [path for path, keys in rows if twice in keys]
            others = "".join(f", as does {path.name}" for path in holders[:-1])
            raise UserError(
                f"{holders[-1]}: {said_twice(twice)}{others}", advice(table, holders[-1])
            )
        return whole

    def read_cell(self, table: str, cell_id: str) -> pa.Table:
        """One cell's rows of a table.

        Raises:
            UserError: The file is missing, corrupted or of another version.
        """
        return read_unique(self.path(table, cell_id), table)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """As `read`, as dicts."""
        return to_rows(self.read(table))

    def attempts_of(self, cell_id: str) -> list[dict[str, Any]]:
        """Attempts of one cell, in order."""
        self.flush()
        paths = self.files_of("attempts", cell_id)
        rows = [to_rows(read_file(path, "attempts"))[0] for path in paths]
        return sorted(rows, key=lambda r: int(r["attempt"]))

    def _files(self, table: str) -> list[Path]:
        folder = self.folder / table
        return [folder / name for name in ours(self.folder, table)]

    def link_from(self, other: "Store", cell_id: str) -> None:
        """Take over a finished cell of another sweep, its `cells` row last.

        Raises:
            UnreadableError: A file of the other sweep is damaged or not readable; the cell is not
                done here.
            UserError: This folder cannot be written to.
        """
        try:
            files = other.demand_whole(cell_id)["files"] or ()
        except UserError as error:
            raise UnreadableError(error.reason) from None
        steps = (kept_step(file["name"], cell_id) for file in files)
        kept = sorted({step for step in steps if step is not None})
        self._clear(cell_id, kept)
        for step in (None, *kept):
            for name in adapters.FILES:
                source = other.adapter_folder(cell_id, step) / name
                if is_plain(source):
                    link_whole(source, self.adapter_folder(cell_id, step) / name)
        for attempt in other.files_of("attempts", cell_id):
            link_whole(attempt, self.folder / "attempts" / attempt.name)
        for table in (*CHILDREN, "cells"):
            link_whole(other.path(table, cell_id), self.path(table, cell_id))


def to_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Rows as dicts; times are in UTC.

    Times, which are stored as microseconds, are viewed as numbers: pyarrow loads pandas, 0.3 s of
    CPU, to convert one, and pyarrow.compute to cast one.
    """
    columns = []
    for column in table.columns:
        if pa.types.is_timestamp(column.type):
            counted = [n for c in column.chunks for n in c.view(pa.int64()).to_pylist()]
            columns.append(
                [None if n is None else EPOCH + timedelta(microseconds=n) for n in counted]
            )
        else:
            columns.append(column.to_pylist())
    rows = zip(*columns, strict=True)
    return [dict(zip(table.column_names, row, strict=True)) for row in rows]


def advice(table: str, path: Path | None = None) -> str:
    """What to do about a damaged file of a table; it may have files of several kinds of unit."""
    later = path is not None and table in CHILDREN and "." in path.stem
    return SCORE_AGAIN if later else _ADVICE.get(table, ADVICE)


def spec_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The spec in a row of `cells`, as plain values.

    Raises:
        UserError: It is none.
    """
    try:
        found: dict[str, Any] = parse((row["spec"] or "").encode(), SPEC)
    except BadAnswerError as error:
        raise UserError(
            f"cells/{row['cell_id']}.arrow: its spec is unreadable ({error})", ADVICE
        ) from None
    return found


def own_spec(rows: pa.Table, path: Path) -> CellSpec:
    """The spec in the one row of a file of `cells`, from which its other columns follow.

    Raises:
        UserError: It is unreadable, or of another cell than the row.
    """
    cell = rows["cell_id"][0].as_py()
    try:
        spec = CellSpec.from_dict(parse_json(rows["spec"][0].as_py()))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: its spec is unreadable ({error})", ADVICE) from None
    columns = spec_row(spec)
    if columns["cell_id"] != cell:
        other = f"its spec is of another cell or version of rho-sweep: {columns['cell_id']}"
        raise UserError(f"{path}: {other}", ADVICE)
    (row,) = rows.select(list(columns)).to_pylist()
    others = [
        name
        for name in columns.keys() - {"spec", "code_version", "git_revision"}
        if row[name] not in (None, columns[name])
    ]
    if others:
        unlike = f"its {', '.join(sorted(others))} are not those of its spec"
        raise UserError(f"{path}: {unlike}", ADVICE)
    return spec


def as_file(table: str, rows: list[dict[str, Any]]) -> bytes:
    """The file of these rows of a table, sealed."""
    buffer = io.BytesIO()
    arrow = to_arrow(table, rows)
    with pa.ipc.new_file(buffer, arrow.schema, metadata={"seal": UNSEALED}) as writer:
        writer.write_table(arrow)
    return sealed(buffer.getvalue())


def read_file(path: Path, table: str, columns: Sequence[str] = ()) -> pa.Table:
    """One file, checked against the schema.

    Args:
        path: The file.
        table: Its table.
        columns: Columns to read, in the order of the table; () for all. Of a sealed, intact file
            only these are read; any other file is read whole.

    Raises:
        UserError: It is corrupted, unreadable, or of another version.
    """
    todo = advice(table, path)
    content = _content_of(path, todo)
    try:
        if (whole := intact(content)) is False:
            raise UserError(f"{path}: {CHANGED}", todo)
        # to compare bytes takes a hundredth of the time that comparing two schemas takes
        ours = content.startswith(_head(table))
        found = _read(content, table, tuple(columns) if ours and whole else ())
    except OSError as error:  # Arrow raises some of its own as these
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except pa.ArrowException as error:
        raise UserError(f"{path}: corrupted ({str(error).splitlines()[0]})", todo) from None
    if not ours:
        metadata = found.schema.metadata or {}
        version = metadata.get(b"schema_version", b"none").decode()
        if metadata.get(b"table", b"").decode() != table or version != SCHEMA_VERSION:
            raise UserError(
                f"{path}: not a {table} table of version {SCHEMA_VERSION} (version {version})", todo
            )
        if (rows := fitted(found, table)) is None:
            raise UserError(f"{path}: its columns are not those of {table}", todo)
        found = rows
    _demand_own(found, path, table)
    if table not in ("cells", *CHILDREN):
        _demand_values(found, path, table)
    return found


def _demand_values(found: pa.Table, path: Path, table: str) -> None:
    """Check the values of a file, but for tables with many rows, whose readers do.

    Raises:
        UserError: Some are none that this program writes.
    """
    if table not in CHILDREN and (problem := wrong(found, table)):
        raise UserError(f"{path}: {problem}", advice(table, path))


def _demand_own(found: pa.Table, path: Path, table: str) -> None:
    """Check that the rows of a file are those that its name and its schema promise.

    Raises:
        UserError: They are not.
    """
    todo = advice(table, path)
    # Arrow's own validation takes a null for a value of any column
    places = _required(table) if found.num_columns == len(TABLES[table]) else ()
    if bare := next((n for i, n in places if found.column(i).null_count), None):
        raise UserError(f"{path}: its column {bare} lacks a value", todo)
    column = OWNERS.get(table, "cell_id")
    # `unique` loads pyarrow.compute, half as much again as pyarrow
    owners = found[column] if found.num_rows == 1 else found[column].unique()
    if set(owners.to_pylist()) - {owner_of(path)}:
        raise UserError(f"{path}: holds rows of another {column.removesuffix('_id')}", todo)
    number = path.stem.partition(".")[2]
    if table == "attempts" and number and found["attempt"].to_pylist() != [int(number)]:
        raise UserError(f"{path}: holds another attempt than its name says", todo)
    if PACK_DIGEST in found.schema.names:
        of_packs = found.num_rows - found[PACK_DIGEST].null_count
        if of_packs != (found.num_rows if number else 0):
            raise UserError(f"{path}: holds scores of another pack than its name says", todo)
    for name in _times(table).intersection(found.schema.names):
        counted = [n for c in found[name].chunks for n in c.view(pa.int64()).to_pylist()]
        if any(n is not None and not FIRST_US <= n <= LAST_US for n in counted):
            raise UserError(f"{path}: its {name} is outside the years 1 to 9999", todo)
    if table == "cells" and found.num_rows != 1:
        raise UserError(f"{path}: holds {found.num_rows} rows instead of one", todo)


def _content_of(path: Path, todo: str) -> bytes:
    try:
        demand_file(path)
        return path.read_bytes()
    except NodeError as error:
        raise UserError(str(error), todo) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


@cache
def _required(table: str) -> tuple[tuple[int, str], ...]:
    """Place and name of the columns that must have a value."""
    return tuple((i, field.name) for i, field in enumerate(TABLES[table]) if not field.nullable)


@cache
def _times(table: str) -> frozenset[str]:
    """Names of the columns that are times."""
    return frozenset(f.name for f in TABLES[table] if pa.types.is_timestamp(f.type))


@cache
def _head(table: str) -> bytes:
    """The first bytes of a file of this version: a magic word, and the schema with its metadata."""
    buffer = io.BytesIO()
    with pa.ipc.new_file(buffer, versioned(table)):
        pass  # no rows: `to_arrow` would load pandas for none
    content = buffer.getvalue()
    size = int.from_bytes(content[12:16], "little")
    return content[: 16 + size]


def _read(content: bytes, table: str, columns: tuple[str, ...]) -> pa.Table:
    """A file's rows, validated.

    Reads the stream that the file holds between two magic words, for its messages can be looked at
    before they are decoded: compressed rows, which this program never writes, would take thousands
    of times the size of the file. Batch by batch and without threads: a scan of a large sweep reads
    ten thousand files of one row.

    Raises:
        pyarrow.ArrowException: It is no Arrow file, or its rows are compressed or encoded.
    """
    if not content.startswith(MAGIC + b"\0\0") or not content.endswith(MAGIC):
        raise pa.ArrowInvalid("Not an Arrow file")
    stream = pa.py_buffer(content).slice(len(MAGIC) + 2)
    for message in pa.ipc.MessageReader.open_stream(stream):
        if message.type != "schema" and (message.type != "record batch" or _compressed(message)):
            raise pa.ArrowInvalid("its rows are compressed or encoded; rho-sweep writes them plain")
    reader = pa.ipc.RecordBatchStreamReader(stream, options=_options(table, columns))
    batches = list(reader)
    for batch in batches:
        batch.validate(full=True)
    return pa.Table.from_batches(batches, schema=reader.schema)


def _compressed(message: pa.ipc.Message) -> bool:
    """Whether a record batch is compressed, by its flatbuffer (Arrow's `format/Message.fbs`).

    A table begins with the distance back to its list of fields: 2 bytes each, after 4 others, 0
    for a field that is not there. Arrow has verified all distances when it read the message.
    """
    raw = message.metadata.to_pybytes()

    def field(at: int, number: int) -> int:
        fields = at - struct.unpack_from("<i", raw, at)[0]
        place = fields + 4 + 2 * number
        (size,) = struct.unpack_from("<H", raw, fields)
        found: int = struct.unpack_from("<H", raw, place)[0] if place < fields + size else 0
        return found

    (root,) = struct.unpack_from("<I", raw)
    header = root + field(root, 2)
    return field(header + struct.unpack_from("<I", raw, header)[0], 3) != 0


@cache
def _options(table: str, columns: tuple[str, ...]) -> pa.ipc.IpcReadOptions:
    chosen = sorted(map(TABLES[table].get_field_index, columns))
    return pa.ipc.IpcReadOptions(use_threads=False, included_fields=chosen)


def read_unique(path: Path, table: str) -> pa.Table:
    """As `read_file`, with values that this program writes, and no key twice.

    Raises:
        UserError: It has others, or is corrupted, unreadable, or of another version.
    """
    found = read_file(path, table)
    if table == "cells":  # of which ten thousand are read at once elsewhere; others are, as read
        _demand_values(found, path, table)
    if twice := repeated_key(found, table):
        raise UserError(f"{path}: {said_twice(twice)}", advice(table, path))
    return found


def owner_of(path: Path) -> str:
    """Whose rows a file holds, by its name."""
    return path.name.partition(".")[0]


def _mark(path: Path) -> dict[str, Any]:
    """The columns `MARK` of one row of `cells`."""
    found = read_file(path, "cells", MARK).select(MARK)
    mark: dict[str, Any] = found.to_pylist()[0]
    whole = all(file and None not in file.values() for file in mark["files"] or ())
    if not whole or mark["status"] not in tuple(Status):  # a quick look: there may be ten thousand
        _demand_values(found, path, "cells")
    return mark


def stores(root: Path) -> Iterator[Store]:
    """Every results folder under a root, by name."""
    if root.is_dir():
        folders = (f for f in sorted(root.iterdir()) if not is_foreign(f.name))
        yield from (Store(folder) for folder in folders if _has_cells(folder))


def _has_cells(folder: Path) -> bool:
    try:
        return (folder / "cells").is_dir()
    except OSError:  # a folder that we may not enter holds nothing for us
        return False


def siblings(folder: Path) -> Iterator[Store]:
    """Other sweeps' results under the same root."""
    own = real(folder)
    return (store for store in stores(own.parent) if store.folder != own)


def unread_note(problems: Sequence[str]) -> list[str]:
    """One line on what another sweep's results hold that cannot be read; none without problems."""
    more = f"; and {len(problems) - 1} more" if problems[1:] else ""
    return [f"passed over: {problem}{more}" for problem in problems[:1]]


def done_elsewhere(folder: Path, wanted: Iterable[str]) -> tuple[dict[str, Store], list[str]]:
    """Which of the wanted cells are done in a sibling, and where; and notes on what is unreadable.

    A neighbour's damage is not ours to mend, and keeps nobody from work of their own.
    """
    missing = set(wanted)
    found: dict[str, Store] = {}
    notes: list[str] = []
    for store in siblings(folder):
        problems = []
        for cell in sorted(c for c in missing if is_plain(store.path("cells", c))):
            try:
                if store.is_done(cell):
                    found[cell] = store
            except UserError as error:
                problems.append(error.reason)
        missing -= found.keys()
        notes += unread_note(problems)
    return found, notes


def seen_otherwise(folder: Path, specs: Iterable[CellSpec]) -> set[str]:
    """Cells whose training has a result under another id: scored on other pairs or more often.

    What is scored changes no weights, so that somebody may know their numbers. Looks in this folder
    and beside it; what cannot be read there is left out.
    """
    alike: dict[str, set[str]] = {}
    for spec in specs:
        if spec.condition.trains:
            alike.setdefault(spec.training_id, set()).add(spec.cell_id)
    found: set[str] = set()
    for store in (Store(folder), *siblings(folder)) if alike else ():
        for name in ours(store.folder, "cells"):
            with suppress(UserError, KeyError, TypeError, ValueError):
                path = store.folder / "cells" / name
                row = read_file(path, "cells", SEEN).select(SEEN).to_pylist()[0]
                if row["status"] in SETTLED:
                    found |= alike.get(CellSpec.from_dict(spec_of(row)).training_id, set())
    return found


def repeated_key(table: pa.Table, name: str) -> dict[str, Any] | None:
    """A key that occurs twice in rows of a table, as column -> value; None if there is none."""
    keys = KEYS[name]
    if table.num_rows <= FEW:
        counted = Counter(zip(*(table[key].to_pylist() for key in keys), strict=True))
        twice = (dict(zip(keys, key, strict=True)) for key, n in counted.items() if n > 1)
        return next(twice, None)
    import pyarrow.compute as pc

    counts = table.select(keys).group_by(keys).aggregate([([], "count_all")])
    if counts.num_rows == table.num_rows:
        return None
    found: dict[str, Any] = (
        counts.filter(pc.greater(counts["count_all"], 1)).select(keys).slice(0, 1).to_pylist()[0]
    )
    return found


def said_twice(key: Mapping[str, Any]) -> str:
    """A repeated key in words."""
    return f"the key {', '.join(f'{k}={v}' for k, v in key.items())} occurs more than once"
