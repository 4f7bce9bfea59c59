"""What is asked when nobody registered anything: exploratory, and said so."""

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.inference.arms import Selector
from orchestrator.analysis.views import MOST_ARMS
from orchestrator.config.contrast_kinds import Kind
from orchestrator.config.contrasts import Contrast
from tasks.contract.cell import Condition


def default_questions(selector: Selector) -> tuple[Contrast, ...]:
    """Each trained arm against sft-only; without that, against the baseline."""
    arms: dict[str, ArmEvidence] = {}
    for split in selector.splits[:1]:
        for behavior in selector.behaviors(split):
            arms |= {e.arm_id: e for e in selector.trained(behavior, split)}
    if len(arms) > MOST_ARMS:
        return ()
    reference = any(e.condition is Condition.SFT_ONLY for e in arms.values())
    named = {_named(e) for e in arms.values()}
    if not reference:
        return tuple(_contrast(fields, None) for fields in sorted(named, key=str))
    return tuple(
        _contrast(fields, (("condition", str(Condition.SFT_ONLY)),))
        for fields in sorted(named, key=str)
        if ("condition", str(Condition.SFT_ONLY)) not in fields
    )


def _named(arm: ArmEvidence) -> tuple[tuple[str, object], ...]:
    fields: dict[str, object] = {"condition": str(arm.condition)}
    if arm.rho_weight is not None:
        fields["rho_weight"] = arm.rho_weight
    if arm.margin is not None:
        fields["margin"] = arm.margin
    return tuple(sorted(fields.items()))


def _contrast(
    fields: tuple[tuple[str, object], ...], reference: tuple[tuple[str, object], ...] | None
) -> Contrast:
    name = " ".join(f"{v:g}" if isinstance(v, float) else str(v) for _, v in fields)
    other = "sft-only" if reference else "the baseline"
    return Contrast(
        id=f"{name} vs {other}",
        claim=f"{name} differs from {other}",
        kind=Kind.MEAN_DIFF if reference else Kind.ONE_SAMPLE,
        a=fields,
        b=reference,
    )
