"""Each contrast tested as its kind asks, before any adjustment for the others."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from orchestrator.analysis.evidence.frame import Frame
from orchestrator.analysis.evidence.refusals import JAILBREAK, Stressed
from orchestrator.analysis.inference.answers import Answered, infer_answers
from orchestrator.analysis.inference.arms import Chosen, Selector
from orchestrator.analysis.inference.doses import (
    linearity,
    sd_ratio,
    strict_monotone,
    trend_over_doses,
)
from orchestrator.analysis.inference.means import margin_test, mean_diff, one_sample
from orchestrator.analysis.inference.question import Ask, Tested
from orchestrator.analysis.inference.record import ANSWERS, Family, Inference
from orchestrator.config.contrast_kinds import Kind, Subject
from orchestrator.config.contrasts import Contrast

TESTS: dict[Kind, Callable[[Ask], Tested]] = {
    Kind.MEAN_DIFF: mean_diff,
    Kind.ONE_SAMPLE: one_sample,
    Kind.EQUIVALENCE: margin_test,
    Kind.NONINFERIORITY: margin_test,
    Kind.SD_RATIO: sd_ratio,
    Kind.TREND: trend_over_doses,
    Kind.STRICT_MONOTONE: strict_monotone,
    Kind.LINEARITY: linearity,
}


def infer(
    contrast: Contrast,
    selector: Selector,
    frame: Frame,
    answers: Sequence[Stressed] = (),
    *,
    alpha: float,
    registered: Callable[[Sequence[str]], bool],
) -> Iterator[Tested]:
    """Test one contrast on everything it names.

    Args:
        contrast: The question.
        selector: Finds its arms.
        frame: Gives probe scores where the population asks for them.
        answers: Judged answers of a stress test, by arm.
        alpha: Level; intervals are two-sided at 1 - alpha.
        registered: Whether it was asked of some arms (ids) before there were data.
    """
    if contrast.kind.rules.about is Subject.ANSWERS:
        empty = Chosen(behavior=contrast.prompts or JAILBREAK, split=ANSWERS)
        asked = Answered(
            contrast=contrast,
            selector=selector,
            arms=answers,
            level=1 - alpha,
            row=_blank(contrast, empty, registered=False),
        )
        for tested in infer_answers(asked):
            arms = tested.row.arms or tuple(s.head.arm_id for s in answers)
            yield replace(tested, row=_filed(tested.row, registered=registered(arms)))
        return
    for chosen in selector.choose(contrast):
        mine = registered([e.arm_id for e in chosen.arms])
        row = _blank(contrast, chosen, registered=mine)
        if chosen.problem is not None:
            yield Tested(row=replace(row, status="missing", notes=(chosen.problem,)))
            continue
        ask = Ask(contrast=contrast, chosen=chosen, frame=frame, level=1 - alpha, row=row)
        yield TESTS[contrast.kind](ask)


def _filed(row: Inference, *, registered: bool) -> Inference:
    family = Family.PRIMARY if registered else Family.EXPLORATORY
    return replace(row, registered=registered, family=family)


def _blank(contrast: Contrast, chosen: Chosen, *, registered: bool) -> Inference:
    arms = chosen.arms
    return Inference(
        contrast_id=contrast.id,
        claim=contrast.claim,
        kind=contrast.kind,
        behavior=chosen.behavior,
        split=chosen.split,
        population=contrast.population,
        family=Family.PRIMARY if registered else Family.EXPLORATORY,
        alternative=str(contrast.alternative),
        registered=registered,
        arm_a=arms[0].label if arms else "",
        arm_b=arms[-1].label if len(arms) > 1 else "",
        arms=tuple(e.arm_id for e in arms),
        sesoi=contrast.sesoi,
    )
