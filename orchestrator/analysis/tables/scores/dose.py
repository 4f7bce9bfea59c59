"""T6: delta rho by weight of the hinge; the groups of arms that differ in this weight only."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.evidence.comparison import paired_seeds
from orchestrator.analysis.tables.arms import Arms, agree, fewest
from orchestrator.analysis.tables.columns import (
    NAT,
    count,
    data,
    of_notes,
    plus_minus,
    short,
    words,
)
from orchestrator.analysis.tables.view import Column, Missing, View
from tasks.contract.cell import Condition

KEY, NAME = "T6", "dose_response"
FEWEST_DOSES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Doses:
    """Arms that differ in weight only; sft-only is weight 0 where the condition has an SFT loss.

    Attributes:
        head: Any of them with a hinge; names condition, margin and settings.
        arms: Weight -> arm, ascending.
    """

    head: ArmEvidence
    arms: Mapping[float, ArmEvidence]

    def on(self, arms: Arms, behavior: str) -> dict[float, ArmEvidence]:
        """Weight -> evidence with a delta or score, of the weights that have one."""
        found = {w: arms.get(a, behavior) for w, a in self.arms.items()}
        return {w: e for w, e in found.items() if e is not None and e.n}


def doses_of(arms: Arms) -> list[Doses]:
    """Every group of at least `FEWEST_DOSES` weights."""
    groups: dict[tuple[Any, ...], dict[float, ArmEvidence]] = defaultdict(dict)
    for arm in arms.trained:
        if arm.condition.has_pairs and arm.rho_weight is not None:
            key = arm.condition, arm.margin, arm.differs, arm.baseline_key
            groups[key][arm.rho_weight] = arm
    found = []
    for group in groups.values():
        head = group[min(group)]
        zero = [h for h in arms.trained if h.condition is Condition.SFT_ONLY and agree(h, head)]
        if head.condition.has_sft and len(zero) == 1 and 0.0 not in group:
            group[0.0] = zero[0]
        if len(group) >= FEWEST_DOSES:
            found.append(Doses(head=head, arms=dict(sorted(group.items()))))
    return found


def paired_rows(arms: Sequence[ArmEvidence]) -> list[list[float]] | None:
    """(seeds, doses) of rho, of the seeds that pair along all doses; None below two."""
    links = [set(paired_seeds(low, high)) for low, high in pairwise(arms)]
    seeds = set.intersection(*links) if links else set()
    rows = [[e.scores[s] for e in arms] for s in sorted(seeds)]
    return rows if len(rows) > 1 else None


def dose_response(arms: Arms) -> View | Missing:
    """T6: mean and sd of delta rho, one row a weight of the hinge."""
    groups = doses_of(arms)
    if not groups:
        return Missing(key=KEY, name=NAME, reason=f"fewer than {FEWEST_DOSES} weights")
    # A behaviour with a delta at one weight only shows no response: it gets no columns.
    behaviors = [
        b
        for b in arms.behaviors
        if any(sum(e.delta is not None for e in g.on(arms, b).values()) > 1 for g in groups)
    ]
    rows = []
    for group in groups:
        for weight, arm in group.arms.items():
            known = {b: arms.get(arm, b) for b in behaviors}
            row = {**group_fields(group), "rho_weight": weight, "n": fewest(known.values())}
            for behavior, one in known.items():
                delta = one.delta if one else None
                row[f"{behavior}_mean"] = delta.mean if delta else None
                row[f"{behavior}_sd"] = delta.sd if delta else None
            rows.append(row)
    return View(
        key=KEY,
        name=NAME,
        title=arms.title("Dose-response", [r["n"] for r in rows]),
        columns=(
            *of_notes(
                short("Weight", "rho_weight"),
                *(
                    plus_minus(f"{b.capitalize()} Δρ", f"{b}_mean", f"{b}_sd", NAT)
                    for b in behaviors
                ),
                count("n", "n"),
            ),
            *group_columns(len(groups)),
        ),
        rows=tuple(rows),
    )


def group_columns(groups: int) -> tuple[Column, ...]:
    """Condition, margin and settings of a group of weights: shown where there are several."""
    columns = (
        words("Condition", "condition"),
        short("Margin", "margin", NAT),
        words("Settings", "settings"),
    )
    return columns if groups > 1 else data(*columns)


def group_fields(group: Doses) -> dict[str, Any]:
    """What `group_columns` shows."""
    return {
        "condition": str(group.head.condition),
        "margin": group.head.margin,
        "settings": group.head.differs or None,
    }
