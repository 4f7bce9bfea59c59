"""A report as one HTML file: one script of its own, no network access, all texts escaped."""

from base64 import b64encode
from collections.abc import Collection
from functools import cache
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any, get_args

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from orchestrator.analysis.tables.render import NAMING
from orchestrator.analysis.tables.view import Column, View
from orchestrator.report.blocks import Block, Figure, Panel, Report, Table, title_of
from orchestrator.report.figures.canvas import drawn, swatch
from orchestrator.report.palette import DARK, LIGHT, variables
from orchestrator.report.text import clean
from orchestrator.stats.verdict import Verdict

_HERE = Path(__file__).parent / "page"
BADGES = {
    Verdict.SUPPORTED: ("good", "✓"),
    Verdict.SUPPORTED_SMALL: ("good", "✓"),
    Verdict.CONTRADICTED: ("bad", "✗"),
    Verdict.IDENTICAL: ("none", "="),
    Verdict.INCONCLUSIVE: ("open", "?"),
    Verdict.INTERIM: ("open", "…"),
    Verdict.NOT_TESTABLE: ("none", "\N{EN DASH}"),
    "ok": ("good", "✓"),
    "failed": ("bad", "✗"),
    "diverged": ("bad", "!"),
    "open": ("open", "○"),
}
"""Word -> (CSS class, mark); the mark is shown beside the word, never instead of it."""
WIDE = 9
"""A table with more columns than this is printed on a page in landscape format."""
LONG, WORD = 36, 80
"""A column wraps its lines where a text is longer: LONG with spaces in it, WORD without."""


def html(report: Report) -> str:
    """The report as the text of one HTML file."""
    numbers = count(1)

    def draw(panel: Panel) -> Markup:
        """The panel as SVG; its number on the page makes the ids of the drawing unique."""
        return drawn(panel, f"p{next(numbers)}")

    script = source("page.js")
    digest = b64encode(sha256(script.encode()).digest()).decode()
    return filled(
        "page.html.j2",
        report=report,
        draw=draw,
        style=Markup(style()),
        script=Markup(script),
        digest=digest,
    )


def filled(template: str, **values: Any) -> str:
    """A template with its values; all texts among them are escaped."""
    return _environment().get_template(template).render(**values).strip() + "\n"


def style() -> str:
    """The style sheet, with the colours of both schemes."""
    text = source("page.css").replace("/* light */", variables(LIGHT))
    return text.replace("/* dark */", variables(DARK))


def source(name: str) -> str:
    """A style sheet or script of the pages."""
    return (_HERE / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    """Jinja's settings: every value is escaped, and `block is table` tests the kind of a block."""
    found = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else clean(str(value)),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals |= {"badges": BADGES, "widest": WIDE, "swatch": swatch}
    found.globals |= {"column_class": column_class, "heading": heading, "arranged": arranged}
    found.tests["wide"] = lambda block: isinstance(block, Table) and len(block.view.filled) > WIDE
    found.tests["headed"] = lambda block: heading(block) != ""
    for kind in get_args(Block):
        found.tests[kind.__name__.lower()] = lambda block, kind=kind: isinstance(block, kind)
    return found


def heading(block: Block) -> str:
    """The name of a figure or table in the table of contents; empty for other blocks."""
    match block:
        case Figure(title=title):
            return title
        case Table(view=view, keyed=True):
            return title_of(view)
    return ""


def arranged(
    view: View, marked: Collection[str], *, live: bool = False
) -> list[tuple[Column, str]]:
    """The columns as a page shows them, each with its part: what names a row, verdicts, others.

    Columns that are empty in every row are left out, but not where the rows are `live`: a reader
    sorts by the place of a column, and it should not move when a first value comes.
    """
    parts: dict[str, list[Column]] = {"key": [], "marked": [], "": []}
    for place, column in enumerate(view.shown if live else view.filled):
        names = place == 0 or column.fields[0] in NAMING
        parts["key" if names else "marked" if column.fields[0] in marked else ""].append(column)
    return [(column, part) for part, columns in parts.items() for column in columns]


def column_class(column: Column, view: View) -> str:
    """CSS class of a column: `number`, `long` (its lines wrap) or `word`."""
    if column.numeric:
        return "number"
    texts = [column.text(row) for row in view.rows]
    return "long" if any(len(t) > (LONG if " " in t else WORD) for t in texts) else "word"
