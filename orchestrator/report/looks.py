"""Colour, marker and line of every series: one look a series, the same wherever it is drawn."""

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.report.palette import OTHER
from tasks.contract.conditions import Condition

MARKERS = ("s", "o", "^", "D", "v", "P", "X", "p", "<", ">")
DASHES = ("-", "--", "-.", ":")
SeriesKey = tuple[str, float | None, str]
"""Condition, the setting that a series holds fixed (margin or weight), further settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a series is drawn.

    Attributes:
        colour: Name of a colour of the palette.
        marker, dash: As matplotlib names them.
    """

    colour: str
    marker: str = "o"
    dash: str = "-"


def colour_of(condition: str) -> str:
    """The colour of a condition in all figures; `OTHER` where it declares none, or is unknown."""
    declared = {str(c): c.traits.colour for c in Condition}
    return declared.get(condition) or OTHER


def looks_of(keys: Iterable[SeriesKey]) -> dict[SeriesKey, Look]:
    """Series -> look: the colour of its condition, a marker and dash of its own; in order."""
    ranks: dict[str, int] = {}
    found: dict[SeriesKey, Look] = {}
    order = list(Condition)
    ordered = sorted(
        set(keys),  # conditions in their order; a series that holds no setting comes first
        key=lambda k: (order.index(Condition(k[0])), k[1] is not None, k[1] or 0.0, k[2]),
    )
    for index, key in enumerate(ordered):
        rank = ranks[key[0]] = ranks.get(key[0], -1) + 1
        found[key] = Look(
            colour=colour_of(key[0]),
            marker=MARKERS[index % len(MARKERS)],
            dash=DASHES[rank % len(DASHES)],
        )
    return found
