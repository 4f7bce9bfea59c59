"""Two arms compared: by pairs of seeds only where the pairing keys match, else by Welch's test.

`Comparison.reason` says why arms are not paired.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.errors import UserError
from orchestrator.stats import effect, means
from orchestrator.stats.beside.designs import MeanDesign
from orchestrator.stats.effect import EffectSize
from orchestrator.stats.exact import (
    ExactTest,
    min_permutation_p,
    min_sign_flip_p,
    permutation,
    sign_flip,
)
from orchestrator.stats.means import MeanTest
from orchestrator.stats.records import (
    ALPHA,
    Alternative,
    State,
    Summary,
)

PAIRED = "paired"
UNPAIRED = "none"
DIGEST_SHOWN = 12
EXACT_LIMIT = 0.0625
"""An exact test whose smallest p lies above this, 5 pairs' two-sided one, is not printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The difference a - b of two arms on one behaviour and split, nats per token.

    Attributes:
        test: Paired t where the arms may be paired by seed, else Welch's.
        student: Pooled variance, unpaired and two-sided: as published tables have it.
        cohens_d: In the pooled sd between seeds, biased; as published tables have it.
        g: `cohens_d` without its bias.
        g_z: In the sd of the paired differences; None unless paired.
        exact: Sign-flip or permutation; None where only summaries are known. Its p is None where
            the design cannot reach a small one.
        p_attainable_min: Smallest p that the exact test of this design can have.
        pairing: `paired` or `none`; reason says why none.
        n_a, n_b: Seeds with a score. n_pairs: Pairs used; None unless paired.
        r_pair: Correlation within pairs.
        design: Of `test`, with the sds that were seen; None where there is no spread.
    """

    test: MeanTest
    student: MeanTest
    cohens_d: float | None
    g: EffectSize
    g_z: EffectSize | None
    exact: ExactTest | None
    p_attainable_min: float | None
    pairing: str
    reason: str | None
    n_a: int
    n_b: int
    n_pairs: int | None
    r_pair: float | None
    design: MeanDesign | None


def compare(
    a: ArmEvidence,
    b: ArmEvidence,
    alternative: Alternative = Alternative.TWO_SIDED,
    alpha: float = ALPHA,
) -> Comparison:
    """Test a - b. The baseline is the same constant in both, so that scores and deltas agree.

    Args:
        a: The first arm.
        b: The arm it is compared with.
        alternative: Of a - b.
        alpha: Intervals are two-sided at 1 - alpha.

    Raises:
        UserError: The arms have different baselines, and with them no common zero.
        ValueError: They are not of the same behaviour and split.
    """
    if (a.behavior, a.split) != (b.behavior, b.split):
        raise ValueError(f"{a.behavior} ({a.split}) and {b.behavior} ({b.split}) are no pair")
    if a.baseline_key != b.baseline_key:
        raise UserError(
            f"{a.label} and {b.label} have different baselines ({a.baseline_key} and "
            f"{b.baseline_key}): model, probes or max_length differ",
            "compare arms of one baseline",
        )
    # Both arms by their scores or both by their deltas: a - b of one of each has no meaning.
    one, two = a.delta, b.delta
    if a.scores and b.scores:
        one, two = (Summary.of(list(e.scores.values())) for e in (a, b))
    elif a.score is not None and b.score is not None:
        one, two = a.score, b.score
    if one is None or two is None:
        return _nothing(a, b, 1 - alpha)
    seeds, reason = _pairing(a, b)
    found = _unpaired(one, two, reason, alternative, alpha)
    if reason is None:
        pairs = [(a.scores[s], b.scores[s]) for s in seeds]
        return _paired(found, pairs, alternative, alpha)
    if not (a.scores and b.scores):
        return found
    exact = permutation(list(a.scores.values()), list(b.scores.values()), alternative)
    return replace(found, exact=_printable(exact))


def paired_seeds(a: ArmEvidence, b: ArmEvidence) -> tuple[int, ...]:
    """Seeds by which the arms may be paired, ascending; empty where they may not."""
    seeds, reason = _pairing(a, b)
    return seeds if reason is None else ()


def paired_differences(a: ArmEvidence, b: ArmEvidence) -> dict[int, float]:
    """Seed -> a - b, nats per token, of the seeds by which the arms may be paired."""
    return {s: a.scores[s] - b.scores[s] for s in paired_seeds(a, b)}


def unpaired_reason(a: ArmEvidence, b: ArmEvidence) -> str | None:
    """Why the arms may not be paired by seed; None where they may."""
    return _pairing(a, b)[1]


def _unpaired(
    a: Summary, b: Summary, reason: str | None, alternative: Alternative, alpha: float
) -> Comparison:
    """Two summaries by Welch's test; the exact test needs seeds and is left out."""
    design = None
    if a.sd is not None and b.sd is not None and (a.sd or b.sd):
        design = MeanDesign(ns=(a.n, b.n), sds=(a.sd, b.sd))
    level = 1 - alpha
    return Comparison(
        test=means.welch(a, b, alternative, level),
        student=means.student(a, b, level=level),
        cohens_d=effect.cohens_d(a, b),
        g=effect.hedges_g(a, b, level),
        g_z=None,
        exact=None,
        p_attainable_min=min_permutation_p(a.n, b.n, alternative),
        pairing=UNPAIRED,
        reason=reason,
        n_a=a.n,
        n_b=b.n,
        n_pairs=None,
        r_pair=None,
        design=design,
    )


def _paired(
    unpaired: Comparison,
    pairs: Sequence[tuple[float, float]],
    alternative: Alternative,
    alpha: float,
) -> Comparison:
    """The comparison with the tests of its pairs in place of the unpaired ones.

    Args:
        unpaired: The same two arms, not paired.
        pairs: Scores of a and of b, one pair a seed; at least two.
        alternative: Of a - b.
        alpha: As in `compare`.
    """
    level, n = 1 - alpha, len(pairs)
    left, right = zip(*pairs, strict=True)
    test = means.paired(left, right, alternative, level)
    differences = [x - y for x, y in pairs]
    design = None if test.se is None else MeanDesign(ns=(n,), sds=(test.se * sqrt(n),))
    return replace(
        unpaired,
        test=test,
        g_z=effect.g_z(differences, level),
        exact=_printable(sign_flip(differences, alternative)),
        p_attainable_min=min_sign_flip_p(n, alternative),
        pairing=PAIRED,
        n_pairs=n,
        r_pair=test.r_pair,
        design=design,
    )


def _nothing(a: ArmEvidence, b: ArmEvidence, level: float) -> Comparison:
    """The comparison of arms of which one has no score: no difference and no test."""
    state = State.INSUFFICIENT_N
    test = MeanTest(test="welch", state=state, n_a=a.n, n_b=b.n, diff=None)
    return Comparison(
        test=test,
        student=replace(test, test="student"),
        cohens_d=None,
        g=EffectSize(state=state, estimate=None, low=None, high=None, level=level),
        g_z=None,
        exact=None,
        p_attainable_min=None,
        pairing=UNPAIRED,
        reason=f"no score: {a.label if not a.n else b.label}",
        n_a=a.n,
        n_b=b.n,
        n_pairs=None,
        r_pair=None,
        design=None,
    )


def _pairing(a: ArmEvidence, b: ArmEvidence) -> tuple[tuple[int, ...], str | None]:
    """(seeds in common, why the arms may not be paired by them; None where they may)."""
    common = tuple(sorted(a.scores.keys() & b.scores.keys()))
    if not (a.scores and b.scores):
        return common, "only summaries are known"
    if not common:
        return common, "no seed in common"
    if reason := _batch_reason(a, b):
        return common, reason
    keyed = a.keys.keys() & b.keys.keys()
    if not keyed & set(common):
        return common, "no pairing key"
    for seed in common:
        if seed not in keyed:
            return common, f"seed {seed}: no pairing key"
        if a.keys[seed] != b.keys[seed]:
            return common, f"seed {seed}: other initialisation or batch order"
    return common, f"only seed {common[0]} in common" if len(common) < 2 else None


def _batch_reason(a: ArmEvidence, b: ArmEvidence) -> str | None:
    """Which part of the batch differs; None where the cells of both arms are of one batch."""
    if a.batch is None or b.batch is None:
        return "batch unknown"
    for name in ("code_version", "base_precision", "data_version"):
        one, two = getattr(a.batch, name), getattr(b.batch, name)
        # Contrastive-only has no SFT data by design, so that there is nothing to disagree.
        excused = name == "data_version" and None in (one, two)
        if one != two and not excused:
            return f"{name.replace('_', ' ')}s differ: {brief(one)}, {brief(two)}"
    return None


def brief(version: str | None) -> str:
    """A version as people tell it from others: of a digest, its first characters."""
    return str(version)[:DIGEST_SHOWN]


def _printable(test: ExactTest) -> ExactTest:
    """The test, without its p where even the smallest possible p lies above `EXACT_LIMIT`."""
    if test.p is None or test.p_attainable_min <= EXACT_LIMIT:
        return test
    return replace(test, state=State.INSUFFICIENT_N, p=None)
