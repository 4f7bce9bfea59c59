"""Arms by behaviours: how far each arm moved rho. What people look at first."""

from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.tables.arms import CONDITION, SPLITS, Arms, fewest
from orchestrator.analysis.tables.columns import NAT, RHO, count, plus_minus
from orchestrator.analysis.tables.view import View


def changes(arms: Arms) -> View:
    """Mean and sd over seeds of rho minus the untrained model's; of rho itself without one."""
    known = {b: {e.baseline for e in arms.on(b)} - {None} for b in arms.behaviors}
    changed = any(known.values())
    what = f"Change of {RHO}" if changed else f"Mean {RHO}"
    rows = [_row(arms, head, changed=changed) for head in arms.trained]
    if not rows:
        what = f"{RHO} of the untrained model"
        rows = [_row(arms, head, changed=False) for head in arms.heads]
    told = []
    if changed and all(len(values) == 1 for values in known.values()):
        starts = ", ".join(f"{b} {value:+.3f}" for b, (value,) in known.items())
        told.append(f"{RHO} of the untrained model: {starts}.")
    if any(row["n_varies"] for row in rows):
        told.append("seeds: of the behavior with the fewest.")
    where = SPLITS.get(arms.split, arms.split)
    return View(
        key="",
        name="changes",
        title=f"{what} in {NAT}, mean ± sd over seeds, {where}",
        columns=(
            CONDITION,
            *(plus_minus(b, b, f"{b}_sd") for b in arms.behaviors),
            count("seeds", "n"),
        ),
        rows=tuple(rows),
        notes=tuple(told),
    )


def _row(arms: Arms, head: ArmEvidence, *, changed: bool) -> dict[str, Any]:
    """One arm on every behaviour; without a baseline of its own it has no change."""
    row: dict[str, Any] = arms.identity(head)
    scored = [e for b in arms.behaviors if (e := arms.get(head, b)) is not None]
    for one in scored:
        seen = one.delta if changed else one.score
        row |= {
            one.behavior: seen.mean if seen else None,
            f"{one.behavior}_sd": seen.sd if seen else None,
        }
    return row | {"n": fewest(scored), "n_varies": len({e.n for e in scored}) > 1}
