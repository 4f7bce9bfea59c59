"""A view for a terminal, Markdown, a spreadsheet, Arrow and JSON. Data may be hostile."""

import csv as csv_module
import io
import re
import unicodedata
from typing import Any, Literal

import pyarrow as pa
from rich.table import Table
from rich.text import Text

from orchestrator.analysis.view import Column, Shape, View

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the start of a formula, or strips to get at one."""
MARKUP = re.compile(r"([\\`*_{}\[\]()#!|~])")
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Unicode categories that move the cursor, turn the direction of text or cannot be encoded."""


def terminal(view: View) -> Table:
    """For rich; notes are the caption."""
    table = Table(
        title=Text(visible(f"{view.key}  {view.title}")),
        caption=Text(visible(" ".join(view.notes))) if view.notes else None,
        title_justify="left",
        caption_justify="left",
    )
    for column in view.shown:
        justify: Literal["left", "right"] = "right" if column.numeric else "left"
        table.add_column(Text(visible(column.heading)), justify=justify)
    for row in view.rows:
        table.add_row(*(Text(visible(c.text(row))) for c in view.shown))
    return table


def markdown(view: View) -> str:
    """A heading, a pipe table and its notes."""
    heads = [_escaped(c.heading) for c in view.shown]
    rules = ["---:" if c.numeric else "---" for c in view.shown]
    rows = [[_escaped(c.text(row)) for c in view.shown] for row in view.rows]
    lines = [f"### {view.key} {_escaped(view.name)}: {_escaped(view.title)}", ""]
    lines += [f"| {' | '.join(cells)} |" for cells in (heads, rules, *rows)]
    lines += [line for note in view.notes for line in ("", _escaped(note))]
    return "\n".join(lines) + "\n"


def csv(view: View) -> str:
    """Every field, numbers in full; text that a spreadsheet would run gets a leading `'`."""
    out = io.StringIO()
    writer = csv_module.writer(out, lineterminator="\n")
    writer.writerow([_inert(f) for f in view.fields])
    for row in view.rows:
        values = [row.get(f) for f in view.fields]
        writer.writerow([_inert(v) if isinstance(v, str) else v for v in values])
    return out.getvalue()


def arrow(view: View) -> pa.Table:
    """Every field with its type; heading and unit in the field's metadata.

    Raises:
        pyarrow.ArrowInvalid: A value is not of its column's type.
    """
    columns = _by_field(view)
    schema = pa.schema(
        [_arrow_field(name, column) for name, column in columns.items()],
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


def visible(text: str) -> str:
    """Text that cannot move a cursor: control and direction characters are shown by number."""
    return "".join(_shown(c) for c in text)


def _shown(character: str) -> str:
    if unicodedata.category(character) in HIDDEN:
        return " " if character in "\n\t" else f"\\u{ord(character):04x}"
    return character


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, HTML and line breaks included."""
    plain = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return MARKUP.sub(r"\\\1", plain)


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def _by_field(view: View) -> dict[str, Column]:
    """Each field with the first column that has it."""
    found: dict[str, Column] = {}
    for column in view.columns:
        for name in column.fields:
            found.setdefault(name, column)
    return found


def _arrow_field(name: str, column: Column) -> pa.Field:
    metadata = {"unit": _unit(column), "label": column.label}
    return pa.field(name, _type(column), metadata=metadata)


def _type(column: Column) -> pa.DataType:
    types = {Shape.TEXT: pa.string(), Shape.INTEGER: pa.int64()}
    return types.get(column.shape, pa.float64())


def _unit(column: Column) -> str:
    return column.unit or {Shape.P: "1", Shape.PERCENT: "%"}.get(column.shape, "")
