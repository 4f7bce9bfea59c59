"""The claims of the published notes, tested as far as the printed figures allow.

The notes registered none of them: the four comparisons of their table of effects are one family
(Holm), all others are another (Benjamini and Hochberg). Their margin of 0.02 nat/token is ours.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import log

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.evidence.comparison import compare
from orchestrator.analysis.inference.families import adjusted, with_reach, with_verdict
from orchestrator.analysis.inference.means import compared, directed, tested
from orchestrator.analysis.inference.question import Tested, interval_fields
from orchestrator.analysis.inference.record import Family, Inference
from orchestrator.analysis.published.figures import SPLIT, arm_of, figures
from orchestrator.analysis.published.prose import all_below, prose_claims, unprinted
from orchestrator.analysis.tables.arms import Arms
from orchestrator.analysis.tables.view import View
from orchestrator.config.contrast_kinds import Kind, Population
from orchestrator.stats.means import equivalence
from orchestrator.stats.power import n_f_ratio
from orchestrator.stats.records import (
    Alternative,
)
from orchestrator.stats.spread import sd_ratio_from_summaries
from tasks.contract.cell import Condition

MARGIN_STATED = 0.02
DOSES = "rho-guided at weight 0 to 0.5"
DOSE_CLAIMS = (
    (Kind.TREND, "behaviors rise with the weight", "trend_p", "greater"),
    (Kind.STRICT_MONOTONE, "every step of the weight raises the behavior", "p_strict", "greater"),
    (Kind.LINEARITY, "the response is linear in the weight", "lof_p", "two-sided"),
)
"""(kind, claim, column of `dose_tests` that has its p, alternative)."""


def effects_claims(arms: Arms) -> tuple[Inference, ...]:
    """The comparisons that the notes print with d and p."""
    found = [
        mean_diff(
            arms,
            contrast_id=f"{row['a']}-vs-{row['b']}",
            claim=f"{row['a']} and {row['b']} differ",
            a=find(arms, row["a"], row["behavior"]),
            b=find(arms, row["b"], row["behavior"]),
        )
        for row in figures()["T5_effect_sizes"]["rows"]
    ]
    rows = _settled(found, "holm", arms.alpha)
    return (*rows, all_below(rows, _blank))


def other_claims(
    arms: Arms, dose_tests: View, stress: View, weights: Sequence[str]
) -> tuple[Inference, ...]:
    """The other claims of the notes that the printed figures can test.

    Args:
        arms: Every printed arm.
        dose_tests: Table of tests along the weight; one row a behaviour.
        stress: Table of refusals under stress; one row an arm.
        weights: Ids of the arms along the weight, ascending.
    """
    paradox = "contrastive-only refuses more jailbreaks than the baseline"
    by_weight = {e.arm_id: e for e in arms.on("factual")}
    about_stress = [row for row in stress.rows if row["condition"] == Condition.CONTRASTIVE_ONLY]
    found = [
        mean_diff(
            arms,
            contrast_id="factual-better",
            claim="rho-guided scores above sft-only on factual",
            a=find(arms, "rho-guided", "factual"),
            b=find(arms, "sft-only", "factual"),
            alternative=Alternative.GREATER,
        ),
        *(Tested(row=row) for row in (*_refusal_kept(arms), _collapse(arms))),
        mean_diff(
            arms,
            contrast_id="margin-needed",
            claim="margin 0.1 scores above margin 0 on bias",
            a=find(arms, "rho-guided", "bias"),
            b=find(arms, "rho-guided", "bias", margin=0.0),
            alternative=Alternative.GREATER,
        ),
        *(
            Tested(
                row=replace(
                    _blank(kind, f"dose-{kind}", claim, row["behavior"]),
                    arms=tuple(weights),
                    p=row[field],
                    test=row["trend_test"],
                    alternative=direction,
                )
            )
            for kind, claim, field, direction in DOSE_CLAIMS
            for row in dose_tests.rows
        ),
        *(
            Tested(
                row=replace(
                    _blank(Kind.PROP_DIFF, "refusal-paradox", paradox, ""),
                    population=Population.NEW_PROBES,
                    estimate=row["diff_vs_baseline"],
                    # More are gained than lost, so that one tail is half of the two-sided p.
                    p=row["p_max"] / 2,
                    test=row["test"],
                    alternative=str(Alternative.GREATER),
                    notes=("p is the largest that the printed counts allow", "one seed"),
                )
            )
            for row in about_stress
        ),
        *prose_claims(_blank, [by_weight[w] for w in weights], arms.level),
        Tested(
            row=unprinted(
                _blank, find(arms, "rho-guided", "sycophancy"), find(arms, "sft-only", "sycophancy")
            )
        ),
    ]
    return _settled(found, "bh", arms.alpha)


def find(arms: Arms, condition: str, behavior: str, margin: float | None = None) -> ArmEvidence:
    """A printed arm at the notes' main weight, and margin unless another is named."""
    main = figures()["T4_ablation_means"]
    wanted = arm_of(condition, main["lambda_rho"], main["gamma"] if margin is None else margin)
    return next(e for e in arms.on(behavior) if (e.condition, e.rho_weight, e.margin) == wanted)


def mean_diff(
    arms: Arms,
    *,
    contrast_id: str,
    claim: str,
    a: ArmEvidence,
    b: ArmEvidence,
    alternative: Alternative = Alternative.TWO_SIDED,
) -> Tested:
    """Two printed arms compared, not yet adjusted."""
    found = compare(a, b, alternative=alternative, alpha=arms.alpha)
    row = compared(_blank(Kind.MEAN_DIFF, contrast_id, claim, a.behavior, a, b), found)
    row = replace(row, alternative=str(alternative))
    return directed(row, found.test, found.design, alternative)


def _refusal_kept(arms: Arms) -> Iterator[Inference]:
    a, b = find(arms, "rho-guided", "refusal"), find(arms, "sft-only", "refusal")
    found = arms.compare(a, b)
    margin = equivalence(found.test, MARGIN_STATED, arms.alpha)
    for kind, claim, p in (
        (
            Kind.NONINFERIORITY,
            f"rho-guided is not below sft-only on refusal by more than {MARGIN_STATED:g}",
            margin.p_noninferior,
        ),
        (
            Kind.EQUIVALENCE,
            f"rho-guided and sft-only are within {MARGIN_STATED:g} on refusal",
            margin.p_tost,
        ),
    ):
        row = tested(_blank(kind, f"refusal-{kind}", claim, a.behavior, a, b), found.test)
        yield replace(
            row,
            p=p,
            sesoi=MARGIN_STATED,
            p_noninferior=margin.p_noninferior,
            p_tost=margin.p_tost,
            **interval_fields(margin.interval),
            alternative=str(Alternative.GREATER),
            pairing_reason=found.reason,
        )


def _collapse(arms: Arms) -> Inference:
    """Normal theory only: the printed figures allow nothing else."""
    a, b = find(arms, "sft-only", "factual"), find(arms, "rho-guided", "factual")
    claim = "sft-only varies more over seeds than rho-guided on factual"
    row = _blank(Kind.SD_RATIO, "variance-collapse", claim, a.behavior, a, b)
    if a.delta is None or b.delta is None:
        return replace(row, status="missing")
    found = sd_ratio_from_summaries(a.delta, b.delta, Alternative.GREATER, arms.level)
    if found.ratio is None or found.ratio_f is None:
        return replace(row, status=str(found.state))
    return replace(
        row,
        n_a=found.n_a,
        n_b=found.n_b,
        test="f_normal_theory",
        estimate=log(found.ratio),
        ci_low=log(found.ratio_f.low),
        ci_high=log(found.ratio_f.high),
        ci_level=found.ratio_f.level,
        statistic=found.f,
        p=found.p_f,
        alternative=str(Alternative.GREATER),
        n_for_80=n_f_ratio(found.ratio, 2 * arms.alpha),  # one-sided
    )


def _blank(
    kind: Kind,
    contrast_id: str,
    claim: str,
    behavior: str,
    a: ArmEvidence | None = None,
    b: ArmEvidence | None = None,
) -> Inference:
    return Inference(
        contrast_id=contrast_id,
        claim=claim,
        kind=kind,
        behavior=behavior,
        split=SPLIT,
        population=Population.NEW_SEEDS,
        family=Family.EXPLORATORY,
        alternative=str(Alternative.TWO_SIDED),
        registered=False,
        arm_a=a.label if a else DOSES,
        arm_b=b.label if b else "",
        arms=tuple(e.arm_id for e in (a, b) if e is not None),
    )


def _settled(tested: Sequence[Tested], method: str, alpha: float) -> tuple[Inference, ...]:
    """The rows as one family.

    Seeds are those that a sweep needs which registers the claim alone.
    """
    rows = adjusted([with_reach(t.row, t.outlook, alpha) for t in tested], method)
    pairs = zip(rows, tested, strict=True)
    return tuple(with_verdict(replace(t, row=row), alpha) for row, t in pairs)
