"""What a contrast can be about beside probes: measurements of whole cells. Standard library only.

Each has the place of a behaviour: contrasts name it, tables have it. More is better, as with rho.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.contract.cell import Measurements
from tasks.contract.columns import columns_of

Row = Mapping[str, Any]
CAPABILITY = "evaluate.capability"
"""Field of a sweep file that names a multiple-choice set."""
OF_ITEMS, OWN_UNIT = "proportion of items", "in its own unit"
"""Units of a share of the items of such a set, and of what another tool measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A measurement: a column of `cells`, or its negative where it is a loss.

    Attributes:
        name: In contrasts and tables.
        column: A field of `Measurements`.
        base: The field with the untrained model's value; None where that is 0.
        heading: What its value is called in tables, where it counts as it is and the untrained
            model has it in a cell of its own; empty for a loss in nats per token.
        unit: Where it is another one than that of rho.
        field: Of a sweep file, without which it is not measured; None where it always is.
        about: In words, for tables and the documentation.
    """

    name: str
    column: str
    base: str | None = None
    heading: str = ""
    unit: str = ""
    field: str | None = None
    about: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns of `cells`."""
        return (self.column,) if self.base is None else (self.column, self.base)

    def of(self, row: Row, untrained: Row | None) -> tuple[float, float] | None:
        """(value, that of the untrained model) of a row of `cells`; None if one is not known.

        Args:
            row: The cell's.
            untrained: Of the untrained model that answered the same items; None without one.
        """
        if self.heading:
            both = [r[self.column] for r in (row, untrained) if r is not None]
            return None if None in both or len(both) < 2 else (both[0], both[1])
        found = [row[name] for name in self.columns]
        if None in found:
            return None
        return -found[0], -found[1] if self.base else 0.0


MEASURES = (
    Measure(
        name="text-neutral",
        column="neutral_ce",
        base="neutral_ce_base",
        about="log-probability of neutral texts that ship with the project",
    ),
    Measure(
        name="kl-neutral",
        column="neutral_kl",
        about="minus the divergence from the untrained model on these",
    ),
    Measure(
        name="text-unused",
        column="unused_ce",
        base="unused_ce_base",
        about="log-probability of texts of the SFT source that are no part of the mix",
    ),
    Measure(
        name="kl-unused",
        column="unused_kl",
        about="minus the divergence from the untrained model on these",
    ),
    Measure(
        name="capability",
        column="choice_accuracy",
        heading="accuracy",
        unit=OF_ITEMS,
        field=CAPABILITY,
        about="share of the items of the multiple-choice set of which the right choice is the "
        "likeliest",
    ),
    Measure(
        name="capability-norm",
        column="choice_accuracy_norm",
        heading="accuracy",
        unit=OF_ITEMS,
        field=CAPABILITY,
        about="the same by log-probability for each character of a choice",
    ),
)
MEASURED = {m.name: m for m in MEASURES}


def measure_of(name: str) -> Measure:
    """The measurement of a name: one of ours, or else of another tool, in the tool's own unit."""
    about = "imported from a file of another tool, in its own unit"
    other = Measure(name=name, column="value", heading="value", unit=OWN_UNIT, about=about)
    return MEASURED.get(name, other)


if unknown := {c for m in MEASURES for c in m.columns} - columns_of(Measurements).keys():
    raise TypeError(f"no column of cells: {', '.join(sorted(unknown))}")
