"""All tables of some results at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.evidence.refusals import Refusals
from orchestrator.analysis.inference.record import Inference
from orchestrator.analysis.tables.answers.categories import stress_by_category
from orchestrator.analysis.tables.answers.frames import stress_by_frame
from orchestrator.analysis.tables.answers.stress import stress
from orchestrator.analysis.tables.arms import HELDOUT, Arms, default_split
from orchestrator.analysis.tables.design.claims import claims
from orchestrator.analysis.tables.design.components import Component, both_intervals, components
from orchestrator.analysis.tables.design.config import config
from orchestrator.analysis.tables.design.estimates import estimates, refusal_estimates
from orchestrator.analysis.tables.design.pairing import pairing
from orchestrator.analysis.tables.design.plan import plan
from orchestrator.analysis.tables.invariants import check
from orchestrator.analysis.tables.scores.dose import dose_response
from orchestrator.analysis.tables.scores.dose_tests import dose_tests
from orchestrator.analysis.tables.scores.effects import effects
from orchestrator.analysis.tables.scores.general import general
from orchestrator.analysis.tables.scores.margin import margin
from orchestrator.analysis.tables.scores.means import ablation_means
from orchestrator.analysis.tables.scores.refusal import refusal_buffer
from orchestrator.analysis.tables.scores.variance import variance
from orchestrator.analysis.tables.verdicts import Verdicts
from orchestrator.analysis.tables.view import Missing, View
from orchestrator.stats.records import ALPHA


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Everything that the tables T1 to T15 are computed from.

    Attributes:
        evidence: Of all arms, behaviours and splits.
        general: Measurements on general texts, of all arms.
        inference: Contrasts, tested.
        refusals: Answers of a stress test, counted.
        components: Variance over seeds and probe pairs.
        manifests: Of the results, in order.
        cells: Rows of `cells`.
        sesoi: Loss of refusal that would not matter, nats per token; None where nobody stated it.
        alpha: Level of every family.
    """

    evidence: Sequence[ArmEvidence]
    general: Sequence[ArmEvidence] = ()
    inference: Sequence[Inference] = ()
    refusals: Sequence[Refusals] = ()
    components: Sequence[Component] = ()
    manifests: Sequence[Mapping[str, Any]] = ()
    cells: Sequence[Mapping[str, Any]] = ()
    sesoi: float | None = None
    alpha: float = ALPHA


def tables(material: Material, split: str | None = None) -> tuple[View | Missing, ...]:
    """T1 to T15 on one split, held-out pairs unless another is named; checked.

    Raises:
        InvariantError: A table contradicts itself or the evidence.
    """
    arms = Arms(material.evidence, split or default_split(material.evidence), material.alpha)
    both = both_intervals(material.components)
    verdicts = Verdicts(material.inference)
    stressed = stress(material.refusals, material.alpha, verdicts)
    found = (
        refusal_buffer(arms, material.sesoi, verdicts),
        margin(arms, verdicts),
        variance(arms, verdicts=verdicts),
        ablation_means(arms, both),
        effects(arms, material.inference),
        dose_response(arms),
        dose_tests(arms, verdicts),
        stressed,
        stress_by_category(material.refusals),
        stress_by_frame(material.refusals, material.alpha),
        config(material.manifests, material.cells),
        pairing(arms),
        components(arms, material.components),
        plan(material.inference, stressed, alpha=material.alpha),
        claims(material.inference),
        estimates(arms),
        refusal_estimates(material.refusals, material.alpha),
        general(Arms(material.general, HELDOUT, material.alpha)),
    )
    check(found, material.evidence, material.inference)
    return found
