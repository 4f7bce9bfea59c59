"""The same arms in two results folders, e.g. of two models or two versions, side by side."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.load import load_frame
from orchestrator.analysis.tables.arms import arm_order, default_split
from orchestrator.analysis.tables.view import Column, Shape, View, level_text
from orchestrator.errors import UserError
from orchestrator.results.store import Store
from orchestrator.stats.means import welch
from orchestrator.stats.records import LEVEL, Summary

NOTES = (
    "Each side is the change from its own untrained model, where both have one; otherwise rho.",
    "Intervals are of one row each, by Welch, with the trainings of both sides independent; they "
    "are not adjusted for the number of rows, and say nothing that was registered.",
    "An arm with the same settings on both sides has no interval: one seed is then one training.",
)
Key = tuple[Any, ...]


def compare_arms(left: Store, right: Store, split: str | None = None) -> View:
    """One row an arm and behaviour that both results have.

    Args:
        left: Results.
        right: Others.
        split: Pairs to compare; None for the held-out ones where there are any.

    Raises:
        UserError: They have no arm, behaviour and split in common, or a table is damaged.
    """
    sides = [load_frame([store]).evidence() for store in (left, right)]
    wanted = split or default_split([e for side in sides for e in side])
    one, two = ({_key(e, side): e for e in side if e.split == wanted} for side in sides)
    shared = sorted((k for k in one if k in two), key=lambda k: (arm_order(one[k]), k[-1]))
    rows = [_row(one[key], two[key]) for key in shared]
    if not rows:
        raise UserError(
            f"{left.folder} and {right.folder} have no arm and behaviour of the split {wanted} in "
            "common",
            "compare cells: leave out --arms",
        )
    alone = [
        f"Only in {store.folder}: {', '.join(names)}."
        for store, mine, other in ((left, one, two), (right, two, one))
        if (names := dict.fromkeys(mine[k].label for k in mine if k not in other))
    ]
    level = level_text(LEVEL)
    unit = "nat/token"
    return View(
        key="",
        name="arms",
        title=f"{left.folder} (a) minus {right.folder} (b), {wanted} split",
        columns=(
            Column(label="arm", fields=("arm",)),
            Column(label="behaviour", fields=("behavior",)),
            Column(label="a", fields=("mean_a",), shape=Shape.SIGNED, unit=unit),
            Column(label="b", fields=("mean_b",), shape=Shape.SIGNED, unit=unit),
            Column(label="seeds a", fields=("n_a",), shape=Shape.INTEGER),
            Column(label="seeds b", fields=("n_b",), shape=Shape.INTEGER),
            Column(label="a - b", fields=("difference",), shape=Shape.SIGNED, unit=unit),
            Column(
                label=f"{level} interval", fields=("low", "high"), shape=Shape.INTERVAL, unit=unit
            ),
        ),
        rows=tuple(rows),
        notes=(*NOTES, *alone),
    )


def _key(arm: ArmEvidence, side: Sequence[ArmEvidence]) -> Key:
    """What names an arm in both: further settings only where its folder needs them to."""
    plain = (arm.condition, arm.rho_weight, arm.margin)
    same = Counter((e.condition, e.rho_weight, e.margin, e.behavior, e.split) for e in side)
    needed = same[*plain, arm.behavior, arm.split] > 1
    return (*plain, arm.differs if needed else "", arm.behavior)


def _row(a: ArmEvidence, b: ArmEvidence) -> dict[str, Any]:
    changes = a.delta is not None and b.delta is not None and a.condition.trains
    one, two = (a.delta, b.delta) if changes else (a.score, b.score)
    found = dict(_difference(one, two, alone=a.arm_id != b.arm_id)) if one and two else {}
    return {
        "arm": a.label,
        "behavior": a.behavior,
        "mean_a": one.mean if one else None,
        "mean_b": two.mean if two else None,
        "n_a": one.n if one else 0,
        "n_b": two.n if two else 0,
        "difference": found.get("difference"),
        "low": found.get("low"),
        "high": found.get("high"),
    }


def _difference(one: Summary, two: Summary, *, alone: bool) -> Iterator[tuple[str, float]]:
    test = welch(one, two)
    yield "difference", one.mean - two.mean
    if test.interval is not None and alone:
        yield "low", test.interval.low
        yield "high", test.interval.high
