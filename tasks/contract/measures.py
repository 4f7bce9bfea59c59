"""What a contrast can be about beside probes: measurements of whole cells. Standard library only.

Each has the place of a behaviour: contrasts name it, tables have it. More is better, as with rho.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.contract.cell import Measurements
from tasks.contract.columns import columns_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A measurement, as the negative of a column of `cells`: of a loss, less is better.

    Attributes:
        name: In contrasts and tables.
        column: A field of `Measurements`, nats per token.
        base: The field with the untrained model's value; None where that is 0.
        about: In words, for tables and the documentation.
    """

    name: str
    column: str
    base: str | None = None
    about: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns of `cells`."""
        return (self.column,) if self.base is None else (self.column, self.base)

    def of(self, row: Mapping[str, Any]) -> tuple[float, float] | None:
        """(value, that of the untrained model) in a row of `cells`; None if one is not known."""
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
)
MEASURED = frozenset(m.name for m in MEASURES)
if unknown := {c for m in MEASURES for c in m.columns} - columns_of(Measurements).keys():
    raise TypeError(f"no column of cells: {', '.join(sorted(unknown))}")
