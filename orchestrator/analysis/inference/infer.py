"""Each contrast tested as its kind asks, before any adjustment for the others."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from orchestrator.analysis.evidence.comparison import PAIRED
from orchestrator.analysis.inference import answers, doses, effects, means, select
from orchestrator.analysis.inference.question import Ask, Chosen, Procedure, Study, Tested
from orchestrator.analysis.inference.record import LOST, PAIRED_ON, Family, Inference
from orchestrator.analysis.inference.sequential import at_any_time
from orchestrator.cells.choose import AGAINST, varied
from orchestrator.cells.settings import disagreements
from orchestrator.config.contrast_kinds import Compared, Kind, Population, Subject
from orchestrator.config.contrasts import concerns
from orchestrator.results.registration import Planned
from orchestrator.stats.records import Alternative, State

Label = TypeVar("Label", Alternative, Population)

PROCEDURES: Mapping[Kind, Procedure] = {
    **means.PROCEDURES,
    **doses.PROCEDURES,
    **effects.PROCEDURES,
    **answers.PROCEDURES,
}
"""How each kind is computed; `Kind` has what is declared of it."""
if missing := set(Kind) - set(PROCEDURES):
    raise ImportError(f"kinds of contrast that are declared and not computed: {sorted(missing)}")


def infer(study: Study, *, registered: Callable[[Sequence[str]], bool]) -> Iterator[Tested]:
    """Test one contrast on everything it names.

    Args:
        study: The contrast, and the results it is asked of.
        registered: Whether it was asked of some arms (ids) before there were data.
    """
    kind = study.contrast.kind
    for chosen in select.chosen(study):
        row = _blank(study, chosen)
        arms = row.arms
        if kind.rules.about is Subject.ANSWERS and not arms:
            arms = tuple(s.head.arm_id for s in study.answers)
        if registered(arms):
            row = replace(row, registered=True, family=Family.PRIMARY)
        if chosen.problem is not None:
            yield Tested(row=replace(row, status="missing", notes=(chosen.problem,)))
        else:
            ask = Ask(study=study, chosen=chosen, row=row)
            found = PROCEDURES[kind](ask)
            if study.places is not None:
                found = at_any_time(ask, found)
            notes = (*chosen.notes, *found.row.notes, *_untested(found.row))
            notes += tuple(_losses(study, chosen, found.row))
            yield replace(found, row=replace(found.row, notes=notes))


def absent(study: Study, one: Planned, behavior: str, why: Sequence[str]) -> Tested:
    """The row of a comparison that was planned, and of which there is no score."""
    behavior = behavior or study.prompts
    blank = Chosen(behavior=behavior, split=select.split_of(study), which=one.which)
    row = replace(_blank(study, blank), status="missing", arms=one.arms, notes=tuple(why))
    return Tested(row=row)


def _untested(row: Inference) -> Iterator[str]:
    """Why there is no test, where the row has no other reason for it."""
    if row.p is None and row.status == State.ZERO_VARIANCE:
        yield "nothing varies over seeds that chance could be measured by"
    elif row.p is None and row.status == State.INSUFFICIENT_N and not row.notes:
        yield "too few seeds for a test"


def _losses(study: Study, chosen: Chosen, row: Inference) -> Iterator[str]:
    """Notes on seeds that a row's arms were meant to have and its test does not use."""
    arms = {(arm.arm_id, arm.behavior): arm for arm in chosen.arms}  # several moments of one
    lost = dict.fromkeys(text for arm in arms.values() if (text := study.frame.losses(arm)))
    if study.contrast.kind.rules.takes_all:
        lost |= dict.fromkeys(_wholly_lost(study, chosen))
    if lost:
        yield f"{LOST}{', '.join(lost)}"
    most = max(row.n_a or 0, row.n_b or 0)
    if row.pairing == PAIRED and row.n_pairs is not None and row.n_pairs < most:
        yield f"{PAIRED_ON}{row.n_pairs} of {row.n_a} and {row.n_b} seeds"


def _wholly_lost(study: Study, chosen: Chosen) -> Iterator[str]:
    """Arms that would be among those compared, e.g. a dose, and of which no cell has a score."""
    contrast = study.contrast
    named = [e.arm_id for e in chosen.arms] or [s.head.arm_id for s in chosen.answers]
    for facts, text in study.frame.lost_arms:
        alike = contrast.kind.rules.compares is Compared.ALL or not disagreements(
            facts, study.selector.facts(named[0]), varied(contrast)
        )
        if alike and concerns(contrast, facts):
            yield text


def _blank(study: Study, chosen: Chosen) -> Inference:
    """A row of a contrast that was not registered, without numbers."""
    contrast = study.contrast
    labels = [e.label for e in chosen.arms]
    if contrast.kind.rules.compares is not Compared.ALL:
        labels += [s.head.arm for s in chosen.answers]
    return Inference(
        contrast_id=contrast.id,
        which=chosen.which,
        claim=contrast.claim,
        kind=contrast.kind,
        behavior=chosen.behavior,
        split=chosen.split,
        population=_known(contrast.population, contrast.kind.rules.populations),
        family=Family.EXPLORATORY,
        alternative=str(_known(contrast.alternative, contrast.kind.rules.alternatives)),
        registered=False,
        arm_a=labels[0] if labels else "",
        arm_b=labels[-1] if len(labels) > 1 else "",
        arms=tuple(  # an arm on two behaviours, or in two frames, is one arm
            dict.fromkeys(
                (*(e.arm_id for e in chosen.arms), *(s.head.arm_id for s in chosen.answers))
            )
        ),
        sesoi=contrast.sesoi,
        imported=not study.frame.imported.isdisjoint(chosen.behavior.split(AGAINST)),
    )


def _known(asked: Label, computed: frozenset[Label]) -> Label:
    """What was asked, or of a contrast that was registered before it was refused, what is computed.

    The first by definition order: greater before less, new seeds before both.
    """
    return asked if asked in computed else next(m for m in type(asked) if m in computed)
