"""The records a report is built from, before it becomes HTML or Markdown."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from orchestrator.analysis.tables.view import View
from orchestrator.report.looks import Look
from orchestrator.stress.side_by_side import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A paragraph; `lead` is printed in bold before it."""

    text: str
    lead: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A list of (name, text) pairs, such as `Chip` and `M4 Max`."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table to show.

    Attributes:
        view: Its columns and rows, already cut to the number of rows a report shows.
        badges: Fields whose words get a mark beside them, e.g. `verdict`.
        keyed: Whether the heading begins with the key of the view, e.g. `T5`.
        log: Field with the id of a cell, to whose log the first column leads on a live page.
        stacked: Whether a narrow screen shows each row as a list of its values.
        split: Pairs that it is about, if the page has it for others, too: a switch chooses.
    """

    view: View
    badges: frozenset[str] = frozenset({"verdict", "status"})
    keyed: bool = True
    log: str = ""
    stacked: bool = False
    split: str = ""


def title_of(view: View) -> str:
    """Heading of a table, e.g. `T5 effects`; two tables with one key differ in their names."""
    return f"{view.key.partition(' ')[0]} {view.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A contrast: the sentence it tests, and its result on each behaviour.

    Attributes:
        sentence: The claim, as the sweep file states it.
        asked: Which arms were compared, and with which test.
        table: One row a behaviour: verdict, estimate, interval, p and n.
    """

    sentence: str
    asked: str
    table: View


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One drawing of a figure.

    Attributes:
        title: Its heading.
        description: Its numbers as text, for readers who do not see the drawing.
        height: In pixels, at a width of `figures.canvas.WIDTH`.
        draw: Draws the panel on the empty axes it is given.
    """

    title: str
    description: str
    height: int
    draw: "Callable[[Axes], None]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Panels under one heading.

    Attributes:
        title: What is drawn, with split and unit.
        caption: How to read it.
        panels: In the order in which they are shown.
        legend: Label and look of each series; empty where the axes name everything.
        numbers: The numbers of the figure as a table; Markdown shows it instead of the drawing.
        split: As of a table.
    """

    title: str
    caption: str
    panels: tuple[Panel, ...]
    legend: tuple[tuple[str, Look], ...] = ()
    numbers: View
    split: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Prompts with their answers, which the page can search."""

    items: tuple[Asked, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A figure or table that is not shown, and the reason."""

    title: str
    reason: str


Block: TypeAlias = Note | Facts | Table | Claim | Figure | Answers | Gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and the blocks below it; `parts` are subsections."""

    title: str
    blocks: tuple[Block, ...] = ()
    parts: "tuple[Section, ...]" = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole report.

    Attributes:
        title: Name of the sweep.
        description: One line from the sweep file; may be empty.
        summary: A few (name, text) pairs for the top of the report.
        sections: In the order in which they are shown.
        made: A sentence with the time and the version of rho-sweep.
    """

    title: str
    description: str
    summary: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    made: str
