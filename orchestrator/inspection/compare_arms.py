"""The same arms in two results folders, e.g. of two models or two versions, side by side."""

from collections import Counter
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.load import load_frame
from orchestrator.analysis.tables.arms import arm_order, default_split
from orchestrator.analysis.tables.columns import NAT, count, interval, signed, words
from orchestrator.analysis.tables.view import View, level_text
from orchestrator.errors import UserError
from orchestrator.results.store import Store
from orchestrator.stats.means import welch
from orchestrator.stats.records import LEVEL

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
    one, two = (_by_key([e for e in side if e.split == wanted]) for side in sides)
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
    return View(
        key="",
        name="arms",
        title=f"{left.folder} (a) minus {right.folder} (b), {wanted} split",
        columns=(
            words("arm", "arm"),
            words("behavior", "behavior"),
            signed("a", "mean_a", NAT),
            signed("b", "mean_b", NAT),
            count("seeds a", "n_a"),
            count("seeds b", "n_b"),
            signed("a - b", "difference", NAT),
            interval(f"{level_text(LEVEL)} interval", "low", "high", NAT),
        ),
        rows=tuple(rows),
        notes=(*NOTES, *alone),
    )


def _by_key(side: list[ArmEvidence]) -> dict[Key, ArmEvidence]:
    """What names an arm in both results -> the arm: further settings only where these need them."""
    plain = [(e.condition, e.rho_weight, e.margin, e.behavior) for e in side]
    times = Counter(plain)
    return {
        (*key[:3], e.differs if times[key] > 1 else "", key[3]): e
        for key, e in zip(plain, side, strict=True)
    }


def _row(a: ArmEvidence, b: ArmEvidence) -> dict[str, Any]:
    changes = a.delta is not None and b.delta is not None and a.condition.trains
    one, two = (a.delta, b.delta) if changes else (a.score, b.score)
    apart = welch(one, two).interval if one and two and a.arm_id != b.arm_id else None
    return {
        "arm": a.label,
        "behavior": a.behavior,
        "mean_a": one.mean if one else None,
        "mean_b": two.mean if two else None,
        "n_a": one.n if one else 0,
        "n_b": two.n if two else 0,
        "difference": one.mean - two.mean if one and two else None,
        "low": apart.low if apart else None,
        "high": apart.high if apart else None,
    }
