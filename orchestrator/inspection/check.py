"""Verifies every file of a results folder, and says how to have anew what is damaged."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from safetensors import SafetensorError, safe_open

from orchestrator.errors import UserError
from orchestrator.results import adapters
from orchestrator.results.folder import ours, passed_over
from orchestrator.results.generations import response_digest
from orchestrator.results.manifest import load_manifest
from orchestrator.results.schema import TABLES
from orchestrator.results.store import ADVICE, CHILDREN, Store, advice, demand_unique, read_file
from orchestrator.results.stress_record import read_plan
from tasks.contract.cell import CellSpec

Row = dict[str, Any]


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
    """

    cells: int
    problems: tuple[Problem, ...]
    passed_over: tuple[str, ...]

    def to_json(self) -> str:
        """Stable JSON; see docs/json.md."""
        return json.dumps(asdict(self), indent=2)


def check(store: Store) -> Checked:
    """Read every file of the results and compare it with what its row or name says.

    Raises:
        UserError: A folder cannot be read.
    """
    work = _Check(store.folder)
    work.records()
    for table in TABLES:
        work.tables[table] = dict(work.readable(table))
    cells = {rows[0]["cell_id"]: rows[0] for rows in work.tables["cells"].values()}
    for row in cells.values():
        work.cell(row, store)
    work.answers(cells)
    return Checked(
        cells=len(cells),
        problems=tuple(work.found.values()),
        passed_over=tuple(passed_over(store.folder)),
    )


class _Check:
    """One check under way.

    Attributes:
        found: Path -> the first problem of that file.
        tables: Table -> path -> rows, of every file that can be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found: dict[str, Problem] = {}
        self.tables: dict[str, dict[str, list[Row]]] = {}

    def wrong(self, name: str, problem: str, then: str) -> None:
        """Keep a problem of a file, if it is the first of that file."""
        path = self.folder / name
        command = f"rm {quote(str(path))}" if path.is_file() or path.is_symlink() else None
        found = Problem(path=name, problem=problem, command=command, then=then)
        self.found.setdefault(name, found)

    def records(self) -> None:
        """The manifest and the plan of the last stress test."""
        for name, read, again in (
            ("sweep.yaml", load_manifest, "launch the sweep again"),
            ("stress.json", read_plan, "run rho-sweep stress again"),
        ):
            try:
                read(self.folder)
            except UserError as error:
                self.wrong(name, self._reason(error, again), again)

    def readable(self, table: str) -> Iterator[tuple[str, list[Row]]]:
        """(path, rows) of the files of a table whose schema, owner and keys are right."""
        for file in ours(self.folder, table):
            name = f"{table}/{file}"
            try:
                rows = read_file(self.folder / name, table)
                demand_unique(rows, table, self.folder)
                yield name, rows.to_pylist()
            except UserError as error:
                self.wrong(name, self._reason(error, advice(table)), advice(table))

    def cell(self, row: Row, store: Store) -> None:
        """The files that a row of `cells` promises, and its own spec."""
        cell = row["cell_id"]
        for lack in store.lacks(row):
            name, _, problem = lack.partition(" ")
            self.wrong(name, problem, ADVICE)
        names = {f"{table}/{cell}.arrow" for table in CHILDREN}
        names |= {f"adapters/{cell}/{name}" for name in adapters.FILES}
        for file in row["files"] or ():
            if file["name"] in names and self._digest(file["name"]) not in (None, file["sha256"]):
                self.wrong(file["name"], "has other bytes than when it was written", ADVICE)
        if row["adapter_sha256"] is not None:
            self._adapter(f"adapters/{cell}/{adapters.WEIGHTS}", row["adapter_sha256"])
        try:
            named = CellSpec.from_dict(json.loads(row["spec"])).cell_id
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            named = f"unreadable ({error})"
        if named != cell:
            problem = f"its spec is of another cell or another version of rho-sweep: {named}"
            self.wrong(f"cells/{cell}.arrow", problem, ADVICE)

    def _adapter(self, name: str, sha256: str) -> None:
        if (found := self._digest(name)) is None:
            return
        if found != sha256:
            self.wrong(name, "is another adapter than that of its row", ADVICE)
        try:
            with safe_open(self.folder / name, framework="numpy") as tensors:
                tensors.keys()
        except (SafetensorError, OSError) as error:
            self.wrong(name, f"is no safetensors file ({error})", ADVICE)

    def answers(self, cells: Mapping[str, Row]) -> None:
        """Answers belong to the adapter of their cell, labels to an answer that is here."""
        given: dict[tuple[str, str, int], str | None] = {}
        for name, rows in self.tables["generations"].items():
            for row in rows:
                key = (row["generation_id"], row["prompt_id"], row["sample_index"])
                given[key] = row["response_sha256"]
                cell = cells.get(row["cell_id"])
                if cell and row["adapter_sha256"] != cell["adapter_sha256"]:
                    self.wrong(name, "answers of another adapter", advice("generations"))
                text = row["response"]
                if text is not None and response_digest(text) != row["response_sha256"]:
                    self.wrong(name, "an answer is another than its digest", advice("generations"))
        for name, rows in self.tables["judgements"].items():
            for row in rows:
                key = (row["generation_id"], row["prompt_id"], row["sample_index"])
                if given.get(key, "") != row["response_sha256"]:
                    self.wrong(name, "labels answers that are not here", advice("judgements"))

    def _digest(self, name: str) -> str | None:
        """sha256 of a file; None where `lacks` has named what keeps it from being read."""
        if name in self.found and self.found[name].then == ADVICE and "/" in name:
            return None
        try:
            with (self.folder / name).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return None

    def _reason(self, error: UserError, then: str) -> str:
        """A message without the path before it and the advice after it."""
        line = str(error).splitlines()[0]
        reason = line.removesuffix(f"; {then}")
        if reason == line:  # other advice
            reason = line.rpartition("; ")[0] or line
        return reason.removeprefix(str(self.folder)).partition(": ")[2] or reason


def lines_of(found: Checked, folder: Path) -> list[str]:
    """A check for people: each problem with its command, then what makes the data anew."""
    if not found.problems:
        return [f"{folder}: {found.cells} cells, nothing is wrong"]
    count = len(found.problems)
    lines = [f"{folder}: {count} problem{'s' if count > 1 else ''}, {found.cells} readable cells"]
    for one in found.problems:
        lines.append(f"{one.path}: {one.problem}; {one.then}")
        lines += [f"  {one.command}"] if one.command else []
    return lines
