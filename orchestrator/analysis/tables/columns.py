"""Makes columns: one function for each kind of value."""

from dataclasses import replace

from orchestrator.analysis.tables.view import Column, Shape

NAT = "nat/token"
RHO = "\N{GREEK SMALL LETTER RHO}"
SIGMA = "\N{GREEK SMALL LETTER SIGMA}"


def words(label: str, field: str, *, instead: str = "") -> Column:
    """Text."""
    return Column(label=label, fields=(field,), instead=instead)


def count(label: str, field: str, unit: str = "", *, instead: str = "") -> Column:
    """Whole numbers."""
    return Column(label=label, fields=(field,), shape=Shape.INTEGER, unit=unit, instead=instead)


def signed(label: str, field: str, unit: str = "", *, digits: int = 3, instead: str = "") -> Column:
    """Numbers whose sign matters."""
    shape = Shape.SIGNED
    return Column(
        label=label, fields=(field,), shape=shape, unit=unit, digits=digits, instead=instead
    )


def plain(label: str, field: str, unit: str = "", *, digits: int = 3, instead: str = "") -> Column:
    """Numbers that are never negative, or whose sign is rare."""
    shape = Shape.PLAIN
    return Column(
        label=label, fields=(field,), shape=shape, unit=unit, digits=digits, instead=instead
    )


def short(label: str, field: str, unit: str = "") -> Column:
    """Settings, as short as they were given."""
    return Column(label=label, fields=(field,), shape=Shape.SHORT, unit=unit)


def p_value(label: str, field: str, *, instead: str = "") -> Column:
    """P-values."""
    return Column(label=label, fields=(field,), shape=Shape.P, instead=instead)


def percent(label: str, field: str, *, instead: str = "") -> Column:
    """Percentages; each cell has the % sign, so that the heading has no unit."""
    return Column(label=label, fields=(field,), shape=Shape.PERCENT, digits=0, instead=instead)


def interval(
    label: str, low: str, high: str, unit: str = "", *, digits: int = 3, instead: str = ""
) -> Column:
    """From low to high."""
    shape = Shape.INTERVAL
    return Column(
        label=label, fields=(low, high), shape=shape, unit=unit, digits=digits, instead=instead
    )


def plus_minus(label: str, mean: str, sd: str, unit: str = "") -> Column:
    """A mean and its sd over seeds."""
    return Column(label=label, fields=(mean, sd), shape=Shape.PLUS_MINUS, unit=unit)


def of_notes(*columns: Column) -> tuple[Column, ...]:
    """Columns that the published notes have as well."""
    return tuple(replace(c, of_notes=True) for c in columns)


def data(*columns: Column) -> tuple[Column, ...]:
    """Columns of files and JSON that are not shown on screen."""
    return tuple(replace(c, data_only=True) for c in columns)
