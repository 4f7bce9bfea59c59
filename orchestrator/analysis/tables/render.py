"""Writes a view for a terminal, as Markdown, CSV, Arrow and JSON.

Texts in a view may come from model names and files of others, so they are made harmless here.
"""

import csv as csv_module
import io
import re
from textwrap import wrap
from typing import Any

import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult  # noqa: TID251 - as types
from rich.table import Table
from rich.text import Text

from orchestrator.analysis.tables.view import Column, Shape, View
from orchestrator.visible import inert, visible

MARKUP = re.compile(r"([\\`*_\[\]|~#$@!]|(?<=www)\.|:(?=//))", re.IGNORECASE)
BEGINNING = re.compile(r"^(\s*\d*)([-+=.):])")
"""What makes a list, a rule or a heading of a line that begins with it."""
TEXT_WIDTH, NARROW_WIDTH, MIN_WIDTH, GAP, EDGES = 40, 16, 8, 3, 2
"""Characters: of words before they wrap, of names at least where a table is folded, of any column
at least, between columns, around all."""
NAMING = {"behavior", "arm", "arm_a", "arm_b", "condition", "setting"}
"""Fields that tell rows apart, wherever their column stands."""
COMPARED = {
    *("diff", "diff_ref", "diff_vs_baseline", "sd_ratio", "ratio_low", "ci_low"),
    *("p_holm", "p_adjusted", "verdict", "status"),
}
"""Fields by which people compare rows: where a table is folded, their columns come first."""


def terminal(view: View) -> "Folded":
    """A view that rich can print at any width, notes last."""
    return Folded(view)


class Folded:
    """A view split into several tables where the console is narrow.

    Each table repeats the columns that name a row. No cell is cut off. A column that says the same
    in every row stands below the title.
    """

    def __init__(self, view: View) -> None:
        self.view = view

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield title, tables and notes, one below the other."""
        view = self.view
        yield Text(visible(f"{view.key}  {view.title}".strip()), style="bold")
        columns, said = _varying(view)
        for line in said:
            yield Text(visible(line), style="dim")
        first = view.shown[0]
        naming = [i for i, c in enumerate(columns) if c is first or c.fields[0] in NAMING] or [0]
        narrow = max(NARROW_WIDTH, options.max_width // 3)
        for names, words in ((None, None), (TEXT_WIDTH, TEXT_WIDTH), (narrow, TEXT_WIDTH)):
            limits = [names if i in naming else words for i in range(len(columns))]
            heads = [_wrapped(c, view, most) for c, most in zip(columns, limits, strict=True)]
            order = sorted(range(len(columns)), key=lambda i: columns[i].fields[0] not in COMPARED)
            folds = _folds(
                [max(map(len, head)) for head in heads], naming, order, options.max_width
            )
            if len(folds) == 1:
                break
        for chosen in folds if len(folds) > 1 else [list(range(len(columns)))]:
            table = Table(box=SIMPLE_HEAD, pad_edge=False)
            for i in chosen:
                numeric = columns[i].numeric
                table.add_column(
                    Text("\n".join(line.rstrip() for line in heads[i])),
                    justify="right" if numeric else "left",
                    no_wrap=numeric,
                    overflow="fold",
                    max_width=None if numeric else limits[i],
                )
            for row in view.rows:
                table.add_row(*(Text(visible(columns[i].text(row))) for i in chosen))
            yield table
        for note in view.notes:
            yield Text(visible(note))


def _varying(view: View) -> tuple[list[Column], list[str]]:
    """The columns that tell rows apart, and as lines what the others say in every row."""
    texts = [(c, {c.text(row) for row in view.rows}) for c in view.shown]
    if len(view.rows) < 2:
        return list(view.shown), []
    varying = [c for c, found in texts if len(found) > 1] or [view.shown[0]]
    same = [(c, min(found)) for c, found in texts if c not in varying]
    told = " \N{MIDDLE DOT} ".join(f"{c.heading} {text}" for c, text in same if text)
    empty = " \N{MIDDLE DOT} ".join(c.heading for c, text in same if not text)
    lines = (told and f"in every row: {told}", empty and f"in no row: {empty}")
    return varying, [line for line in lines if line]


def _wrapped(column: Column, view: View, most: int | None) -> list[str]:
    """A heading as lines, the first padded to the width that the column needs."""
    cells = max((cell_len(visible(column.text(row))) for row in view.rows), default=0)
    need = cells if column.numeric or most is None else min(cells, most)
    heading = visible(column.heading)
    width = max([need, MIN_WIDTH, *map(len, heading.split())])
    first, *rest = wrap(heading, width) or [""]
    return [first.ljust(need), *rest]


def _folds(widths: list[int], naming: list[int], order: list[int], width: int) -> list[list[int]]:
    """Column numbers of each table: those of `naming`, and as many others as fit into `width`.

    Each table has at least one other column, even if it is wider than the console then.
    """
    start = EDGES + sum(widths[i] for i in naming) + GAP * (len(naming) - 1)
    folds, used = [list(naming)], start
    for i in order:
        need = widths[i]
        if i in naming:
            continue
        if used + GAP + need > width and len(folds[-1]) > len(naming):
            folds.append(list(naming))
            used = start
        folds[-1].append(i)
        used += GAP + need
    return folds


def markdown(view: View) -> str:
    """A heading, a pipe table and its notes."""
    heads = [_escaped(c.heading) for c in view.shown]
    rules = ["---:" if c.numeric else "---" for c in view.shown]
    # Words may be data and hostile; numbers, and what stands in their place, are ours.
    rows = [
        [
            visible(c.text(row)).replace("|", "\\|") if c.numeric else _escaped(c.text(row))
            for c in view.shown
        ]
        for row in view.rows
    ]
    lines = [f"### {view.key} {_escaped(view.name)}: {_escaped(view.title)}", ""]
    lines += [f"| {' | '.join(cells)} |" for cells in (heads, rules, *rows)]
    notes = [BEGINNING.sub(r"\1\\\2", _escaped(note)) for note in view.notes]
    lines += [line for note in notes for line in ("", note)]
    return "\n".join(lines) + "\n"


def csv(view: View) -> str:
    """Every field, numbers in full; text that a spreadsheet would run gets a leading `'`."""
    out = io.StringIO()
    writer = csv_module.writer(out, lineterminator="\n")
    writer.writerow([inert(f) for f in view.fields])
    for row in view.rows:
        values = [row.get(f) for f in view.fields]
        writer.writerow([inert(v) if isinstance(v, str) else v for v in values])
    return out.getvalue()


def arrow(view: View) -> pa.Table:
    """Every field with its type; heading and unit in the field's metadata.

    Raises:
        pyarrow.ArrowInvalid: A value is not of its column's type.
    """
    columns = _by_field(view)
    schema = pa.schema(
        [
            pa.field(name, _type(c), metadata={"unit": _unit(c), "label": c.label})
            for name, c in columns.items()
        ],
        metadata={"key": view.key, "name": view.name, "title": view.title},
    )
    data = {name: [row.get(name) for row in view.rows] for name in columns}
    return pa.table(data, schema=schema)


def as_json(view: View) -> dict[str, Any]:
    """Stable: key, name, title, fields with units, rows, notes."""
    columns = _by_field(view)
    return {
        "key": view.key,
        "name": view.name,
        "title": view.title,
        "fields": [
            {"name": name, "label": c.label, "unit": _unit(c), "type": str(_type(c))}
            for name, c in columns.items()
        ],
        "rows": [{name: row.get(name) for name in columns} for row in view.rows],
        "notes": list(view.notes),
    }


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, HTML and line breaks included."""
    plain = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return MARKUP.sub(r"\\\1", plain)


def _by_field(view: View) -> dict[str, Column]:
    """Each field with the first column that has it."""
    found: dict[str, Column] = {}
    for column in view.columns:
        for name in column.fields:
            found.setdefault(name, column)
    return found


def _type(column: Column) -> pa.DataType:
    types = {Shape.TEXT: pa.string(), Shape.INTEGER: pa.int64()}
    return types.get(column.shape, pa.float64())


def _unit(column: Column) -> str:
    return column.unit or {Shape.P: "1", Shape.PERCENT: "%"}.get(column.shape, "")
