"""The contrasts that are tested if none was registered; their family is exploratory."""

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.inference.arms import Selector
from orchestrator.analysis.views import MOST_ARMS
from orchestrator.config.contrast_kinds import Kind
from orchestrator.config.contrasts import Contrast
from tasks.contract.cell import Condition


def default_questions(selector: Selector) -> tuple[Contrast, ...]:
    """Each trained arm against sft-only; if there is no sft-only arm, against the baseline.

    Arms are those of the first split. Above `MOST_ARMS` arms nothing is asked.
    """
    arms: dict[str, ArmEvidence] = {}
    for split in selector.splits[:1]:
        for behavior in selector.behaviors(split):
            arms |= {e.arm_id: e for e in selector.trained(behavior, split)}
    if len(arms) > MOST_ARMS:
        return ()
    named: set[tuple[tuple[str, object], ...]] = set()
    for arm in arms.values():
        values = (
            ("condition", str(arm.condition)),
            ("margin", arm.margin),
            ("rho_weight", arm.rho_weight),
        )
        named.add(tuple((k, v) for k, v in values if v is not None))
    sft_only = ("condition", str(Condition.SFT_ONLY))
    reference = (sft_only,) if any(sft_only in fields for fields in named) else None
    other = "sft-only" if reference else "the baseline"
    found = []
    for fields in sorted(named, key=str):
        if reference and sft_only in fields:
            continue
        name = " ".join(f"{v:g}" if isinstance(v, float) else str(v) for _, v in fields)
        found.append(
            Contrast(
                id=f"{name} vs {other}",
                claim=f"{name} differs from {other}",
                kind=Kind.MEAN_DIFF if reference else Kind.ONE_SAMPLE,
                a=fields,
                b=reference,
            )
        )
    return tuple(found)
