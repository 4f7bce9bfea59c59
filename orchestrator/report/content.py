"""Everything a report shows, as data: no format, no drawing."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.inference.record import Inference
from orchestrator.analysis.tables.view import View
from orchestrator.report.facts import facts_of
from orchestrator.results.manifest import load_manifest
from orchestrator.results.store import Store, read_file
from tasks.contract.cell import Condition

OPEN = "open"
"""Status of a cell that has no result yet."""
MAX_CURVE_ARMS = 12
MAX_CURVE_SEEDS = 12
_LEADING = tuple(str(c) for c in Condition)

Missing = tuple[str, str, str]
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellLine:
    """One cell of the sweep.

    Attributes:
        cell_id, label: As in the manifest; a cell of an earlier launch has a label made anew.
        arm_id: None while nothing but the label is known.
        condition, rho_weight, margin, seed: None where unknown or where they do not exist.
        status: `ok`, `diverged`, `failed` or `open`.
        message: Why it has no scores.
        host, chip: Where it ended.
        wall_s: Seconds of its last attempt.
        attempts: Made at it.
        named: Whether the manifest names it; if not, it is of an earlier launch.
    """

    cell_id: str
    label: str
    arm_id: str | None = None
    condition: str | None
    rho_weight: float | None
    margin: float | None
    seed: int | None
    status: str
    message: str | None
    host: str | None
    chip: str | None
    wall_s: float | None
    attempts: int | None
    named: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepCurve:
    """One training, step by step; all arrays (steps,), NaN where nothing was measured.

    Attributes:
        arm: Label of the arm.
        condition, rho_weight, margin, seed: Which cell.
        step: Optimizer step, from 1.
        ce_loss, hinge_loss: Nats per token.
        hinge_active: Share of pairs whose hinge was not silent.
    """

    arm: str
    condition: str
    rho_weight: float | None
    margin: float | None
    seed: int | None
    step: Array
    ce_loss: Array
    hinge_loss: Array
    hinge_active: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """What a report is made of.

    Attributes:
        name, description: Of the sweep.
        manifest: As `load_manifest` gives it.
        facts: Name and text of what the cells say of their machines, versions and times.
        evidence, inference, views: What the analysis found; views are tables in order.
        missing: Key, name and reason of each table that is not shown.
        cells: Every cell of the manifest, and those of earlier launches.
        steps: Trainings to draw; `steps_left_out` counts those beyond the limits.
        generations: Tables of a generation test; empty before one.
        split: The split that claims are about.
        now: When the report was made.
    """

    name: str
    description: str
    manifest: Mapping[str, Any]
    facts: tuple[tuple[str, str], ...] = ()
    evidence: tuple[ArmEvidence, ...]
    inference: tuple[Inference, ...]
    views: tuple[View, ...]
    missing: tuple[Missing, ...]
    cells: tuple[CellLine, ...]
    steps: tuple[StepCurve, ...]
    steps_left_out: int = 0
    generations: tuple[View, ...] = field(default=())
    split: str
    now: str


def from_store(
    store: Store,
    evidence: Sequence[ArmEvidence],
    inference: Sequence[Inference],
    views: Sequence[View],
    missing: Sequence[Missing],
    *,
    generations: Sequence[View] = (),
    split: str | None = None,
    now: datetime | None = None,
) -> ReportContent:
    """The rest from the tables of one results folder.

    Args:
        store: The results.
        evidence: Arms, by behaviour and split.
        inference: Tested contrasts.
        views: Tables, in the order in which they are shown.
        missing: Key, name and reason of each table that cannot be shown.
        generations: Tables of a generation test.
        split: That claims are about; None is `heldout` where the evidence has it, else `train`.
        now: When the report is made; None is now.

    Raises:
        UserError: There is no manifest, or a table is corrupted.
    """
    manifest = load_manifest(store.folder)
    rows = {r["cell_id"]: r for r in store.rows("cells")}
    cells = _cells(manifest["cells"], rows)
    chosen, left_out = _drawn(cells, {e.arm_id: e.label for e in evidence})
    return ReportContent(
        name=str(manifest.get("name", store.folder.name)),
        description=str(manifest.get("description") or ""),
        manifest=manifest,
        facts=facts_of(list(rows.values()), store.rows("attempts")),
        evidence=tuple(evidence),
        inference=tuple(inference),
        views=tuple(views),
        missing=tuple(missing),
        cells=cells,
        steps=tuple(_curve(store, cell, arm) for arm, cell in chosen),
        steps_left_out=left_out,
        generations=tuple(generations),
        split=split or _claims_split(evidence),
        now=(now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _claims_split(evidence: Iterable[ArmEvidence]) -> str:
    found = {e.split for e in evidence}
    return "train" if "train" in found and "heldout" not in found else "heldout"


def _cells(labels: Mapping[str, str], rows: Mapping[str, Any]) -> tuple[CellLine, ...]:
    """Of the manifest in its order, then the others by arm and seed."""
    named = [
        _settled(cell, label, rows[cell]) if cell in rows else _open(cell, label)
        for cell, label in labels.items()
    ]
    others = [
        _settled(cell, _label(row), row, named=False)
        for cell, row in rows.items()
        if cell not in labels
    ]
    return (*named, *sorted(others, key=lambda c: (arm_of(c), c.seed or 0, c.cell_id)))


def _settled(cell_id: str, label: str, row: Mapping[str, Any], *, named: bool = True) -> CellLine:
    same = ("arm_id", "condition", "rho_weight", "margin", "seed", "status")
    more = ("message", "host", "chip", "wall_s", "attempts")
    values = {k: row[k] for k in (*same, *more)}
    return CellLine(cell_id=cell_id, label=label, named=named, **values)


def _label(row: Mapping[str, Any]) -> str:
    """As `CellSpec.label`."""
    parts = [str(row["condition"])]
    parts += [f"{k}={row[v]:g}" for k, v in _WEIGHTS if row[v] is not None]
    return " ".join([*parts, *([] if row["seed"] is None else [f"seed={row['seed']}"])])


_WEIGHTS = (("w", "rho_weight"), ("m", "margin"))


def _open(cell_id: str, label: str) -> CellLine:
    """What a label alone tells."""
    words = dict(w.split("=", 1) for w in label.split() if "=" in w)
    first = label.split(" ", 1)[0]
    return CellLine(
        cell_id=cell_id,
        label=label,
        condition=first if first in _LEADING else None,
        rho_weight=_number(words.get("w")),
        margin=_number(words.get("m")),
        seed=int(words["seed"]) if words.get("seed", "").isdecimal() else None,
        status=OPEN,
        message=None,
        host=None,
        chip=None,
        wall_s=None,
        attempts=None,
    )


def _number(word: str | None) -> float | None:
    try:
        return None if word is None else float(word)
    except ValueError:
        return None


def arm_of(cell: CellLine) -> str:
    """The cell's label without its seed."""
    return cell.label.rpartition(" seed=")[0] or cell.label


def _drawn(
    cells: Iterable[CellLine], arms: Mapping[str, str]
) -> tuple[list[tuple[str, CellLine]], int]:
    """(arm, cell) of the trainings to draw, and how many are left out."""
    groups: dict[str, list[CellLine]] = defaultdict(list)
    for cell in cells:
        if cell.status != OPEN and cell.condition in _LEADING[1:] and cell.arm_id is not None:
            groups[cell.arm_id].append(cell)
    found = [
        (arms.get(arm, arm_of(group[0])), cell)
        for arm, group in list(groups.items())[:MAX_CURVE_ARMS]
        for cell in group[:MAX_CURVE_SEEDS]
    ]
    return found, sum(len(g) for g in groups.values()) - len(found)


def _curve(store: Store, cell: CellLine, arm: str) -> StepCurve:
    """A cell that failed has no steps: its arrays are empty."""
    path = store.path("steps", cell.cell_id)
    table = read_file(path, "steps").sort_by("step") if path.is_file() else None

    def column(name: str) -> Array:
        values = [] if table is None else table[name].to_pylist()
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)

    return StepCurve(
        arm=arm,
        condition=str(cell.condition),
        rho_weight=cell.rho_weight,
        margin=cell.margin,
        seed=cell.seed,
        step=column("step"),
        ce_loss=column("ce_loss"),
        hinge_loss=column("hinge_loss"),
        hinge_active=column("hinge_active"),
    )
