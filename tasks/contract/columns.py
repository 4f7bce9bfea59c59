"""What a field of a record is as a column of a table. Standard library only.

A field says so in its type: `rho: Annotated[float | None, Column(unit="nat/token")]`. The tables'
schema (`orchestrator/results/schema.py`) and docs/tables.md take type, unit and order from there.
"""

from dataclasses import dataclass, fields
from functools import cache
from typing import Any, get_type_hints


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column beside the type of its field.

    Attributes:
        unit: e.g. `nat/token`, `1` for a share; empty for texts and names.
        required: Whether every row has a value. False also for what only an attempt that failed
            lacks.
        name: In the table; None is the field's own.
    """

    unit: str = ""
    required: bool = False
    name: str | None = None


@cache
def columns_of(record: type) -> dict[str, tuple[Any, Column]]:
    """Name of each field in order -> its type and its column.

    Raises:
        TypeError: A field does not say what column it is.
    """
    hints = get_type_hints(record, include_extras=True)
    found: dict[str, tuple[Any, Column]] = {}
    for field in fields(record):
        hint = hints[field.name]
        marks = [m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Column)]
        if len(marks) != 1:
            raise TypeError(
                f"{record.__name__}.{field.name} has no column; annotate it with one Column(...)"
            )
        found[field.name] = (hint.__origin__, marks[0])
    return found


def as_row(record: Any) -> dict[str, Any]:
    """A record's values by the names of their columns."""
    kind: type = type(record)
    declared = columns_of(kind)
    return {column.name or name: getattr(record, name) for name, (_, column) in declared.items()}
