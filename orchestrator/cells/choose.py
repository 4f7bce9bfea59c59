"""Which arms a contrast compares, by their settings alone: before there are results, and after.

The plan and the analysis both ask here, so that they name the same arms and the same reasons. Arms
are compared only where the settings agree that the contrast does not vary itself.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from orchestrator.cells.facts import Facts, facts
from orchestrator.cells.settings import (
    IMPLIED,
    differing,
    disagreements,
    settings,
    value_text,
)
from orchestrator.config.contrast_kinds import Compared, Subject
from orchestrator.config.contrasts import Contrast, Fields, describe, matches, step_of
from orchestrator.config.fields import OF_MOMENTS, OF_PROMPTS, STEP
from tasks.contract.cell import CellSpec, Condition
from tasks.contract.measures import MEASURED

FEWEST_DOSES = 3
AT = "@"
"""Between the id of an arm and the step of a moment, while arms are chosen."""
AGAINST = " vs "
"""Joins two behaviours that a row compares."""
NO_BEHAVIOR = ""
"""Stands for the behaviour of a contrast where nothing is scored on its split."""
NO_SEEDS = "the untrained model has no seeds; compare an arm with it by kind: one_sample"
UNTRAINED: Fields = (("condition", str(Condition.BASELINE)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """An arm as far as choosing needs it.

    Attributes:
        arm_id: Its id.
        facts: Its settings under the names of a sweep file.
        cells: Ids of its trained cells, in the order of the file; empty where nobody asks for them.
        steps: Optimizer steps before the last one after which it is scored, too.
    """

    arm_id: str
    facts: Facts
    cells: tuple[str, ...] = ()
    steps: tuple[int, ...] = ()


def arms_of(specs: Iterable[CellSpec]) -> list[Arm]:
    """The arms of planned cells, in order, the untrained ones among them."""
    found: dict[str, Arm] = {}
    for spec in specs:
        arm = found.get(spec.arm_id) or Arm(
            arm_id=spec.arm_id, facts=facts(asdict(spec)), steps=spec.eval_steps
        )
        cells = (spec.cell_id,) if spec.condition.trains else ()
        found[spec.arm_id] = replace(arm, cells=(*arm.cells, *cells))
    return [*found.values()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Arms that a contrast compares.

    Attributes:
        arms: Ids: one, two (a, b), the doses in ascending order, the doses and b, all, or four
            (a, b at the first value of `between`, then at the second).
        steps: Of each arm, the optimizer step after which it is looked at; None: at the end.
        doses: Values along the axis, one a dose; empty without an axis.
        which: Settings that tell it from the contrast's other choices; empty where there is one.
        problem: Why there is nothing to test; then arms may be missing.
    """

    arms: tuple[str, ...] = ()
    steps: tuple[int | None, ...] = ()
    doses: tuple[float, ...] = ()
    which: str = ""
    problem: str | None = None


Found = tuple[Facts, Choice]
"""A choice, and the settings that name it."""


def choose(contrast: Contrast, arms: Sequence[Arm], among: str) -> list[Choice]:
    """All choices of a contrast, at least one.

    Args:
        contrast: The question.
        arms: What there is to choose from.
        among: What the arms are, for reasons, e.g. `scored cell`.
    """
    named = {*contrast.a, *(contrast.b or ())}
    if contrast.kind.rules.about is Subject.SCORES and UNTRAINED[0] in named:
        return [Choice(problem=NO_SEEDS)]
    if contrast.within:
        arms = [moment for arm in arms for moment in _moments(arm)]
        # what only b names of a moment holds for a as well; the other way round arms agree in it
        its_own = {name for name, _ in contrast.a}.union([contrast.over]) & {*OF_MOMENTS}
        shared = () if its_own else (p for p in contrast.b or () if p[0] in OF_MOMENTS)
        contrast = replace(contrast, a=(*contrast.a, *shared))
    firsts = [arm for arm in arms if matches(contrast.a, arm.facts)]
    if not firsts:
        has = f" has {describe(contrast.a)}" if contrast.a else ""
        return [Choice(problem=f"no {among}{has}")]
    found = [*_CHOOSERS[contrast.kind.rules.compares](contrast, firsts, arms, among)]
    names = differing((facts for facts, _ in found), but=frozenset())
    texts = [settings(facts, names) for facts, _ in found]
    return [  # arms of the same settings, whose texts have other contents, are told apart by id
        _in_their_names(
            replace(choice, which=text if texts.count(text) < 2 else f"{text} {choice.arms[0][:8]}")
        )
        for text, (_, choice) in zip(texts, found, strict=True)
    ]


def _moments(arm: Arm) -> Iterator[Arm]:
    """The arm as it is after each step at which it is scored; the untrained one has no moments."""
    if "train.epochs" not in arm.facts:
        return
    last = step_of(arm.facts["train.epochs"], arm.facts)
    for step in (*arm.steps, last):
        name = f"{arm.arm_id}{AT}{'' if step == last else step}"
        yield replace(arm, arm_id=name, facts={**arm.facts, STEP: step})


def _in_their_names(choice: Choice) -> Choice:
    """A choice with the ids that its arms have, and their moments beside them."""
    parts = [arm.partition(AT) for arm in choice.arms]
    return replace(
        choice,
        arms=tuple(arm for arm, _, _ in parts),
        steps=tuple(int(step) if step else None for _, _, step in parts),
    )


def parts(contrast: Contrast, behaviors: Sequence[str]) -> list[tuple[str, ...]]:
    """What a contrast has a row for: each behaviour, or the two that it compares.

    Args:
        contrast: The question.
        behaviors: Those that are scored on its split.
    """
    if contrast.kind.rules.compares is Compared.BEHAVIORS and contrast.between:
        return [contrast.between[1]]
    return [(b,) for b in contrast.behaviors or behaviors or (NO_BEHAVIOR,)]


def planned(contrast: Contrast, arms: Sequence[Arm]) -> Iterator[tuple[str, Choice]]:
    """(behaviour, what the contrast compares on it) of arms that are planned.

    For a contrast on answers the behaviour is empty.
    """
    if contrast.kind.rules.about is Subject.ANSWERS:
        yield from ((NO_BEHAVIOR, choice) for choice in choose(contrast, arms, "planned cell"))
        return
    heldout = [a for a in arms if a.facts["probes.heldout"] > 0]
    split = contrast.split or ("heldout" if heldout else "train")
    scored = heldout if split == "heldout" else arms
    behaviors = sorted({b for a in scored for b in a.facts["probes.evaluate"]})
    for part in parts(contrast, behaviors):
        behavior = AGAINST.join(part)
        mine = [a for a in scored if {*part} <= {*a.facts["probes.evaluate"]} | MEASURED.keys()]
        if not mine:
            yield behavior, Choice(problem=unscored(behavior, split))
            continue
        yield from ((behavior, choice) for choice in choose(contrast, mine, "planned cell"))


def unscored(behavior: str, split: str) -> str:
    """Why there is no arm to choose from."""
    return f"{behavior or 'nothing'} is not scored on the {split} split"


def varied(contrast: Contrast) -> set[str]:
    """Fields to which a and b give different values, and the axis of the doses."""
    b = dict(contrast.b or ())
    axis = {contrast.over} if contrast.over else set()
    return axis | {name for name, value in contrast.a if name in b and b[name] != value}


def _pairs(
    contrast: Contrast, firsts: Sequence[Arm], arms: Sequence[Arm], among: str
) -> Iterator[Found]:
    """Each arm that fits a, with the one that fits b; without b, its untrained model."""
    wanted = contrast.b or UNTRAINED
    others = [arm for arm in arms if matches(wanted, arm.facts)]
    for a in firsts:
        found, problem = partner(a, others, wanted, varied(contrast), among)
        seconds = (found.arm_id,) if found else ()
        yield a.facts, Choice(arms=(a.arm_id, *seconds), problem=problem)


def partner(
    a: Arm, others: Sequence[Arm], wanted: Fields, free: set[str], among: str
) -> tuple[Arm | None, str | None]:
    """The one arm that a is compared with, or why there is none.

    Args:
        a: The arm.
        others: Those that have the fields `wanted`.
        wanted: For the reason.
        free: Settings in which they may differ.
        among: As in `choose`.
    """
    if not others:
        return None, f"no {among} has {describe(wanted)}"
    itself = bool(free.intersection(OF_PROMPTS))  # other answers of the same arm
    apart = [(disagreements(a.facts, b.facts, free), b) for b in others if b is not a or itself]
    fitting = [b for names, b in apart if not names]
    if len(fitting) == 1:
        return fitting[0], None
    if fitting:
        names = sorted(differing((b.facts for b in fitting), but=frozenset()))
        return None, f"{len(fitting)} arms have {describe(wanted)}; name {' or '.join(names)}"
    if not apart:
        return None, "a and b name the same arm"
    nearest = min((names for names, _ in apart), key=lambda names: (len(names), names))
    same = " ".join(f"{n}={value_text(a.facts[n])}" for n in nearest)
    return None, f"no {among} has {describe(wanted)} with a's {same}"


def _single(_: Contrast, firsts: Sequence[Arm], *__: Any) -> Iterator[Found]:
    for a in firsts:
        yield a.facts, Choice(arms=(a.arm_id,))


def _all(_: Contrast, firsts: Sequence[Arm], *__: Any) -> Iterator[Found]:
    yield {}, Choice(arms=tuple(a.arm_id for a in firsts))


def dose_of(arm: Arm, axis: str) -> float | None:
    """Its value along an axis; of a mix that takes all texts, how many those are."""
    value = arm.facts.get(axis)
    if axis == "data.size" and value is None:
        value = arm.facts.get("sft_records")
    return None if value is None else float(value)


def _doses(
    contrast: Contrast, firsts: Sequence[Arm], arms: Sequence[Arm], _: str
) -> Iterator[Found]:
    """Arms that fit a and differ along one axis only; SFT alone is weight 0 of a hinge."""
    axis = str(contrast.over)
    for rest, group in _along(contrast, firsts):
        if axis == "rho_weight" and 0.0 not in group and Condition(rest["condition"]).has_sft:
            plain = [a for a in arms if a.facts["condition"] == Condition.SFT_ONLY]
            if zero := [a for a in plain if not disagreements(rest, a.facts)]:
                group[0.0] = zero
        yield rest, _in_order(group, axis, FEWEST_DOSES)


def _best(
    contrast: Contrast, firsts: Sequence[Arm], arms: Sequence[Arm], among: str
) -> Iterator[Found]:
    """Arms that fit a and differ along one axis only, and behind them the one that fits b.

    A dose that b names is what the others are compared with, and none of them.
    """
    axis, wanted = str(contrast.over), contrast.b or ()
    others = [arm for arm in arms if matches(wanted, arm.facts)]
    for rest, group in _along(contrast, [arm for arm in firsts if arm not in others] or firsts):
        choice = _in_order(group, axis, 2)
        first = next(iter(group.values()), [Arm(arm_id="", facts=rest)])[0]
        found, problem = partner(first, others, wanted, varied(contrast), among)
        seconds = (found.arm_id,) if found else ()
        problem = choice.problem or problem
        yield rest, replace(choice, arms=(*choice.arms, *seconds), problem=problem)


def _along(contrast: Contrast, firsts: Sequence[Arm]) -> list[tuple[Facts, dict[float, list[Arm]]]]:
    """Groups of arms that differ along the contrast's axis only, by their value on it.

    Their facts are those that the axis leaves alone. A group has no doses where its arms have none.
    """
    axis = str(contrast.over)
    free = {axis} | IMPLIED.get(axis, frozenset())
    groups: dict[tuple[Any, ...], dict[float, list[Arm]]] = defaultdict(lambda: defaultdict(list))
    for arm in firsts:
        rest = tuple(sorted((n, v) for n, v in arm.facts.items() if n not in free))
        group = groups[rest]
        if (dose := dose_of(arm, axis)) is not None:
            group[dose].append(arm)
    return [(dict(rest), group) for rest, group in groups.items()]


def _in_order(group: Mapping[float, Sequence[Arm]], axis: str, fewest: int) -> Choice:
    """The doses in ascending order: at least `fewest`, and one arm at each."""
    ordered = sorted(group)
    problem = None
    if twice := [d for d in ordered if len(group[d]) > 1]:
        problem = f"{len(group[twice[0]])} arms have {axis}={twice[0]:g}"
    elif len(ordered) < fewest:
        problem = f"needs {fewest} doses along {axis}, has {len(ordered)}"
    arms = tuple(group[d][0].arm_id for d in ordered)
    return Choice(arms=arms, doses=tuple(ordered), problem=problem)


def _four(
    contrast: Contrast, firsts: Sequence[Arm], arms: Sequence[Arm], among: str
) -> Iterator[Found]:
    """Each a with its b at the first value of `between`, and the same two at the second."""
    field, (one, two) = contrast.between or ("", ("", ""))
    first, second = ((field, one),), ((field, two),)
    b = contrast.b or ()
    bs = [a for a in arms if matches(b, a.facts)]
    free = varied(contrast)
    starts = [a for a in firsts if matches(first, a.facts)]
    if not starts:
        yield {}, Choice(problem=f"no {among} has {describe((*contrast.a, *first))}")
    for start in starts:
        corners, problems = [start], []
        for fields, candidates, place, allowed in (
            (b, bs, first, free),
            (contrast.a, firsts, second, {field}),
            (b, bs, second, free | {field}),
        ):
            fitting = [a for a in candidates if matches(place, a.facts)]
            found, reason = partner(start, fitting, (*fields, *place), allowed, among)
            corners += [found] if found else []
            problems += [reason] if reason else []
        found_ids = [c.arm_id for c in corners]
        fewest = 2 if free.intersection(OF_PROMPTS) else 4
        if not problems and len({*found_ids}) < fewest:
            problems = [f"{field} makes no other arm of {describe(b)}; ask mean_diff of a"]
        arms_found = tuple(dict.fromkeys(found_ids) if problems else found_ids)
        yield start.facts, Choice(arms=arms_found, problem=next(iter(problems), None))


def _on_two_behaviors(contrast: Contrast, *rest: Any) -> Iterator[Found]:
    return _single(contrast, *rest) if contrast.b is None else _pairs(contrast, *rest)


_CHOOSERS: Mapping[Compared, Callable[..., Iterator[Found]]] = {
    Compared.PAIR: _pairs,
    Compared.PAIR_OR_BASELINE: _pairs,
    Compared.ONE: _single,
    Compared.DOSES: _doses,
    Compared.BEST: _best,
    Compared.TWO_PAIRS: _four,
    Compared.BEHAVIORS: _on_two_behaviors,
    Compared.ALL: _all,
}
