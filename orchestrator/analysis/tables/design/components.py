"""T11: variance between seeds, variance between probe pairs, and which of them to add next."""

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.tables.arms import Arms
from orchestrator.analysis.tables.columns import count, data, plain, words
from orchestrator.analysis.tables.scores.means import Both
from orchestrator.analysis.tables.view import Missing, View
from orchestrator.stats.crossed import Crossed

KEY, NAME = "T11", "components"
SQUARED = "(nat/token)^2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """Variance over seeds and probe pairs of one arm, or of a difference.

    Attributes:
        arm_a, arm_b: Of a - b by paired seeds; without b, of a's rho alone.
        crossed: Analysis of the gaps, seeds by probe pairs.
    """

    arm_a: ArmEvidence
    arm_b: ArmEvidence | None = None
    crossed: Crossed


def components(arms: Arms, found: Iterable[Component]) -> View | Missing:
    """One row an arm or difference, and behaviour."""
    mine = [c for c in found if c.arm_a.split == arms.split]
    if not mine:
        return Missing(key=KEY, name=NAME, reason="no gaps of two seeds and two probe pairs")
    return View(
        key=KEY,
        name=NAME,
        title=f"Components of variance, {arms.split} split",
        columns=(
            words("Behavior", "behavior"),
            words("Arm a", "arm_a"),
            words("Arm b", "arm_b"),
            plain("between seeds", "var_seed", SQUARED, digits=6),
            plain("between probe pairs", "var_probe", SQUARED, digits=6),
            plain("rest", "var_resid", SQUARED, digits=6),
            count("seeds", "n_seeds"),
            count("probe pairs", "n_probes"),
            words("more of which helps most", "best_next"),
            *data(words("status", "status")),
        ),
        rows=tuple(
            {
                "behavior": c.arm_a.behavior,
                "arm_a": arms.label(c.arm_a),
                "arm_b": arms.label(c.arm_b) if c.arm_b else None,
                "var_seed": c.crossed.var_seed,
                "var_probe": c.crossed.var_probe,
                "var_resid": c.crossed.var_resid,
                "n_seeds": c.crossed.n_seeds,
                "n_probes": c.crossed.n_probes,
                "best_next": c.crossed.best_next,
                "status": str(c.crossed.state),
            }
            for c in mine
        ),
    )


def both_intervals(found: Iterable[Component]) -> Both:
    """(arm id, behaviour) -> interval of an arm's mean rho for new seeds and new probe pairs."""
    return {
        (c.arm_a.arm_id, c.arm_a.behavior): c.crossed.both
        for c in found
        if c.arm_b is None and c.crossed.both is not None
    }
