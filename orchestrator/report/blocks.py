"""A report as a tree of blocks: what HTML and Markdown have in common."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from orchestrator.analysis.tables.view import View
from orchestrator.report.looks import Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A paragraph; `lead` is set in front of it, strong."""

    text: str
    lead: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Names and their texts."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A view, shown.

    Attributes:
        view: At most as many rows as a report shows.
        badges: Fields whose cells are words with a mark beside them, e.g. `verdict`.
        keyed: Whether the key belongs to the title, e.g. `T5`.
    """

    view: View
    badges: frozenset[str] = frozenset({"verdict", "status"})
    keyed: bool = True


def title_of(view: View) -> str:
    """e.g. `T5 effects`; a second table of one key differs by its name."""
    return f"{view.key.partition(' ')[0]} {view.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A contrast: the sentence it was written down for, and what came out, one row a behaviour.

    Attributes:
        sentence: The claim, as it was written down.
        asked: What was compared, and how.
        table: Verdict, estimate, interval, p and n of each behaviour.
    """

    sentence: str
    asked: str
    table: View


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One drawing.

    Attributes:
        title: Its heading.
        description: What it shows, in numbers.
        height: With a width of 360.
        draw: Draws it on empty axes.
    """

    title: str
    description: str
    height: int
    draw: "Callable[[Axes], None]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Panels that belong together.

    Attributes:
        title: What is shown, with split and unit.
        caption: How to read it.
        panels: In order.
        legend: Label and look of each series; empty where the axes say it all.
        numbers: The figure as a table.
    """

    title: str
    caption: str
    panels: tuple[Panel, ...]
    legend: tuple[tuple[str, Look], ...] = ()
    numbers: View


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A figure or table that is not shown, and why."""

    title: str
    reason: str


Block: TypeAlias = Note | Facts | Table | Claim | Figure | Gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and what is below it; `parts` are headings one level down."""

    title: str
    blocks: tuple[Block, ...] = ()
    parts: "tuple[Section, ...]" = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole report.

    Attributes:
        title: Name of the sweep.
        description: One line, may be empty.
        summary: A few facts that stand on top.
        sections: In order.
        made: When, and by what.
    """

    title: str
    description: str
    summary: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    made: str
