"""A table as data, and its cells as text: what terminal, CSV, Markdown and HTML have in common."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import exp
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
        instead: Key of a row's own words, shown in place of the value where a row has them: an
            arm's label, or why there is no number.
        of_notes: Whether the published notes have this column.
        data_only: In files and JSON, but not on screen: what a shown column says already.
    """

    label: str
    fields: tuple[str, ...]
    shape: Shape = Shape.TEXT
    unit: str = ""
    digits: int = 3
    instead: str = ""
    of_notes: bool = False
    data_only: bool = False

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
        if self.instead and row.get(self.instead):
            return str(row[self.instead])
        values = [row.get(name) for name in self.fields]
        first = values[0]
        if first is None:
            return ""
        if self.shape is Shape.INTERVAL:
            low, high = (_number(v, self.digits) for v in values if v is not None)
            return f"[{low}, {high}]"
        if self.shape is Shape.PLUS_MINUS:
            mean = _number(first, self.digits)
            return mean if values[1] is None else f"{mean} ± {values[1]:.{self.digits}f}"
        return _TEXTS[self.shape](first, self.digits)


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

    @property
    def shown(self) -> tuple[Column, ...]:
        """Columns for people; the split of a row stands with its names where rows have several."""
        found = [c for c in self.columns if not c.data_only]
        split = [c for c in found if c.fields == ("split",)]
        if split and len({row["split"] for row in self.rows}) > 1:
            others = [c for c in found if c not in split]
            names = next((n for n, c in enumerate(others) if c.numeric), len(others))
            found = [*others[:names], *split, *others[names:]]
        return tuple(found)

    @property
    def filled(self) -> tuple[Column, ...]:
        """Columns for people that have a text in some row; all of them where none has."""
        return tuple(c for c in self.shown if any(map(c.text, self.rows))) or self.shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A table that these results do not fill.

    Attributes:
        key, name: As of the `View` that it would be.
        reason: Why, e.g. `one margin only`.
    """

    key: str
    name: str
    reason: str


def level_text(level: float) -> str:
    """Of an interval, e.g. `95%`."""
    return f"{100 * level:.4g}%"


def p_text(p: float) -> str:
    """A p-value: three decimals, more where it is small."""
    if p < 1e-4:
        return "<0.0001"
    return f"{p:.4f}" if p < 0.01 else f"{p:.3f}"


def estimate_text(value: float, *, ratio: bool) -> str:
    """An estimate or a bound: a log ratio as the ratio, else signed, with three decimals or more.

    More where three would all be 0.
    """
    if ratio:
        return f"{exp(value):.2f}"
    digits = 3
    while value and digits < 9 and not round(value, digits):
        digits += 1
    return _number(value, digits)


def _number(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}"


_TEXTS: dict[Shape, Callable[[Any, int], str]] = {
    Shape.TEXT: lambda value, _: str(value),
    Shape.INTEGER: lambda value, _: f"{value:d}",
    Shape.SIGNED: _number,
    Shape.PLAIN: lambda value, digits: f"{value:.{digits}f}",
    Shape.SHORT: lambda value, _: f"{value:g}",
    Shape.P: lambda value, _: p_text(value),
    Shape.PERCENT: lambda value, digits: f"{value:.{digits}f}%",
}
