"""Contrasts of effects: between two settings, between two behaviours, and the best of several."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.evidence.comparison import Comparison, compare, paired_differences
from orchestrator.analysis.inference.means import compared, directed, tested
from orchestrator.analysis.inference.question import Ask, Procedure, Tested, claimed
from orchestrator.config.contrast_kinds import Kind
from orchestrator.stats import means
from orchestrator.stats.beside.designs import MeanDesign
from orchestrator.stats.means import MeanTest
from orchestrator.stats.records import Alternative, State, Summary, state_of
from orchestrator.stats.verdict import OPPOSITE

EFFECT = "effect"
"""Baseline key of evidence whose scores are effects, not rho."""


def difference_of_effects(ask: Ask) -> Tested:
    """(a - b) at the first value minus (a - b) at the second, nats per token.

    Paired over seeds as far as pairing is earned: all four arms, or each two of them; else the
    four means are taken as independent.
    """
    middle = len(ask.chosen.arms) // 2
    first, second = ask.chosen.arms[:middle], ask.chosen.arms[middle:]
    row = replace(ask.row, arm_a=_label(first), arm_b=_label(second))
    alternative = ask.contrast.alternative
    pairings = [(first, second)]
    if middle == 2:  # the same number: (a1 - b1) - (a2 - b2) = (a1 - a2) - (b1 - b2)
        pairings.append(((first[0], second[0]), (first[1], second[1])))
    for one, other in pairings:
        a, b = _effect(one), _effect(other)
        if a.scores and b.scores:
            found = compare(a, b, alternative=alternative, alpha=ask.study.alpha)
            return directed(compared(row, found), found.test, found.design, alternative)
    test = _of_means((*first, *second), alternative, ask.level)
    reason = compare(first[0], first[1]).reason if middle == 2 else None
    row = replace(tested(row, test), pairing_reason=reason)
    known = [arm.score for arm in (*first, *second) if arm.score and arm.score.sd is not None]
    design = None
    if test.se is not None:
        design = MeanDesign(ns=tuple(s.n for s in known), sds=tuple(s.sd or 0.0 for s in known))
    return directed(row, test, design, alternative)


def _label(arms: Sequence[ArmEvidence]) -> str:
    """e.g. `rho-guided w=0.2 m=0.1 minus sft-only`."""
    return " minus ".join(arm.label for arm in arms)


def _effect(arms: Sequence[ArmEvidence]) -> ArmEvidence:
    """An arm whose scores are the differences of paired seeds; of one arm, its deltas."""
    return effect_of(arms[0], paired_differences(*arms) if len(arms) == 2 else arms[0].deltas)


def effect_of(arm: ArmEvidence, scores: Mapping[int, float]) -> ArmEvidence:
    """An arm with effects, by seed, in place of its scores."""
    return replace(
        arm,
        behavior="",
        scores=scores,
        score=Summary.of([*scores.values()]) if scores else None,
        delta=None,
        baseline=None,
        baseline_key=EFFECT,
    )


def _of_means(arms: Sequence[ArmEvidence], alternative: Alternative, level: float) -> MeanTest:
    """The sum of independent means with the signs + - - +, by Welch and Satterthwaite."""
    known = [arm.score for arm in arms if arm.score is not None]
    if len(known) < 4:
        ns = [arm.n for arm in arms]
        state = State.INSUFFICIENT_N
        return MeanTest(test="welch", state=state, n_a=ns[0], n_b=ns[-1], diff=None)
    test = MeanTest(
        test="welch_four_means",
        state=state_of(*known),
        n_a=known[0].n + known[1].n,
        n_b=known[2].n + known[3].n,
        diff=sum(sign * s.mean for sign, s in zip((1, -1, -1, 1), known, strict=True)),
    )
    if test.state is not State.OK:
        return test
    se, df = means.satterthwaite([(means.variance_of_mean(s), s.n - 1) for s in known])
    return means.tested(test, se, df, alternative, level)


def best_dose(ask: Ask) -> Tested:
    """The dose whose mean lies furthest from b in the claimed direction, tested as one of several.

    Its p is that of one comparison times the number of doses, and its interval holds for all
    doses at once, so that both allow for the choice. Every dose must speak for the opposite before
    the claim is contradicted.
    """
    *arms, b = ask.chosen.arms
    alternative, doses = ask.contrast.alternative, ask.chosen.doses

    def against(arm: ArmEvidence, direction: Alternative) -> Comparison:
        return compare(arm, b, alternative=direction, alpha=ask.study.alpha / len(arms))

    found = [against(arm, alternative) for arm in arms]
    known = [i for i, one in enumerate(found) if one.test.p is not None]
    if not known:
        return Tested(row=tested(ask.row, found[0].test))
    best = max(known, key=lambda i: claimed(found[i].test.diff or 0.0, alternative))
    chosen = found[best]
    row = tested(replace(ask.row, arm_a=arms[best].label, arm_b=b.label), chosen.test)
    row = replace(
        row,
        n_a=chosen.n_a,
        n_b=chosen.n_b,
        n_pairs=chosen.n_pairs,
        pairing=chosen.pairing,
        pairing_reason=chosen.reason,
        test=f"{chosen.test.test}_bonferroni",
        p=min(1.0, len(arms) * (chosen.test.p or 0.0)),
        notes=(
            f"the best of {len(arms)} doses is {ask.contrast.over}={doses[best]:g}; its estimate "
            "is optimistic, interval and p allow for the choice",
        ),
    )
    found_alone = directed(row, chosen.test, chosen.design, alternative)
    outlook = found_alone.outlook and replace(found_alone.outlook, tests=len(arms))
    if alternative is Alternative.TWO_SIDED or len(known) < len(arms):
        return Tested(row=row, outlook=outlook)
    reverse = [against(arm, OPPOSITE[alternative]).test.p or 0.0 for arm in arms]
    return Tested(row=row, p_opposite=max(reverse), outlook=outlook)


PROCEDURES: Mapping[Kind, Procedure] = {
    Kind.BEST_OF: best_dose,
    Kind.INTERACTION: difference_of_effects,
    Kind.BETWEEN_BEHAVIORS: difference_of_effects,
}
