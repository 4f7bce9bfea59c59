"""A finished cell as the run of a tracker: settings, curves and scores, from the tables."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.cells.facts import facts
from orchestrator.cells.settings import value_text
from orchestrator.results.store import Store, spec_of, to_rows
from tasks.contract.cell import Status
from tasks.sources.paths import real

SCORES = ("rho", "rho_completion", "accuracy")
"""Columns of `scores` that are written, each as `rho/toxicity/heldout`."""
Setting = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """One cell, as trackers have it.

    Attributes:
        cell_id: Of the cell.
        name: Its label, e.g. `rho-guided w=0.5 m=0.1 seed=42`.
        sweep: Name of the results folder; groups the runs.
        settings: What it was trained with, under the names of a sweep file, and on what it ran.
        curves: Name -> (optimizer step, value): losses of all steps, scores within the training.
        scores: Name -> value at the end of the training.
        problem: Why it has no scores; None for a scored cell.
        began_s, finished_s: Of its last attempt, seconds since 1970.
    """

    cell_id: str
    name: str
    sweep: str
    settings: Mapping[str, Setting]
    curves: Mapping[str, list[tuple[int, float]]]
    scores: Mapping[str, float]
    problem: str | None
    began_s: float
    finished_s: float

    @property
    def last_step(self) -> int:
        """Of the training; 0 where nothing was trained."""
        return max((step for curve in self.curves.values() for step, _ in curve), default=0)


def tracked(store: Store, cell: str, name: str) -> Tracked:
    """The run of a cell that has ended, from its tables; what is null is left out."""
    (row,) = to_rows(store.read_cell("cells", cell))
    curves: dict[str, list[tuple[int, float]]] = defaultdict(list)
    scores: dict[str, float] = {}
    if row["status"] != str(Status.FAILED):
        for step in to_rows(store.read_cell("steps", cell)):
            for column, value in step.items():
                parts = value if isinstance(value, dict) else {"": value}
                for part, number in parts.items():
                    if column != "step" and isinstance(number, int | float):
                        curves[f"{column}/{part}".rstrip("/")].append((step["step"], number))
        for found in to_rows(store.read_cell("scores", cell)):
            for column in (c for c in SCORES if found[c] is not None):
                place = f"{column}/{found['behavior']}/{found['split']}"
                if found["step"] is None:
                    scores[place] = found[column]
                else:
                    curves[place].append((found["step"], found[column]))
    ran = {k: row[k] for k in ("host", "chip", "backend", "mlx", "mlx_lm", "wall_s", "attempts")}
    settings = facts(spec_of(row)) | {"seed": row["seed"], "status": row["status"]} | ran
    return Tracked(
        cell_id=cell,
        name=name,
        sweep=real(store.folder).name,
        settings={
            k: v if isinstance(v, str | int | float | bool) else value_text(v)
            for k, v in settings.items()
            if v is not None
        },
        curves=dict(curves),
        scores=scores,
        problem=None if row["status"] == str(Status.OK) else row["message"] or row["status"],
        began_s=row["finished_at"].timestamp() - (row["wall_s"] or 0.0),
        finished_s=row["finished_at"].timestamp(),
    )
