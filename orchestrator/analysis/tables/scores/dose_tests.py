"""T6, tests: a trend, every step of it, and a straight line are three different claims."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.tables.arms import Arms
from orchestrator.analysis.tables.columns import NAT, count, data, p_value, plain, signed, words
from orchestrator.analysis.tables.scores.dose import (
    FEWEST_DOSES,
    KEY,
    doses_of,
    group_columns,
    group_fields,
    paired_rows,
)
from orchestrator.analysis.tables.verdicts import NOTHING_ASKED, OF_CLAIMS, Verdicts
from orchestrator.analysis.tables.view import Missing, View, p_text
from orchestrator.config.contrast_kinds import Kind
from orchestrator.stats import trend
from orchestrator.stats.dose import DoseShape, dose_shape
from orchestrator.stats.records import Alternative
from orchestrator.stats.trend import Step

NAME = "dose_tests"
ASKED = (
    ("monotone", Kind.STRICT_MONOTONE, Alternative.GREATER),
    ("linear", Kind.LINEARITY, Alternative.TWO_SIDED),
)
"""(column, kind and direction of the contrast whose verdict it shows): those of the p beside it."""


def dose_tests(arms: Arms, verdicts: Verdicts = NOTHING_ASKED) -> View | Missing:
    """One row a behaviour: trend, strict monotonicity, linearity; p not adjusted.

    Args:
        arms: Evidence of one split.
        verdicts: Of contrasts about steps and lines; without one a row has no verdict.
    """
    groups = doses_of(arms)
    lines = [
        (group, behavior, found)
        for group in groups
        for behavior in arms.behaviors
        if len(found := group.on(arms, behavior)) >= FEWEST_DOSES
    ]
    if not lines:
        reason = f"fewer than {FEWEST_DOSES} weights"
        return Missing(key=f"{KEY} tests", name=NAME, reason=reason)
    segments = range(1, max(len(found) for _, _, found in lines))
    ns = [e.n for _, _, found in lines for e in found.values()]
    return View(
        key=f"{KEY} tests",
        name=NAME,
        title=arms.title("Shape of the dose-response", ns),
        columns=(
            words("Behavior", "behavior"),
            *data(
                plain("Page L", "page_L", digits=1),
                p_value("Page p", "page_p"),
                plain("Jonckheere J", "jt_J", digits=1),
                p_value("Jonckheere p", "jt_p"),
            ),
            p_value("strict monotone p (max)", "p_strict"),
            words("weakest step", "worst_step"),
            plain("lack of fit", "lof_F", digits=2, instead="lof_text"),
            *data(p_value("lack of fit p", "lof_p")),
            plain("linear R² (means)", "r2_means"),
            *data(*(signed(f"slope_{i}", f"slope_{i}", NAT, digits=2) for i in segments)),
            words("monotone", "monotone"),
            words("linear", "linear"),
            p_value("trend p", "trend_p"),
            words("trend test", "trend_test"),
            *data(count("pairs", "n_pairs")),
            words("steps, one-sided p", "steps"),
            words("segment slopes", "slopes"),
            words("last slope is", "last_segment"),
            *group_columns(len(groups)),
        ),
        rows=tuple(
            {
                **group_fields(g),
                "behavior": b,
                **_tests(found),
                **{
                    field: verdicts.of(
                        *(kind, [e.arm_id for e in found.values()], b, arms.split),
                        alternative=alternative,
                    )
                    for field, kind, alternative in ASKED
                },
            }
            for g, b, found in lines
        ),
        notes=(
            "p values are not adjusted for the number of behaviors; one-sided, of a rise. "
            f"{OF_CLAIMS}",
        ),
    )


def _tests(found: Mapping[float, ArmEvidence]) -> dict[str, Any]:
    """Trend, steps and straight line of one behaviour, from weight -> evidence."""
    doses, evidence = list(found), list(found.values())
    # Deltas where all weights have one, else scores: the shape is the same.
    samples = [e.delta for e in evidence if e.delta is not None]
    if len(samples) < len(evidence):
        samples = [e.score for e in evidence if e.score is not None]
    rows, raw = paired_rows(evidence), [list(e.scores.values()) for e in evidence]
    page = trend.page(rows) if rows else None
    ranks = trend.jonckheere(raw) if all(raw) else None
    # Page within seeds, Jonckheere between arms, or a contrast of means where no more is known.
    if page and page.statistic is not None:
        name, p = "page", page.p
    elif ranks and ranks.statistic is not None:
        name, p = "jonckheere", ranks.p
    else:
        name, p = "welch ordinal contrast", trend.ordinal_contrast(samples).p
    steps = trend.steps_paired(doses, rows) if rows else trend.steps_welch(doses, samples)
    return {
        "page_L": page.statistic if page else None,
        "page_p": page.p if page else None,
        "jt_J": ranks.statistic if ranks else None,
        "jt_p": ranks.p if ranks else None,
        "trend_p": p,
        "trend_test": name,
        "n_pairs": len(rows) if rows else None,
        **_monotone(steps),
        **_linear(dose_shape(doses, samples)),
    }


def _monotone(steps: Sequence[Step]) -> dict[str, Any]:
    """Whether every step rises."""
    strict = trend.strict_p(steps)
    known = [(s.p, s) for s in steps if s.p is not None]
    _, worst = max(known, key=lambda pair: pair[0], default=(None, None))
    texts = [
        "none" if s.diff is None else f"{s.diff:+.3f}" + ("" if s.p is None else f", {p_text(s.p)}")
        for s in steps
    ]
    return {
        "p_strict": strict,
        "worst_step": f"{worst.low:g} to {worst.high:g}" if worst else None,
        "steps": "; ".join(texts),
    }


def _linear(shape: DoseShape) -> dict[str, Any]:
    """How well a straight line fits."""
    f, p, slopes = shape.f_lack_of_fit, shape.p_lack_of_fit, shape.segment_slopes
    text, last = None, None
    if f is not None and p is not None:
        text = f"F({shape.df[0]},{shape.df[1]}) = {f:.2f}, p {p_text(p)}"
    # Returns that diminish make the last segment's slope the lowest.
    if len(slopes) > 1:
        ends = "lowest" if slopes[-1] == min(slopes) else "between"
        last = "highest" if slopes[-1] == max(slopes) else ends
    return {
        "lof_F": f,
        "lof_p": p,
        "lof_text": text,
        "r2_means": shape.r2_means,
        **{f"slope_{i}": s for i, s in enumerate(slopes, 1)},
        "slopes": ", ".join(f"{s:.2f}" for s in slopes),
        "last_segment": last,
    }
