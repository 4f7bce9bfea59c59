"""Every table that some results fill, from their evidence and their tested contrasts. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.evidence.comparison import paired_seeds
from orchestrator.analysis.evidence.frame import Frame
from orchestrator.analysis.evidence.refusals import Refusals
from orchestrator.analysis.inference.record import Inference
from orchestrator.analysis.tables.arms import Arms
from orchestrator.analysis.tables.build import Material, tables
from orchestrator.analysis.tables.design.claims import claims
from orchestrator.analysis.tables.design.components import Component
from orchestrator.analysis.tables.design.config import config
from orchestrator.analysis.tables.design.estimates import estimates
from orchestrator.analysis.tables.design.plan import plan
from orchestrator.analysis.tables.invariants import check
from orchestrator.analysis.tables.scores.effects import effects
from orchestrator.analysis.tables.view import Missing, View
from orchestrator.config.contrast_kinds import Margin
from orchestrator.stats.crossed import crossed

REFUSAL = "refusal"
MOST_ARMS = 400
ALL_ARMS = (
    ("T1", "refusal_buffer"),
    ("T2", "margin"),
    ("T3", "variance"),
    ("T4", "ablation_means"),
    ("T6", "dose_response"),
    ("T6 tests", "dose_tests"),
    ("T10", "pairing"),
    ("T11", "components"),
)
"""(key, name) of the tables that have rows for all arms."""


def views_of(
    frame: Frame,
    evidence: Sequence[ArmEvidence],
    inference: Sequence[Inference],
    *,
    split: str,
    alpha: float,
    manifests: Sequence[Mapping[str, Any]] = (),
    refusals: Iterable[Refusals] = (),
) -> tuple[View | Missing, ...]:
    """T1 to T15 in order; a table with nothing to show says why.

    Args:
        frame: Gives gaps of probe pairs, for the components of variance.
        evidence: Of all splits.
        inference: With verdicts.
        split: Which pairs the tables are about; contrasts keep their own.
        alpha: Level of the tables' own tests.
        manifests: Of the results, for T9.
        refusals: Counted answers, for T7 and T8.

    Raises:
        InvariantError: Tables contradict themselves or each other.
    """
    arms = Arms(evidence, split, alpha)
    if len(arms.heads) > MOST_ARMS:
        return _asked_only(arms, evidence, inference, manifests, frame.cells.values())
    return tables(
        Material(
            evidence=evidence,
            general=frame.general(),
            inference=inference,
            refusals=tuple(refusals),
            components=tuple(components_of(frame, arms)),
            manifests=manifests,
            cells=tuple(frame.cells.values()),
            sesoi=stated_margin(inference),
            alpha=alpha,
        ),
        split,
    )


def _asked_only(
    arms: Arms,
    evidence: Sequence[ArmEvidence],
    inference: Sequence[Inference],
    manifests: Sequence[Mapping[str, Any]],
    cells: Iterable[Mapping[str, Any]],
) -> tuple[View | Missing, ...]:
    """Tables if there are more than `MOST_ARMS` arms: those in `ALL_ARMS` are missing."""
    reason = f"{len(arms.heads)} arms; tables of all arms stop at {MOST_ARMS}"
    found = (
        *(Missing(key=key, name=name, reason=reason) for key, name in ALL_ARMS[:4]),
        effects(arms, inference, more=False),
        *(Missing(key=key, name=name, reason=reason) for key, name in ALL_ARMS[4:6]),
        config(manifests, cells),
        *(Missing(key=key, name=name, reason=reason) for key, name in ALL_ARMS[6:]),
        plan(inference, alpha=arms.alpha),
        claims(inference),
        estimates(arms),
    )
    check(found, evidence, inference)
    return found


def stated_margin(inference: Sequence[Inference]) -> float | None:
    """The smallest margin (nats per token) of a contrast on refusal; None where none states one."""
    asked = [i for i in inference if i.kind.rules.margin is not Margin.OPTIONAL]
    margins = [i.sesoi for i in asked if i.behavior == REFUSAL]
    return min((m for m in margins if m is not None), default=None)


def components_of(frame: Frame, arms: Arms) -> Iterator[Component]:
    """Seeds crossed with probe pairs: of each trained arm, and of its difference to sft-only.

    An arm with fewer than two seeds or two pairs is left out: it has no variance to divide.
    """
    for behavior in arms.behaviors:
        for one in arms.on(behavior):
            mine = frame.probes(one.arm_id, behavior, arms.split).table
            if min(mine.shape) > 1:
                yield Component(arm_a=one, crossed=crossed(mine, level=arms.level))
            reference = arms.reference(one)
            if reference is None or reference.arm_id == one.arm_id:
                continue
            apart = frame.difference(one, reference, paired_seeds(one, reference)).table
            if min(apart.shape) > 1:
                found = crossed(apart, level=arms.level)
                yield Component(arm_a=one, arm_b=reference, crossed=found)
