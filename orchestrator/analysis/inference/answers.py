"""Contrasts on generated answers: shares refused, and how they go with refusal rho."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import count

import numpy as np

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.evidence.comparison import (
    PAIRED,
    compare,
    paired_seeds,
    unpaired_reason,
)
from orchestrator.analysis.evidence.frame import Floats
from orchestrator.analysis.evidence.refusals import Answers, Stressed
from orchestrator.analysis.inference.effects import effect_of
from orchestrator.analysis.inference.means import compared, directed
from orchestrator.analysis.inference.question import (
    Ask,
    Procedure,
    Tested,
    claimed,
    interval_fields,
)
from orchestrator.analysis.inference.record import Inference
from orchestrator.config.contrast_kinds import Kind, Population
from orchestrator.stats.beside.counted_designs import McNemarDesign
from orchestrator.stats.beside.designs import CrossedDesign, Outlook
from orchestrator.stats.crossed import MIN_N, crossed
from orchestrator.stats.exact import min_orders_p
from orchestrator.stats.proportions import cochran_q, mcnemar
from orchestrator.stats.rank import rank_correlation
from orchestrator.stats.records import Alternative, State
from orchestrator.stats.verdict import OPPOSITE
from tasks.contract.cell import Condition

REFUSAL = "refusal"
NO_COMMON_PROMPT = (
    "no prompt was judged in both; prompts of two frames are one request where their ids differ "
    "in the frame only"
)


def share_difference(asked: Ask) -> Tested:
    """Of prompts that both answered, by paired seeds; the untrained model is one for all."""
    a, b = asked.chosen.answers
    row, part = asked.row, asked.study.prompts
    one, other = a.sets[part], b.sets[part]
    fixed = b.head.condition is Condition.BASELINE
    seeds = _seeds(asked, a, b, fixed=fixed)
    prompts = sorted(set(one.complete()) & set(other.complete()))
    row = replace(row, n_a=len(one.seeds), n_b=len(other.seeds), n_probes=len(prompts))
    if isinstance(seeds, str):
        return Tested(row=replace(row, status="unpaired", pairing_reason=seeds, notes=(seeds,)))
    if not prompts:
        return Tested(row=replace(row, status="missing", notes=(NO_COMMON_PROMPT,)))
    pairing = "fixed_baseline" if fixed else PAIRED
    row = replace(row, n_pairs=len(seeds), pairing=pairing)
    base = other.rates(prompts)
    mine = one.rates(prompts)[[one.seeds.index(s) for s in seeds]]
    differences = mine - (base[:1] if fixed else base[[other.seeds.index(s) for s in seeds]])
    if len(seeds) == 1:
        return _one_seed(asked, row, one, other, differences[0])
    return _several_seeds(asked, row, differences)


def _seeds(asked: Ask, a: Stressed, b: Stressed, *, fixed: bool) -> tuple[int, ...] | str:
    """Seeds by whose answers the two arms may be compared, or why there are none."""
    one, other = a.sets[asked.study.prompts].seeds, b.sets[asked.study.prompts].seeds
    if fixed:
        return one
    if a.head.arm_id == b.head.arm_id:  # the same cells, asked in two ways
        return one
    common = set(one) & set(other)
    first, second = (
        asked.study.selector.head(a.head.arm_id),
        asked.study.selector.head(b.head.arm_id),
    )
    if len(one) == len(other) == 1:  # two models answer the same prompts; no seed is paired
        return one if one == other else "the arms have different seeds"
    paired = tuple(s for s in paired_seeds(first, second) if s in common)
    return paired or unpaired_reason(first, second) or "no paired seed has answers in both arms"


def share_interaction(asked: Ask) -> Tested:
    """(a - b) at the first value of `between` minus (a - b) at the second, of the same prompts.

    A cell's shares of all prompts are one number: the test is about new seeds. Seeds are paired as
    far as pairing is earned, which it never is between cells trained on other texts.
    """
    arms, part = asked.chosen.answers, asked.study.prompts
    prompts = sorted(set.intersection(*({*s.sets[part].complete()} for s in arms)))
    pairs = (arms[:2], arms[2:])
    labels = [" minus ".join(dict.fromkeys(s.head.arm for s in pair)) for pair in pairs]
    row = replace(asked.row, arm_a=labels[0], arm_b=labels[1], n_probes=len(prompts))
    found = [_seeds(asked, a, b, fixed=False) for a, b in pairs]
    reasons = [] if prompts else [NO_COMMON_PROMPT]
    if reasons := [*reasons, *(seeds for seeds in found if isinstance(seeds, str))]:
        return Tested(row=replace(row, status="missing", notes=(reasons[0],)))
    effects: list[ArmEvidence] = []
    for (a, b), seeds in zip(pairs, found, strict=True):
        shares = [
            dict(zip(s.sets[part].seeds, s.sets[part].rates(prompts).mean(axis=1), strict=True))
            for s in (a, b)
        ]
        scores = {int(seed): float(shares[0][int(seed)] - shares[1][int(seed)]) for seed in seeds}
        effects.append(effect_of(asked.study.selector.head(a.head.arm_id), scores))
    alternative = asked.contrast.alternative
    one, other = effects
    tested = compare(one, other, alternative=alternative, alpha=asked.study.alpha)
    row = replace(compared(row, tested), population=Population.NEW_SEEDS)
    return directed(row, tested.test, tested.design, alternative)


def _one_seed(
    asked: Ask, row: Inference, one: Answers, other: Answers, differences: Floats
) -> Tested:
    """McNemar's test over the prompts; `differences` is (prompts,), shares refused, a - b."""
    note = "one seed: about these weights, not the method"
    if not (one.one_each and other.one_each):
        reason = "several answers to a prompt need several seeds"
        diff = float(differences.mean())
        return Tested(row=replace(row, status="not_testable", estimate=diff, notes=(note, reason)))
    gain, loss = int((differences > 0).sum()), int((differences < 0).sum())
    alternative, n = asked.contrast.alternative, differences.size
    test = mcnemar(gain, loss, n, alternative, asked.level)
    row = replace(
        row,
        population=Population.NEW_PROBES,
        test="mcnemar_exact",
        estimate=test.diff,
        p=test.p,
        **interval_fields(test.interval),
        notes=(note, f"{gain} prompts only a refuses, {loss} only b"),
    )
    two_sided = alternative is Alternative.TWO_SIDED
    design = McNemarDesign(n=n, discordant=(gain + loss) / n, two_sided=two_sided)
    effect = claimed(test.diff, alternative)
    outlook = Outlook(design=design, effect=effect, counted="prompts")
    if two_sided:
        return Tested(row=row, outlook=outlook)
    other_way = mcnemar(gain, loss, n, OPPOSITE[alternative], asked.level)
    return Tested(row=row, p_opposite=other_way.p, outlook=outlook)


def _several_seeds(asked: Ask, row: Inference, differences: Floats) -> Tested:
    """Crossed seeds and prompts; `differences` is (seeds, prompts), shares refused, a minus b."""
    alternative = asked.contrast.alternative
    found = crossed(differences, alternative, asked.level)
    row = replace(
        row,
        population=Population.BOTH,
        test=f"crossed_{found.source}" if found.source else "crossed",
        status=str(found.state),
        estimate=found.mean,
        se=found.se,
        df=found.df,
        statistic=found.t,
        p=found.p,
        **interval_fields(found.both and found.both.within(-1, 1)),
        notes=(f"more {found.best_next} would help most",) if found.best_next else (),
    )
    if found.state is State.INSUFFICIENT_N:
        has = f"{found.n_seeds} and {found.n_probes}"
        row = replace(row, notes=(f"needs {MIN_N} seeds and {MIN_N} prompts, has {has}",))
    design = None if found.se is None else CrossedDesign.of(found)
    return directed(row, found.as_test(alternative, asked.level), design, alternative)


def omnibus(asked: Ask) -> Tested:
    """Cochran's Q over arms of one seed each: does any refuse unlike the others?"""
    arms = asked.chosen.answers
    answers = [s.sets[asked.study.prompts] for s in arms]
    row = replace(asked.row, population=Population.NEW_PROBES)
    if len(arms) < 2 or any(len(a.seeds) != 1 or not a.one_each for a in answers):
        reason = "needs two arms or more, one seed and one answer to a prompt each"
        return Tested(row=replace(row, status="not_testable", notes=(reason,)))
    prompts = sorted(set.intersection(*(set(a.complete()) for a in answers)))
    if not prompts:
        return Tested(row=replace(row, status="missing", notes=("no prompt was judged in all",)))
    found = cochran_q(np.array([a.rates(prompts)[0] for a in answers]).T)
    row = replace(
        row,
        test="cochran_q",
        status=str(found.state),
        statistic=found.q,
        df=found.df,
        p=found.p,
        n_probes=len(prompts),
        arm_a=arms[0].head.arm,
        arm_b=arms[-1].head.arm,
        notes=("one seed: about these weights, not the method",),
    )
    return Tested(row=row)


def correlation(asked: Ask) -> Tested:
    """Over arms: rank of their mean refusal rho with rank of their mean share refused.

    Cells of one arm are alike, so that orders of the arms are compared, never of the cells.
    """
    splits = asked.study.selector.splits
    split = asked.contrast.split or (splits[0] if splits else "heldout")
    rhos = asked.study.selector.scores(REFUSAL, split)
    means: list[tuple[float, float]] = []
    for s in asked.chosen.answers:
        answers, known = s.sets[asked.study.prompts], rhos.get(s.head.arm_id, {})
        cells: list[tuple[float, float]] = []
        for seed in answers.seeds:
            mine = [r for (of, _), r in answers.counts.items() if of == seed]
            judged = sum(r.judged for r in mine)
            if seed in known and judged:
                cells.append((known[seed], sum(r.refused for r in mine) / judged))
        if cells:
            means.append(
                (sum(c[0] for c in cells) / len(cells), sum(c[1] for c in cells) / len(cells))
            )
    about = f"{REFUSAL} rho ({split}), {asked.study.prompts}"
    row = replace(asked.row, behavior=about, n_a=len(means), arms=())
    if not means:
        reason = "no cell has both a refusal rho and judged answers"
        return Tested(row=replace(row, status="missing", notes=(reason,)))
    alternative, alpha = asked.contrast.alternative, asked.study.alpha
    least = min_orders_p(len(means), alternative)
    found = rank_correlation([m[0] for m in means], [m[1] for m in means], asked.level)
    row = replace(
        row,
        test="spearman_over_arms",
        status=str(found.state),
        estimate=found.rho,
        p_attainable_min=least,
        **interval_fields(found.interval),
        notes=("one point an arm: the means of its seeds",),
    )
    if least > alpha:
        enough = next(n for n in count(2) if min_orders_p(n, alternative) <= alpha)
        reason = (
            f"{len(means)} arms cannot go below p = {least:.2g}; "
            f"{enough} are the fewest for p <= {alpha:g}"
        )
        row = replace(row, status=str(State.INSUFFICIENT_N), notes=(*row.notes, reason))
        return Tested(row=row)
    p, p_opposite = _one_way(found.p, found.rho, alternative)
    return Tested(row=replace(row, p=p), p_opposite=p_opposite)


def _one_way(
    p: float | None, estimate: float | None, alternative: Alternative
) -> tuple[float | None, float | None]:
    """A two-sided p of a symmetric test as that of one direction, and of the other."""
    if p is None or estimate is None or alternative is Alternative.TWO_SIDED:
        return p, None
    right = (estimate > 0) == (alternative is Alternative.GREATER)
    one = p / 2 if right else 1 - p / 2
    return one, 1 - one


PROCEDURES: Mapping[Kind, Procedure] = {
    Kind.PROP_DIFF: share_difference,
    Kind.PROP_INTERACTION: share_interaction,
    Kind.OMNIBUS: omnibus,
    Kind.RANK_CORRELATION: correlation,
}
