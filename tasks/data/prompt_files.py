"""Prompt sets of others, in their own layouts; none of their texts ship with the project.

    LAYOUT:PATH[?OPTIONS]                        a file on this machine
    LAYOUT@OWNER/NAME@REVISION:FILE[?OPTIONS]    a file of a data set on the hub

`OPTIONS` are `sha256=HEX` (what the file's bytes must be) and `intent=harmful|benign` (where the
layout has no label and the file's name does not tell), joined by `&`. A `.json` file holds a list
of objects with the keys that the `.csv` file has as columns.
"""

import csv
import glob
import hashlib
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.contract.cell import NodeError
from tasks.sources import host_copies as content
from tasks.sources.hub import NotHereError, snapshot
from tasks.sources.jsonl import demand_file, read_json, read_text

Row = Mapping[str, Any]
HARMFUL, BENIGN = INTENTS = "harmful", "benign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How somebody else's file is read, and where people get it.

    Attributes:
        text, category: Columns that hold what a prompt calls so.
        more: Other columns that are read.
        identity: Row, number from 1 and intent -> id.
        intent: Row and name of the file -> intent; None where neither tells.
        origin: Where the authors publish it.
        licence: As its authors state it.
    """

    text: str
    category: str
    more: tuple[str, ...] = ()
    identity: Callable[[Row, int, str], str]
    intent: Callable[[Row, str], str | None]
    origin: str
    licence: str

    @property
    def columns(self) -> tuple[str, ...]:
        """What a file must have."""
        return (self.text, self.category, *self.more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file in a known layout.

    Attributes:
        layout: Key of `LAYOUTS`.
        repo, revision: Of a data set on the hub; None for a file on this machine.
        file: Path, or path inside the data set.
        sha256: What its bytes must have; None if anything goes.
        intent: Of all its prompts; None if the file tells.
    """

    layout: str
    repo: str | None
    revision: str | None
    file: str
    sha256: str | None
    intent: str | None

    @property
    def name(self) -> str:
        """For tables, e.g. `xstest:prompts`."""
        return f"{self.layout}:{Path(self.file).stem}"

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.repo}@{self.revision}:{self.file}" if self.repo else self.file


def _by_name(words: Mapping[str, str]) -> Callable[[Row, str], str | None]:
    """Intent from a word in the file's name."""
    return lambda _, name: next((i for word, i in words.items() if word in name.lower()), None)


LAYOUTS = {
    "jailbreakbench": Layout(
        text="Goal",
        category="Category",
        more=("Index",),
        identity=lambda row, _, intent: f"{intent}-{row['Index']}",
        intent=_by_name({"harmful": HARMFUL, "benign": BENIGN}),
        origin="data set JailbreakBench/JBB-Behaviors on the hub, data/harmful-behaviors.csv "
        "and data/benign-behaviors.csv",
        licence="MIT",
    ),
    "xstest": Layout(
        text="prompt",
        category="type",
        more=("id", "label"),
        identity=lambda row, _number, _intent: str(row["id"]),
        intent=lambda row, _: {"safe": BENIGN, "unsafe": HARMFUL}.get(str(row["label"])),
        origin="paul-rottger/xstest on GitHub, xstest_prompts.csv",
        licence="CC-BY-4.0",
    ),
    "strongreject": Layout(
        text="forbidden_prompt",
        category="category",
        identity=lambda _row, number, _intent: f"{number:04d}",
        intent=lambda _row, _name: HARMFUL,
        origin="alexandrasouly/strongreject on GitHub, strongreject_dataset.csv",
        licence="MIT",
    ),
    "or-bench": Layout(
        text="prompt",
        category="category",
        identity=lambda _row, number, _intent: f"{number:05d}",
        intent=_by_name({"toxic": HARMFUL, "hard": BENIGN, "or-bench-80k": BENIGN}),
        origin="data set bench-llm/or-bench on the hub, or-bench-hard-1k.csv, "
        "or-bench-80k.csv and or-bench-toxic.csv",
        licence="CC-BY-4.0",
    ),
}
_SOURCE = re.compile(
    rf"(?P<layout>{'|'.join(LAYOUTS)})"
    r"(?:@(?P<repo>[\w.-]+/[\w.-]+)@(?P<revision>[\w./-]+))?"
    r":(?P<file>[^?]+)(?:\?(?P<options>.*))?",
    re.DOTALL,
)
_HEX = re.compile(r"[0-9a-f]{64}")


def parse(name: str) -> Source | None:
    """What a name of the forms above means; None if it is no such name.

    Raises:
        NodeError: It begins with a layout, but goes on in no known way.
    """
    found = _SOURCE.fullmatch(name)
    if found is None:
        if re.split("[:@]", name)[0] in LAYOUTS and not os.path.isfile(name):  # noqa: PTH113
            raise NodeError(
                f"prompts {name}: expected LAYOUT:PATH or LAYOUT@OWNER/NAME@REVISION:FILE"
            )
        return None
    options = _options(name, found["options"] or "")
    return Source(
        layout=found["layout"],
        repo=found["repo"],
        revision=found["revision"],
        file=found["file"],
        sha256=options.get("sha256"),
        intent=options.get("intent"),
    )


def _options(name: str, text: str) -> dict[str, str]:
    options = dict(part.partition("=")[::2] for part in text.split("&") if part)
    for key, value in options.items():
        if key not in ("sha256", "intent"):
            raise NodeError(f"prompts {name}: unknown option {key!r}; known: sha256, intent")
        if key == "sha256" and not _HEX.fullmatch(value):
            raise NodeError(f"prompts {name}: sha256 must be 64 hex digits, got {value!r}")
        if key == "intent" and value not in INTENTS:
            raise NodeError(f"prompts {name}: intent must be harmful or benign, got {value!r}")
    return options


def read(source: Source, *, download: bool) -> list[tuple[str, dict[str, Any]]]:
    """(place, fields of a prompt) of every record, in the project's own names.

    Args:
        source: Which.
        download: Whether a file of the hub may be fetched.

    Raises:
        NotHereError: It is on the hub, not on this machine, and was not to be fetched.
        NodeError: It is missing, not the promised bytes, or not in this layout.
    """
    layout = LAYOUTS[source.layout]
    path = _path(source, download=download)
    if not os.path.isfile(path):  # noqa: PTH113 - never raises
        raise NodeError(f"{source.where}: no such file; {_how_to_get(layout)}")
    demand_file(path)
    _check_bytes(source, path)
    rows = _json_rows(path) if path.suffix == ".json" else _csv_rows(path, layout)
    return [
        (where, _fields(layout, source, where, number, row))
        for number, (where, row) in enumerate(rows, 1)
    ]


def _path(source: Source, *, download: bool) -> Path:
    if source.repo is None:
        return content.named(content.FILE, source.file) or Path(source.file)
    pattern = glob.escape(source.file)
    folder = snapshot(source.repo, source.revision, (pattern,), data=True, download=download)
    path = folder / source.file
    if not path.is_file() and not download:
        raise NotHereError(f"dataset {source.repo} is on this machine in part only")
    return path


def _how_to_get(layout: Layout) -> str:
    return (
        f"its authors publish it as {layout.origin}, "
        f"licence {layout.licence} as its authors state; check before use"
    )


def _check_bytes(source: Source, path: Path) -> None:
    if source.sha256 is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != source.sha256:
        raise NodeError(
            f"{source.where}: sha256 is {found}, not {source.sha256}; "
            f"get that version: {_how_to_get(LAYOUTS[source.layout])}"
        )


def _csv_rows(path: Path, layout: Layout) -> Iterator[tuple[str, Row]]:
    """(place, row) of every record; a record may span lines, its place is its last one."""
    text = read_text(path)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        if absent := [c for c in layout.columns if c not in (reader.fieldnames or ())]:
            there = ", ".join(reader.fieldnames or ()) or "nothing"
            raise NodeError(f"{path}:1: no column {absent[0]!r}; the first line has {there}")
        if twice := [c for c in layout.columns if (reader.fieldnames or []).count(c) > 1]:
            raise NodeError(f"{path}:1: the column {twice[0]!r} is there twice")
        for row in reader:
            where = f"{path}:{reader.line_num}"
            if None in row or None in row.values():
                raise NodeError(f"{where}: the record has more or fewer fields than columns")
            yield where, row
    except csv.Error as error:
        raise NodeError(f"{path}:{reader.reader.line_num}: not CSV ({error})") from None


def _json_rows(path: Path) -> Iterator[tuple[str, Row]]:
    rows = read_json(path)
    if not isinstance(rows, list):
        raise NodeError(f"{path}: expected a list of objects, got {type(rows).__name__}")
    for number, row in enumerate(rows, 1):
        where = f"{path}, record {number}"
        if not isinstance(row, dict):
            raise NodeError(f"{where}: expected an object, got {type(row).__name__}")
        yield where, row


def _fields(layout: Layout, source: Source, where: str, number: int, row: Row) -> dict[str, Any]:
    if absent := [c for c in layout.columns if c not in row]:
        raise NodeError(f"{where}: no {absent[0]!r}")
    intent = source.intent or layout.intent(row, Path(source.file).name)
    if intent is None:
        raise NodeError(
            f"{where}: nothing tells the intent of this prompt; "
            "add ?intent=harmful or ?intent=benign to the name"
        )
    return {
        "id": layout.identity(row, number, intent),
        "text": row[layout.text],
        "intent": intent,
        "category": row[layout.category],
    }
