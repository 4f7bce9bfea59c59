"""A table as data, and its cells as text: what terminal, CSV, Markdown and HTML have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Row = Mapping[str, Any]


class Shape(StrEnum):
    """How a cell is written."""

    TEXT = "text"
    INTEGER = "integer"
    SIGNED = "signed"
    PLAIN = "plain"
    SHORT = "short"
    P = "p"
    PERCENT = "percent"
    INTERVAL = "interval"
    PLUS_MINUS = "plus_minus"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column as people see it.

    Attributes:
        label: Its heading, without the unit.
        fields: Keys of a row: one, or two for `interval` (low, high) and `plus_minus` (mean, sd).
        shape: How a cell is written.
        unit: e.g. `nat/token`; empty for none.
        digits: After the point, for numbers.
    """

    label: str
    fields: tuple[str, ...]
    shape: Shape = Shape.TEXT
    unit: str = ""
    digits: int = 3

    @property
    def heading(self) -> str:
        """Label and unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def numeric(self) -> bool:
        """Whether it is set to the right."""
        return self.shape is not Shape.TEXT

    def text(self, row: Row) -> str:
        """A row's cell; empty where there is nothing."""
        values = [row.get(name) for name in self.fields]
        if values[0] is None:
            return ""
        if self.shape is Shape.INTERVAL:
            return f"[{_number(values[0], self.digits)}, {_number(values[1], self.digits)}]"
        if self.shape is Shape.PLUS_MINUS:
            mean = _number(values[0], self.digits)
            return mean if values[1] is None else f"{mean} ± {values[1]:.{self.digits}f}"
        return _TEXTS[self.shape](values[0], self.digits)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A table.

    Attributes:
        key: e.g. `T5`.
        name: e.g. `effects`; names its files.
        title: One line with what is shown, split and n.
        columns: In order.
        rows: One mapping a row; every field of every column, and perhaps more.
        notes: Sentences below the table, each about what a row shows.
    """

    key: str
    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """Keys of all columns, in order, each once."""
        return tuple(dict.fromkeys(f for c in self.columns for f in c.fields))


def p_text(p: float) -> str:
    """A p-value: three decimals, more where it is small."""
    if p < 1e-4:
        return "<0.0001"
    return f"{p:.4f}" if p < 0.01 else f"{p:.3f}"


def _number(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}"


_TEXTS = {
    Shape.TEXT: lambda value, _: str(value),
    Shape.INTEGER: lambda value, _: f"{value:d}",
    Shape.SIGNED: _number,
    Shape.PLAIN: lambda value, digits: f"{value:.{digits}f}",
    Shape.SHORT: lambda value, _: f"{value:g}",
    Shape.P: lambda value, _: p_text(value),
    Shape.PERCENT: lambda value, digits: f"{value:.{digits}f}%",
}
