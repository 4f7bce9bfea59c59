"""Verifies every file of a results folder, and says how to have anew what is damaged."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import UserError, as_typed, shell_word
from orchestrator.results.files import intact
from orchestrator.results.folder import (
    SCORED,
    ours,
    passed_over,
)
from orchestrator.results.generations import response_digest
from orchestrator.results.manifest import NAME, load_manifest
from orchestrator.results.schema import IMPORTED_TABLE, KEYS
from orchestrator.results.store import (
    ADVICE,
    CHANGED,
    CHILDREN,
    MARK,
    RERUN,
    Store,
    advice,
    own_spec,
    read_unique,
)
from orchestrator.results.stress_record import FILE, packs_in, read_plan

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
SHA256 = "response_sha256"
SHOWN = 3
"""Problems of one kind, and names in one line, that people are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that is wrong in a results folder.

    Attributes:
        path: The file, relative to the results folder.
        problem: What is wrong with it.
        command: Shell command that moves it out of the way; None where there is no file.
        then: What makes it anew, or what is lost.
    """

    path: str
    problem: str
    command: str | None
    then: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a check found.

    Attributes:
        cells: Rows of `cells` that can be read.
        problems: All that is wrong.
        passed_over: Entries that this program did not make; no problem.
        unlisted: Cells with a row that `sweep.yaml` does not list: of an earlier sweep file, or put
            there by others; no problem.
        open: Cells that it lists and that have no row; no problem.
    """

    cells: int
    problems: tuple[Problem, ...]
    passed_over: tuple[str, ...]
    unlisted: tuple[str, ...]
    open: tuple[str, ...]

    def to_json(self) -> str:
        """Stable JSON; see docs/json.md."""
        return json.dumps(asdict(self), indent=2)


def check(store: Store) -> Checked:
    """Read every file of the results and compare it with what its row or name says.

    Raises:
        UserError: A folder cannot be read.
    """
    work = _Check(store.folder)
    labels = work.records()
    cells: dict[str, Row] = {}
    for _, rows in work.readable("cells"):
        # a few columns at a time: to convert all 75 takes longer than all that is done with them
        (row,) = rows.select(MARK).to_pylist()
        cells[row["cell_id"]] = row
        work.cell(row, store)
        work.settings(rows, labels)
    for table in ("attempts", *CHILDREN, IMPORTED_TABLE):
        for _ in work.readable(table):  # reading is the check; ten thousand cells are not kept
            pass
    work.answers(cells)
    return Checked(
        cells=len(cells),
        problems=tuple(work.found.values()),
        passed_over=tuple(passed_over(store.folder)),
        unlisted=tuple(sorted(cells.keys() - labels.keys())) if labels else (),
        open=tuple(sorted(labels.keys() - cells.keys())),
    )


class _Check:
    """One check under way.

    Attributes:
        found: Path -> the first problem of that file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found: dict[str, Problem] = {}

    def wrong(self, name: str, problem: str, then: str) -> None:
        """Keep a problem of a file, if it is the first of that file."""
        path = self.folder / name
        command = f"rm {shell_word(path)}" if path.is_file() or path.is_symlink() else None
        found = Problem(path=name, problem=problem, command=command, then=then)
        self.found.setdefault(name, found)

    def unreadable(self, name: str, error: UserError, then: str) -> None:
        """Keep why a file cannot be read; the path before the reason stands in `name` already."""
        reason = error.reason.removeprefix(f"{self.folder / name}: ")
        self.wrong(name, reason.splitlines()[0], then)

    def records(self) -> dict[str, str]:
        """The manifest and the plans of later work; returns the labels of all cells."""
        labels: dict[str, str] = {}
        for name, read, again in (
            (NAME, load_manifest, "launch the sweep again"),
            (FILE, read_plan, "run rho-sweep stress again"),
            (SCORED, packs_in, "run rho-sweep score again"),
        ):
            try:
                found = read(self.folder)
                if name == NAME and found:
                    labels = found["cells"]
                    if intact((self.folder / name).read_bytes()) is False:
                        self.wrong(name, CHANGED, again)
            except UserError as error:
                self.unreadable(name, error, again)
        return labels

    def readable(self, table: str) -> Iterator[tuple[str, "pa.Table"]]:
        """(path, rows) of the files of a table whose schema, owner and keys are right."""
        for file in ours(self.folder, table):
            name = f"{table}/{file}"
            try:
                rows = read_unique(self.folder / name, table)
            except UserError as error:
                self.unreadable(name, error, advice(table, Path(file)))
            else:
                yield name, rows

    def cell(self, row: Row, store: Store) -> None:
        """The files that a row of `cells` promises."""
        for name, problem in store.flaws(row):
            if name.startswith("adapters/") and store.without_adapters:
                then = "put it back, or launch again: the cells are run anew"
                self.wrong("adapters", "is missing, with the adapters of all cells", then)
            else:
                there = (self.folder / name).exists()
                self.wrong(name, problem, ADVICE if there else RERUN)

    def settings(self, rows: "pa.Table", labels: Mapping[str, str]) -> None:
        """The columns of a row of `cells` are those of its spec, and so is the manifest's label."""
        cell = rows["cell_id"][0].as_py()
        name = f"cells/{cell}.arrow"
        try:
            spec = own_spec(rows, self.folder / name)
        except UserError as error:
            self.unreadable(name, error, ADVICE)
        else:
            if labels.get(cell, spec.label) != spec.label:
                other = f"calls {cell} {labels[cell]!r}, and its row says {spec.label!r}"
                self.wrong(NAME, other, "launch the sweep again")

    def answers(self, cells: Mapping[str, Row]) -> None:
        """Answers belong to the adapter of their cell, labels to an answer that is here."""
        given: dict[tuple[Any, ...], str | None] = {}
        for name, row in self._once("generations"):
            given[row["generation_id"], row["prompt_id"], row["sample_index"]] = row[SHA256]
            cell = cells.get(row["cell_id"])
            if cell and row["adapter_sha256"] != cell["adapter_sha256"]:
                self.wrong(name, "answers of another adapter", advice("generations"))
            text = row["response"]
            if text is not None and response_digest(text) != row[SHA256]:
                self.wrong(name, "an answer is another than its digest", advice("generations"))
        for name, row in self._once("judgements"):
            key = (row["generation_id"], row["prompt_id"], row["sample_index"])
            if given.get(key, "") != row[SHA256]:
                self.wrong(name, "labels answers that are not here", advice("judgements"))

    def _once(self, table: str) -> Iterator[tuple[str, Row]]:
        """(path, row) of a table; a file with a key that an earlier one has is wrong."""
        seen: dict[tuple[Any, ...], str] = {}
        for name, rows in self.readable(table):
            for row in rows.to_pylist():
                key = tuple(row[column] for column in KEYS[table])
                if (other := seen.setdefault(key, name)) != name:
                    self.wrong(name, f"holds a key that {other} has, too", advice(table))
                yield name, row


def lines_of(found: Checked, folder: Path) -> list[str]:
    """A check for people: each problem with its command, then what makes the data anew.

    Of many problems of one kind the first are shown.
    """
    if not found.problems:
        lines = [f"{folder}: {found.cells} cells, nothing is wrong"]
    else:
        count = len(found.problems)
        many = "s" if count > 1 else ""
        lines = [f"{folder}: {count} problem{many}, {found.cells} readable cells"]
    kinds: dict[tuple[str, str], list[Problem]] = {}
    for one in found.problems:
        kinds.setdefault((one.path.partition("/")[0], one.then), []).append(one)
    for (place, _), problems in kinds.items():
        for one in problems[:SHOWN]:
            lines.append(f"{one.path}: {one.problem}; {one.then}")
            lines += [f"  {one.command}"] if one.command else []
        if (more := len(problems) - SHOWN) > 0:
            lines.append(f"{place}: {more} more; all: {as_typed('check', folder, '--json')}")
    for cells, what in (
        (found.unlisted, "have a result and are not in sweep.yaml: of an earlier sweep file"),
        (found.open, "have no result yet: launch the sweep again"),
    ):
        if cells:
            names = ", ".join(cells[:SHOWN]) + (", ..." if len(cells) > SHOWN else "")
            lines.append(f"{len(cells)} cells {what} ({names})")
    return lines
