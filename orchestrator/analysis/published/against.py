"""One's own tables with the notes' numbers beside: `--against published`."""

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.analysis.published.figures import figures
from orchestrator.analysis.published.tables import printed_rows, subject
from orchestrator.analysis.tables.view import Column, Missing, View

PREFIX = "notes_"
ABOUT = {"condition", "rho_weight", "margin", "behavior", "comparison", "category", "setting", "n"}
"""Fields that say what a row is about."""


def against(
    views: Sequence[View | Missing], published: Sequence[View | Missing]
) -> tuple[View | Missing, ...]:
    """The views, with a column `notes_<field>` for each field that the notes have.

    A row is matched by condition, weight, margin and behaviour. Where the notes have no such row,
    the column is empty.
    """
    printed = printed_rows(published)
    notes = {v.name: v for v in published if isinstance(v, View)}
    scored_model = figures()["T4_ablation_means"]["model"]
    found: list[View | Missing] = []
    for view in views:
        columns: list[Column] = []
        # Rows of a table without a subject, such as the plan, cannot be matched.
        if isinstance(view, View) and view.name in notes and subject(view.name, {}):
            columns = _columns(view, notes[view.name])
        if not columns or isinstance(view, Missing):
            found.append(view)
            continue
        fields = [n for c in columns for n in (*c.fields, c.instead) if n]
        others = [printed[view.name].get(subject(view.name, row)) for row in view.rows]
        rows = [
            {**row, **{n: other.get(n, other.get(n.removeprefix(PREFIX))) for n in fields}}
            if other
            else row
            for row, other in zip(view.rows, others, strict=True)
        ]
        hits = sum(other is not None for other in others)
        note = (
            f"Notes: {hits} of {len(rows)} rows have a counterpart; the notes scored "
            f"{scored_model} on pairs that it was trained on."
        )
        found.append(
            replace(
                view,
                columns=(*view.columns, *columns),
                rows=tuple(rows),
                notes=(*view.notes, note),
            )
        )
    return tuple(found)


def _columns(view: View, notes: View) -> list[Column]:
    """The notes' columns that the view lacks, with `notes_` before the names of their fields.

    Where the notes' table has columns of printed values (`notes_...`) beside computed ones, only
    those of printed values.
    """
    own = [c for c in notes.columns if c.of_notes and not ABOUT & set(c.fields)]
    printed = [c for c in own if c.fields[0].startswith(PREFIX)]
    present = set(view.fields)
    renamed = [
        replace(
            column,
            label=f"notes: {column.label.removesuffix(' as printed')}",
            fields=tuple(PREFIX + f.removeprefix(PREFIX) for f in column.fields),
            instead=PREFIX + column.instead.removeprefix(PREFIX) if column.instead else "",
        )
        for column in printed or own
    ]
    return [c for c in renamed if not present & set(c.fields)]
