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
    for index, key in enumerate(sorted(set(keys), key=_order)):
        rank = ranks[key[0]] = ranks.get(key[0], -1) + 1
        found[key] = Look(
            colour=colour_of(key[0]),
            marker=MARKERS[index % len(MARKERS)],
            dash=DASHES[rank % len(DASHES)],
        )
    return found


def _order(key: SeriesKey) -> tuple[int, bool, float, str]:
    condition, held, differs = key
    return list(Condition).index(Condition(condition)), held is not None, held or 0.0, differs
