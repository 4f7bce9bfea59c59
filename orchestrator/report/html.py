"""A report as one HTML file: no script, no network, every foreign text escaped."""

from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, get_args

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from orchestrator.analysis.tables.view import Column, View
from orchestrator.report.blocks import Block, Figure, Panel, Report, Table, title_of
from orchestrator.report.figures.canvas import drawn, swatch
from orchestrator.report.palette import DARK, LIGHT, variables
from orchestrator.report.text import clean

_HERE = Path(__file__).parent
BADGES = {
    "supported": ("good", "✓"),
    "contradicted": ("bad", "✗"),
    "inconclusive": ("open", "?"),
    "not_testable": ("none", "\N{EN DASH}"),
    "ok": ("good", "✓"),
    "failed": ("bad", "✗"),
    "diverged": ("bad", "!"),
    "open": ("open", "○"),
}
"""Word -> style and mark; the word itself always stands beside the mark."""
WIDE = 9
"""A table with more columns is printed across the page."""
LONG = 36
WORD = 80
"""Characters from which on a text is wrapped: one with spaces, and one without."""


def html(report: Report) -> str:
    """The whole file."""
    places = count(1)

    def draw(panel: Panel) -> Markup:
        """Ids of a drawing begin with its place on the page."""
        return drawn(panel, f"p{next(places)}")

    page = _environment().get_template("page.html.j2")
    return page.render(report=report, draw=draw, style=_style()).strip() + "\n"


@cache
def _environment() -> Environment:
    """Escapes whatever is put into a template, and knows the kinds of blocks."""
    found = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_showable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals |= {"badges": BADGES, "widest": WIDE, "swatch": swatch}
    found.globals |= {"column_class": column_class, "heading": heading}
    found.tests["wide"] = lambda block: isinstance(block, Table) and len(block.view.shown) > WIDE
    found.tests["headed"] = lambda block: heading(block) != ""
    found.tests |= {kind.__name__.lower(): _is_a(kind) for kind in get_args(Block)}
    return found


def _showable(value: Any) -> Any:
    return value if isinstance(value, Markup) else clean(str(value))


def _is_a(kind: type) -> Any:
    return lambda block: isinstance(block, kind)


def _style() -> Markup:
    """The style sheet, with the palette in it."""
    text = (_HERE / "page.css").read_text(encoding="utf-8")
    light, dark = variables(LIGHT), variables(DARK)
    return Markup(text.replace("/* light */", light).replace("/* dark */", dark))


def heading(block: Block) -> str:
    """What the table of contents names it by; empty for what it leaves out."""
    match block:
        case Figure(title=title):
            return title
        case Table(view=view, keyed=True):
            return title_of(view)
    return ""


def column_class(column: Column, view: View) -> str:
    """How a column is set."""
    if column.numeric:
        return "number"
    texts = [column.text(row) for row in view.rows]
    return "long" if any(len(t) > (LONG if " " in t else WORD) for t in texts) else "word"
