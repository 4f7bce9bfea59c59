"""One's own tables with the notes' numbers beside: `--against published`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from orchestrator.analysis.published.figures import figures
from orchestrator.analysis.published.tables import printed_rows, subject
from orchestrator.analysis.tables.view import Column, Missing, Row, View

PREFIX = "notes_"
ABOUT = {"condition", "rho_weight", "margin", "behavior", "comparison", "category", "setting", "n"}
"""Fields that say what a row is about."""


def against(
    views: Sequence[View | Missing], published: Sequence[View | Missing]
) -> tuple[View | Missing, ...]:
    """The views, with a column `notes_<field>` for each field that the notes have.

    A row is matched by condition, weight, margin and behaviour; where the notes have none, the
    column is empty.
    """
    printed = printed_rows(published)
    notes = {v.name: v for v in published if isinstance(v, View)}
    return tuple(
        _beside(v, notes[v.name], printed[v.name])
        if isinstance(v, View) and v.name in notes and subject(v.name, {})
        else v
        for v in views
    )


def _beside(view: View, notes: View, printed: dict[tuple[Any, ...], Row]) -> View:
    columns = _columns(view, notes)
    if not columns:
        return view
    found = [printed.get(subject(view.name, row)) for row in view.rows]
    rows = [
        {**row, **(_copied(columns, other) if other else {})}
        for row, other in zip(view.rows, found, strict=True)
    ]
    hits = sum(other is not None for other in found)
    note = (
        f"Notes: {hits} of {len(rows)} rows have a counterpart; the notes scored "
        f"{figures()['T4_ablation_means']['model']} on pairs that it was trained on."
    )
    return replace(
        view,
        columns=(*view.columns, *columns),
        rows=tuple(rows),
        notes=(*view.notes, note),
    )


def _columns(view: View, notes: View) -> list[Column]:
    """The notes' own columns under new names; where some are copies of print, those alone."""
    own = [c for c in notes.columns if c.of_notes and not ABOUT & set(c.fields)]
    printed = [c for c in own if c.fields[0].startswith(PREFIX)]
    present = set(view.fields)
    renamed = [
        replace(
            column,
            label=f"notes: {column.label.removesuffix(' as printed')}",
            fields=tuple(_noted(f) for f in column.fields),
            instead=_noted(column.instead) if column.instead else "",
        )
        for column in printed or own
    ]
    return [c for c in renamed if not present & set(c.fields)]


def _noted(field: str) -> str:
    return field if field.startswith(PREFIX) else PREFIX + field


def _copied(columns: Sequence[Column], row: Row) -> dict[str, Any]:
    names = [n for c in columns for n in (*c.fields, c.instead) if n]
    return {n: row.get(n, row.get(n.removeprefix(PREFIX))) for n in names}
