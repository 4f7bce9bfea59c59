"""Which arms a contrast compares. Arms are only compared where their other settings agree."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence, same_settings
from orchestrator.analysis.inference.question import Chosen, Study
from orchestrator.analysis.inference.record import ANSWERS
from orchestrator.config.contrasts import describe
from tasks.contract.cell import Condition

NO_ANSWERS = "no judged answers; make some with: rho-sweep stress"
FEWEST_DOSES = 3


def pairs(study: Study) -> Iterator[Chosen]:
    """Each arm that fits a, with the one arm that fits b and has its settings."""
    return _on_each_behavior(study, _pairs)


def single(study: Study) -> Iterator[Chosen]:
    """Each arm that fits a."""
    return _on_each_behavior(study, _single)


def doses(study: Study) -> Iterator[Chosen]:
    """Arms that fit a and differ along one axis only; without a hinge the weight is 0."""
    return _on_each_behavior(study, _doses)


def answer_pairs(study: Study) -> Iterator[Chosen]:
    """Each arm with answers that fits a, with the one that fits b; without b, the baseline."""
    if not study.answers:
        yield _answers(study, problem=NO_ANSWERS)
        return
    contrast = study.contrast
    firsts = study.answering(contrast.a)
    if not firsts:
        reason = f"no answers of {describe(contrast.a)} to {study.prompts} prompts"
        yield _answers(study, problem=reason)
    others = study.answering(contrast.b or (("condition", str(Condition.BASELINE)),))
    for a in firsts:
        seconds = [b for b in others if study.selector.comparable(a.head, b.head)]
        few = f"{len(seconds)} arms to compare with" if len(seconds) != 1 else None
        yield _answers(study, a, *(seconds if few is None else ()), problem=few)


def all_answers(study: Study) -> Iterator[Chosen]:
    """All arms with answers that fit a, at once."""
    if study.answers:
        yield _answers(study, *study.answering(study.contrast.a))
    else:
        yield _answers(study, problem=NO_ANSWERS)


def _answers(study: Study, *arms: Any, problem: str | None = None) -> Chosen:
    return Chosen(answers=arms, behavior=study.prompts, split=ANSWERS, problem=problem)


def _on_each_behavior(
    study: Study, choose: Callable[[Study, list[ArmEvidence]], Iterator[dict[str, Any]]]
) -> Iterator[Chosen]:
    """Choose among the arms scored on each behaviour that the contrast names, or on all."""
    selector, contrast = study.selector, study.contrast
    split = contrast.split or (selector.splits[0] if selector.splits else "heldout")
    for behavior in contrast.behaviors or selector.behaviors(split):
        scored = selector.scored(behavior, split)
        found = [*choose(study, scored)] if scored else []
        problem = f"{behavior} was not scored on the {split} split"
        if scored:
            problem = f"no scored cell has {describe(contrast.a)}"
        for one in found or [{"problem": problem}]:
            yield Chosen(behavior=behavior, split=split, **one)


def _single(study: Study, scored: list[ArmEvidence]) -> Iterator[dict[str, Any]]:
    for a in study.selector.named(study.contrast.a, scored):
        yield {"arms": (a,)}


def _pairs(study: Study, scored: list[ArmEvidence]) -> Iterator[dict[str, Any]]:
    wanted = study.contrast.b or ()
    others = study.selector.named(wanted, scored)
    for a in study.selector.named(study.contrast.a, scored):
        seconds = [b for b in others if same_settings(a, b)]
        if len(seconds) == 1:
            yield {"arms": (a, seconds[0])}
        else:
            what = "no scored cell has" if not seconds else f"{len(seconds)} arms have"
            yield {"arms": (a,), "problem": f"{what} {describe(wanted)}"}


def _doses(study: Study, scored: list[ArmEvidence]) -> Iterator[dict[str, Any]]:
    axis = study.contrast.over
    groups: dict[tuple[Any, ...], dict[float, ArmEvidence]] = defaultdict(dict)
    for one in study.selector.named(study.contrast.a, scored):
        by_axis = {"rho_weight": one.rho_weight, "margin": one.margin}
        dose = by_axis.pop(str(axis))
        if dose is not None:
            groups[one.condition, *by_axis.values(), one.differs][dose] = one
    for group in groups.values():
        first = next(iter(group.values()))
        if axis == "rho_weight" and 0.0 not in group and first.condition.has_sft:
            plain = [e for e in scored if e.condition is Condition.SFT_ONLY]
            zero = [e for e in plain if same_settings(first, e)]
            if len(zero) == 1:
                group[0.0] = zero[0]
        ordered = sorted(group)
        few = f"needs {FEWEST_DOSES} doses along {axis}, has {len(ordered)}"
        yield {
            "arms": tuple(group[d] for d in ordered),
            "doses": tuple(ordered),
            "problem": few if len(ordered) < FEWEST_DOSES else None,
        }
