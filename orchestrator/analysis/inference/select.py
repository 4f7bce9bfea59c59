"""The arms that a contrast compares, with their evidence."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

from orchestrator.analysis.evidence.arms import OWN_ZERO, ArmEvidence, relative
from orchestrator.analysis.evidence.refusals import Stressed
from orchestrator.analysis.inference.question import Chosen, Study
from orchestrator.analysis.inference.record import ANSWERS
from orchestrator.cells.choose import AGAINST, choose, parts, unscored
from orchestrator.config.contrast_kinds import Subject
from orchestrator.config.fields import OF_PROMPTS, OF_THE_BASELINE

NO_ANSWERS = "no judged answers; make some with: rho-sweep stress"
SHARES = "shares refused themselves: the arms have different untrained models"


def chosen(study: Study) -> Iterator[Chosen]:
    """Everything that a contrast compares; one row comes of each."""
    about_scores = study.contrast.kind.rules.about is Subject.SCORES
    return _of_scores(study) if about_scores else _of_answers(study)


def split_of(study: Study) -> str:
    """The split that a contrast is about."""
    if study.contrast.kind.rules.about is Subject.ANSWERS:
        return ANSWERS
    return study.contrast.split or next(iter(study.selector.splits), "heldout")


def _of_scores(study: Study) -> Iterator[Chosen]:
    """Among the arms scored on each behaviour that the contrast names, or on all."""
    selector, contrast, split = study.selector, study.contrast, split_of(study)
    for part in parts(contrast, selector.behaviors(split)):
        pool = selector.moments if contrast.within else selector.scored
        scores = [{(e.arm_id, e.step): e for e in pool(b, split)} for b in part]
        common = [key for key in scores[0] if all(key in found for found in scores)]
        scored = [arm for arm, step in common if step is None]
        behavior = AGAINST.join(part)
        place: dict[str, Any] = {"behavior": behavior, "split": split}
        if not scored:
            problem = unscored(behavior, split)
            if contrast.within and selector.scored(part[0], split):
                problem = "nothing was scored within a training; see train.eval_at"
            yield Chosen(problem=problem, **place)
            continue
        steps = defaultdict(list)
        for arm, step in common:
            if step is not None:
                steps[arm].append(step)
        arms_there = [study.arm(arm, steps[arm]) for arm in scored]
        for choice in choose(contrast, arms_there, "scored cell"):
            arms = [
                found[key]
                for found in scores
                for key in zip(choice.arms, choice.steps, strict=True)
            ]
            own_zeros = _differ(study, arms) if choice.problem is None else False
            yield Chosen(
                arms=tuple(relative(e) if own_zeros else e for e in arms),
                doses=choice.doses,
                which=choice.which,
                problem=choice.problem or (_without_baseline(arms) if own_zeros else None),
                notes=(OWN_ZERO,) if own_zeros else (),
                **place,
            )


def _differ(study: Study, arms: Sequence[ArmEvidence]) -> bool:
    """Whether arms have different untrained models, because of settings of theirs."""
    facts = [study.selector.facts(e.arm_id) for e in arms]
    return len({e.baseline_key for e in arms}) > 1 and any(
        len({f.get(name) for f in facts}) > 1 for name in OF_THE_BASELINE
    )


def _without_baseline(arms: Sequence[ArmEvidence]) -> str | None:
    lacking = [e.label for e in arms if e.baseline is None]
    return f"no score of the untrained model of {', '.join(lacking)}" if lacking else None


def _of_answers(study: Study) -> Iterator[Chosen]:
    """Among the arms with answers to the contrast's prompts."""
    place: dict[str, Any] = {"behavior": study.prompts, "split": ANSWERS}
    if not study.answers:
        yield Chosen(problem=NO_ANSWERS, **place)
        return
    answering = {s.head.arm_id: s for s in study.answers if s.sets[study.prompts].n}
    among = f"arm with answers to {study.prompts} prompts"
    for choice in choose(study.contrast, [*map(study.arm, answering)], among):
        several = len({answering[i].head.baseline_key for i in choice.arms}) > 1
        answers = _asked(study, [answering[i] for i in choice.arms])
        silent = [s.head.arm for s in answers if not s.sets[study.prompts].n]
        none = f"no answers of {', '.join(silent)} to such prompts" if silent else None
        yield Chosen(
            answers=tuple(answers),
            which=choice.which,
            problem=choice.problem or none,
            notes=(SHARES,) if several and study.contrast.b else (),
            **place,
        )


def _asked(study: Study, arms: Sequence[Stressed]) -> list[Stressed]:
    """The arms with the answers that the contrast is about: by frame and category of the prompt.

    What only one of a and b names holds for both.
    """
    contrast = study.contrast
    a, b = ({n: v for n, v in arm or () if n in OF_PROMPTS} for arm in (contrast.a, contrast.b))
    wanted = [b | a, a | b]
    frames = {w.get("frame") for w in wanted}
    return [
        arm.only(w.get("frame"), w.get("category"), by_request=len(frames) > 1)
        for arm, w in zip(arms, cycle(wanted), strict=False)
    ]
