"""A view on every surface; its data may be hostile."""

import csv as csv_module
import io
import json
import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from orchestrator.analysis.published.tables import published_tables
from orchestrator.analysis.tables.render import arrow, as_json, csv, markdown, terminal
from orchestrator.analysis.tables.view import Column, Shape, View

HOSTILE = (
    "a|b",
    "<script>alert(1)</script>",
    "`rm`",
    "[x](javascript:alert(1))",
    "[bold red]x[/]",
    "\x1b[2Jgone",
    "two\nlines",
    "\u202egnp.exe",
    "=HYPERLINK(1)",
    "@SUM(A1)",
    "+1",
    "-2+3",
    "**strong**",
)


def of(text: str, number: float | None = 1.5) -> View:
    return View(
        key="T0",
        name="odd",
        title=text,
        columns=(
            Column(label=text, fields=("text",)),
            Column(label="x", fields=("x",), shape=Shape.SIGNED, unit="nat/token"),
            Column(label="k", fields=("k",), shape=Shape.INTEGER),
            Column(label="p", fields=("p",), shape=Shape.P),
            Column(label="ci", fields=("low", "high"), shape=Shape.INTERVAL, data_only=True),
        ),
        rows=({"text": text, "x": number, "k": 3, "p": 0.01, "low": -1.0, "high": 2.0},),
        notes=(text,),
    )


def printed(view: View, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(terminal(view))
    return console.file.getvalue()


@pytest.fixture(scope="module")
def views():
    return [v for v in published_tables() if isinstance(v, View)]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_in_a_terminal(text):
    found = printed(of(text))
    assert "\x1b" not in found
    assert "\u202e" not in found
    visible = "".join(text.split())
    if text.isascii() and text.isprintable():
        assert visible in "".join(found.split())


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_in_its_cell_of_markdown(text):
    lines = markdown(of(text)).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 3
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {5}
    body = "\n".join(lines)
    assert "<script" not in body
    assert not re.search(r"(?<!\\)`", body)
    assert not re.search(r"(?<!\\)\]\(", body)
    assert "**" not in body.replace("\\*", "")


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_in_a_spreadsheet_starts_a_formula(text):
    rows = list(csv_module.reader(io.StringIO(csv(of(text)))))
    assert rows[0] == ["text", "x", "k", "p", "low", "high"]
    assert rows[1][0].lstrip("'") == text
    assert rows[1][0][0] not in "=+-@\t\r"
    assert rows[1][1:] == ["1.5", "3", "0.01", "-1.0", "2.0"]


def test_negative_numbers_stay_numbers_in_a_spreadsheet():
    assert csv(of("a", -2.5)).splitlines()[1].startswith("a,-2.5,")


def test_arrow_has_types_by_shape_and_units_in_the_metadata():
    found = arrow(of("a"))
    assert found.schema.types == [pa.string(), *_types()]
    assert found.schema.field("x").metadata[b"unit"] == b"nat/token"
    assert found.schema.field("p").metadata[b"unit"] == b"1"
    assert found.schema.metadata[b"key"] == b"T0"


def _types():
    return [pa.float64(), pa.int64(), pa.float64(), pa.float64(), pa.float64()]


def test_what_is_missing_is_null_and_empty_and_never_0():
    view = of("a", None)
    assert arrow(view)["x"].to_pylist() == [None]
    assert csv(view).splitlines()[1].startswith("a,,3")
    assert as_json(view)["rows"][0]["x"] is None
    assert "| a |  | 3 |" in markdown(view)


def test_a_value_of_another_type_is_refused_by_arrow():
    view = of("a")
    wrong = View(
        key="T0", name="odd", title="", columns=view.columns, rows=({**view.rows[0], "k": "three"},)
    )
    with pytest.raises(pa.ArrowInvalid):
        arrow(wrong)


@pytest.mark.slow
def test_all_published_tables_render_everywhere(views):
    for view in views:
        table = arrow(view)
        table.validate(full=True)
        assert table.num_rows == len(view.rows)
        assert tuple(table.column_names) == view.fields
        again = json.loads(json.dumps(as_json(view), allow_nan=False))
        assert [f["name"] for f in again["fields"]] == list(view.fields)
        assert len(list(csv_module.reader(io.StringIO(csv(view))))) == len(view.rows) + 1
        assert markdown(view).count("\n| ") == len(view.rows) + 2


@pytest.mark.slow
@pytest.mark.parametrize("width", [60, 80, 100, 140, 400])
def test_a_terminal_of_any_width_loses_no_digit(views, width):
    for view in views:
        words = set(printed(view, width).split())
        for row in view.rows:
            for column in view.shown:
                if column.numeric:
                    missing = set(column.text(row).split()) - words
                    assert not missing, (view.key, column.label, width)


def test_a_folded_table_repeats_its_first_column(views):
    found = printed(views[0], 60)
    assert found.count("contrastive-only") > 1


TEXTS = st.text(min_size=0, max_size=30)


@given(TEXTS)
@settings(max_examples=60, deadline=None)
def test_any_text_survives_arrow_csv_and_json(text):
    view = of(text if text.isprintable() or not text else text.encode("utf-8", "replace").decode())
    shown = view.rows[0]["text"]
    assert arrow(view)["text"].to_pylist() == [shown]
    assert json.loads(json.dumps(as_json(view)))["rows"][0]["text"] == shown
    printed(view)
    markdown(view)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# big", r"\# big"),
        ("- item", r"\- item"),
        ("1. one", r"1\. one"),
        ("=====", r"\====="),
        ("see http://x.org", r"see http\://x.org"),
        ("see www.x.org", r"see www\.x.org"),
        ("a@b.org", r"a\@b.org"),
        ("![p](x)", r"\!\[p\](x)"),
    ],
)
def test_a_note_makes_no_heading_list_link_or_picture_of_markdown(text, shown):
    assert markdown(of(text)).splitlines()[-1] == shown
