"""What a report shows, read from a results folder; layout and drawing come later."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.inference.record import Inference
from orchestrator.analysis.tables.view import View
from orchestrator.report.facts import facts_of
from orchestrator.results.folder import is_plain
from orchestrator.results.manifest import load_manifest
from orchestrator.results.store import Store, read_file
from orchestrator.stats.records import ALPHA
from orchestrator.stress.side_by_side import MAX_ARMS, MAX_ASKED, Answer, Asked, side_by_side
from tasks.contract.cell import Condition

OPEN = "open"
"""Status of a cell that has no result yet."""
MAX_CURVE_ARMS = 12
MAX_CURVE_SEEDS = 12
"""Of an arm; further trainings are counted in `ReportContent.steps_left_out`."""
_TRAINED = tuple(str(c) for c in Condition if c.trains)

Missing = tuple[str, str, str]
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellLine:
    """One cell of the sweep.

    Attributes:
        cell_id, label: As in the manifest. A cell of an earlier launch, which the manifest does
            not name, gets a label made from its row in `cells`.
        arm_id: None for a cell without a result: only its label is known.
        condition: None where the label does not begin with one.
        seed: None where the cell has none, or where it cannot be read from the label.
        status: `ok`, `diverged`, `failed`, `incomplete` (files of it are missing) or `open` (no
            result yet).
        message: Why it has no scores; None where it has.
        host, chip: The machine of its last attempt; None for an open cell.
        wall_s: Seconds of its last attempt; None where unknown.
        attempts: How often it was started; None for an open cell.
        named: False for a cell of an earlier launch that the manifest does not name.
    """

    cell_id: str
    label: str
    arm_id: str | None = None
    condition: str | None
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
    """The losses of one training; arrays are (steps,), NaN where a value was not measured.

    Attributes:
        arm: Label of the arm.
        condition, seed: Settings of the cell.
        step: Number of the optimizer step, from 1.
        ce_loss, hinge_loss: Cross-entropy of the SFT texts and hinge loss, nats per token.
        hinge_active: Share of the step's pairs with a hinge above 0, in [0, 1].
    """

    arm: str
    condition: str
    seed: int | None
    step: Array
    ce_loss: Array
    hinge_loss: Array
    hinge_active: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """Everything that a report shows.

    Attributes:
        name, description: Of the sweep.
        manifest: As `load_manifest` returns it.
        others: Likewise of further results that the report is about.
        facts: (name, text) of machines, versions and times, from the rows of the cells.
        evidence: Scores of each arm, by behaviour and split.
        moments: Likewise of arms that were scored within their training, at every moment.
        inference: Tested contrasts.
        views: Tables, in the order in which they are shown.
        missing: (key, name, reason) of each table that is not shown.
        cells: Every cell of the manifest, then cells of earlier launches.
        steps: Trainings to draw.
        steps_left_out: Trainings that are not in `steps`, because of MAX_CURVE_ARMS and
            MAX_CURVE_SEEDS.
        asked: Prompts of the last stress test with their answers, those whose label changed first.
        asked_left_out: Prompts that are not in `asked`.
        split: The split that the claims are about, `heldout` or `train`.
        alpha: Level of the tests; intervals are at 1 - alpha.
        now: When the report was made, as text.
    """

    name: str
    description: str
    manifest: Mapping[str, Any]
    others: tuple[Mapping[str, Any], ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    evidence: tuple[ArmEvidence, ...]
    moments: tuple[ArmEvidence, ...] = ()
    inference: tuple[Inference, ...]
    views: tuple[View, ...]
    missing: tuple[Missing, ...]
    cells: tuple[CellLine, ...]
    steps: tuple[StepCurve, ...]
    steps_left_out: int = 0
    asked: tuple[Asked, ...] = ()
    asked_left_out: int = 0
    split: str
    alpha: float = ALPHA
    now: str


def from_store(
    store: Store,
    evidence: Sequence[ArmEvidence],
    inference: Sequence[Inference],
    views: Sequence[View],
    missing: Sequence[Missing],
    *,
    split: str,
    alpha: float = ALPHA,
    moments: Sequence[ArmEvidence] = (),
    without: Set[str] = frozenset(),
    now: datetime | None = None,
) -> ReportContent:
    """Combine the findings of an analysis with the tables of its results folder.

    Args:
        store: The results folder.
        evidence: As in `ReportContent`, like the next four.
        inference: Tested contrasts.
        views: Tables.
        missing: Tables that are not shown.
        split: The split that the claims are about.
        alpha: Level of the tests.
        moments: As in `ReportContent`.
        without: Cells to leave out, since other results of the same report have them.
        now: When the report is made; None for the current time.

    Raises:
        UserError: There is no manifest, or a table is corrupted.
    """
    manifest = load_manifest(store.folder)
    rows = {cell: row for cell, row in store.cells().items() if cell not in without}
    named = {cell: label for cell, label in manifest["cells"].items() if cell not in without}
    cells = _cells(named, rows)
    labels = {e.arm_id: e.label for e in evidence}
    steps, left_out = _curves(store, cells, labels)
    asked = side_by_side(store, {c.cell_id: labels.get(str(c.arm_id), arm_of(c)) for c in cells})
    return ReportContent(
        name=str(manifest.get("name", store.folder.name)),
        description=str(manifest.get("description") or ""),
        manifest=manifest,
        facts=facts_of(list(rows.values()), store.rows("attempts")),
        evidence=tuple(evidence),
        moments=tuple(moments),
        inference=tuple(inference),
        views=tuple(views),
        missing=tuple(missing),
        cells=cells,
        steps=steps,
        steps_left_out=left_out,
        asked=asked[:MAX_ASKED],
        asked_left_out=max(0, len(asked) - MAX_ASKED),
        split=split,
        alpha=alpha,
        now=(now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC"),
    )


def together(contents: Sequence[ReportContent]) -> ReportContent:
    """One content of several results that were analysed as one; each has cells of its own."""
    first = contents[0]
    if len(contents) == 1:
        return first
    answers: dict[str, tuple[Answer, ...]] = {}
    for content in contents:
        for asked in content.asked:
            answers[asked.prompt] = (*answers.get(asked.prompt, ()), *asked.answers)[:MAX_ARMS]
    prompts = [Asked(prompt=prompt, answers=said) for prompt, said in answers.items()]
    left_out = sum(c.asked_left_out for c in contents) + max(0, len(prompts) - MAX_ASKED)
    return replace(
        first,
        name=" + ".join(c.name for c in contents),
        description="; ".join(c.description for c in contents if c.description),
        others=tuple(c.manifest for c in contents[1:]),
        facts=tuple((n, text) for c in contents for n, text in c.facts),
        cells=tuple({cell.cell_id: cell for c in contents for cell in c.cells}.values()),
        steps=tuple(curve for c in contents for curve in c.steps),
        steps_left_out=sum(c.steps_left_out for c in contents),
        asked=tuple(prompts[:MAX_ASKED]),
        asked_left_out=left_out,
    )


def _cells(labels: Mapping[str, str], rows: Mapping[str, Any]) -> tuple[CellLine, ...]:
    """The manifest's cells in its order, then cells of earlier launches by arm and seed."""
    named = []
    for cell, label in labels.items():
        if cell in rows:
            named.append(_settled(cell, rows[cell], label))
            continue
        # Without a result, the settings of a cell are only known from its label.
        first = label.split(" ", 1)[0]
        seed = label.partition(" seed=")[2]
        line = CellLine(
            cell_id=cell,
            label=label,
            condition=first if first in list(Condition) else None,
            seed=int(seed) if re.fullmatch("[0-9]{1,19}", seed) else None,
            status=OPEN,
            message=None,
            host=None,
            chip=None,
            wall_s=None,
            attempts=None,
        )
        named.append(line)
    others = [_settled(cell, row, None) for cell, row in rows.items() if cell not in labels]
    return (*named, *sorted(others, key=lambda c: (arm_of(c), c.seed or 0, c.cell_id)))


def _settled(cell_id: str, row: Mapping[str, Any], label: str | None) -> CellLine:
    """A cell with a result, from its row in `cells`.

    A cell that the manifest does not name has no label there (None): it gets the one that
    `CellSpec.label` gives it.
    """
    named = label is not None
    if label is None:
        parts = [str(row["condition"])]
        for name, column in (("w", "rho_weight"), ("m", "margin")):
            if row[column] is not None:
                parts.append(f"{name}={row[column]:g}")
        if row["seed"] is not None:
            parts.append(f"seed={row['seed']}")
        label = " ".join(parts)
    same = ("arm_id", "condition", "seed", "status", "message", "host", "chip", "wall_s")
    values = {column: row[column] for column in (*same, "attempts")}
    return CellLine(cell_id=cell_id, label=label, named=named, **values)


def arm_of(cell: CellLine) -> str:
    """The cell's label without its seed."""
    return cell.label.rpartition(" seed=")[0] or cell.label


def _curves(
    store: Store, cells: Sequence[CellLine], arm_labels: Mapping[str, str]
) -> tuple[tuple[StepCurve, ...], int]:
    """The trainings that are drawn, and the number of those left out.

    The arrays of a cell that failed before its first step are empty.
    """
    groups: dict[str, list[CellLine]] = defaultdict(list)
    for cell in cells:
        if cell.status != OPEN and cell.condition in _TRAINED and cell.arm_id is not None:
            groups[cell.arm_id].append(cell)
    drawn = [c for g in list(groups.values())[:MAX_CURVE_ARMS] for c in g[:MAX_CURVE_SEEDS]]
    curves = []
    for cell in drawn:
        path = store.path("steps", cell.cell_id)
        table = read_file(path, "steps").sort_by("step") if is_plain(path) else None
        columns: dict[str, Array] = {}
        for name in ("step", "ce_loss", "hinge_loss", "hinge_active"):
            values = [] if table is None else table[name].to_pylist()
            numbers = [np.nan if v is None else v for v in values]
            columns[name] = np.array(numbers, dtype=np.float64)
        arm = arm_labels.get(str(cell.arm_id), arm_of(cell))
        curves.append(StepCurve(arm=arm, condition=str(cell.condition), seed=cell.seed, **columns))
    return tuple(curves), sum(len(g) for g in groups.values()) - len(drawn)
