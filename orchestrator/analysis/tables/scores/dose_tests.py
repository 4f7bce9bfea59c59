"""T6, tests: a trend, every step of it, and a straight line are three different claims."""

from collections.abc import Sequence
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.tables.arms import Arms
from orchestrator.analysis.tables.columns import count, data, p_value, plain, signed, words
from orchestrator.analysis.tables.scores.dose import (
    FEWEST_DOSES,
    KEY,
    Doses,
    doses_of,
    group_columns,
    group_fields,
    paired_rows,
)
from orchestrator.analysis.tables.view import Column, Missing, Row, View, p_text
from orchestrator.stats import trend
from orchestrator.stats.dose import DoseShape, dose_shape
from orchestrator.stats.records import (
    Alternative,
    Summary,
)
from orchestrator.stats.trend import Step
from orchestrator.stats.verdict import Verdict, decide

NAME = "dose_tests"
Rows = list[list[float]]


def dose_tests(arms: Arms) -> View | Missing:
    """One row a behaviour: trend, strict monotonicity, linearity; p not adjusted."""
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
    rows = [_row(g, b, list(found), list(found.values()), arms.alpha) for g, b, found in lines]
    slopes = max(len(found) for _, _, found in lines) - 1
    return View(
        key=f"{KEY} tests",
        name=NAME,
        title=arms.title(
            "Shape of the dose-response",
            [e.n for _, _, found in lines for e in found.values()],
        ),
        columns=(*_columns(slopes), *group_columns(len(groups))),
        rows=tuple(rows),
        notes=("p values are not adjusted for the number of behaviours; one-sided, of a rise.",),
    )


def _row(
    group: Doses, behavior: str, doses: list[float], found: Sequence[ArmEvidence], alpha: float
) -> Row:
    rows = paired_rows(found)
    samples = _samples(found)
    steps = trend.steps_paired(doses, rows) if rows else trend.steps_welch(doses, samples)
    shape = dose_shape(doses, samples)
    strict = trend.strict_p(steps)
    ranks = _ranks(found, rows)
    name, p = _trend(ranks, samples)
    return {
        **group_fields(group),
        "behavior": behavior,
        **ranks,
        "p_strict": strict,
        "worst_step": _worst(steps),
        "lof_F": shape.f_lack_of_fit,
        "lof_p": shape.p_lack_of_fit,
        "lof_text": _lack_of_fit(shape),
        "r2_means": shape.r2_means,
        **{f"slope_{i}": s for i, s in enumerate(shape.segment_slopes, 1)},
        "monotone": str(_monotone(steps, strict, alpha)),
        "linear": str(_linear(shape, alpha)),
        "trend_p": p,
        "trend_test": name,
        "n_pairs": len(rows) if rows else None,
        "steps": "; ".join(_step_text(s) for s in steps),
        "slopes": ", ".join(f"{s:.2f}" for s in shape.segment_slopes),
        "last_segment": _last(shape.segment_slopes),
    }


def _samples(found: Sequence[ArmEvidence]) -> list[Summary]:
    """Deltas where all weights have one, else scores: the shape is the same."""
    deltas = [e.delta for e in found if e.delta is not None]
    return deltas if len(deltas) == len(found) else [e.score for e in found if e.score is not None]


def _ranks(found: Sequence[ArmEvidence], rows: Rows | None) -> dict[str, Any]:
    page = trend.page(rows) if rows else None
    raw = [list(e.scores.values()) for e in found]
    ranks = trend.jonckheere(raw) if all(raw) else None
    return {
        "page_L": page.statistic if page else None,
        "page_p": page.p if page else None,
        "jt_J": ranks.statistic if ranks else None,
        "jt_p": ranks.p if ranks else None,
    }


def _trend(ranks: Row, samples: Sequence[Summary]) -> tuple[str, float | None]:
    """Page within seeds, Jonckheere between arms, or a contrast of means where no more is known."""
    if ranks["page_L"] is not None:
        return "page", ranks["page_p"]
    if ranks["jt_J"] is not None:
        return "jonckheere", ranks["jt_p"]
    return "welch ordinal contrast", trend.ordinal_contrast(samples).p


def _monotone(steps: Sequence[Step], strict: float | None, alpha: float) -> Verdict:
    """Contradicted where a step falls, counted among all steps."""
    known = [s.p for s in steps if s.p is not None]
    falls = min(1.0, len(known) * (1 - max(known))) if known else None
    return decide(strict, Alternative.GREATER, alpha, p_opposite=falls)


def _linear(shape: DoseShape, alpha: float) -> Verdict:
    """Lack of fit can contradict a straight line; nothing here can support one."""
    if shape.p_lack_of_fit is None:
        return Verdict.NOT_TESTABLE
    return Verdict.CONTRADICTED if shape.p_lack_of_fit <= alpha else Verdict.INCONCLUSIVE


def _worst(steps: Sequence[Step]) -> str | None:
    known = [(s.p, s) for s in steps if s.p is not None]
    if not known:
        return None
    _, step = max(known, key=lambda pair: pair[0])
    return f"{step.low:g} to {step.high:g}"


def _step_text(step: Step) -> str:
    if step.diff is None:
        return "none"
    return f"{step.diff:+.3f}" + ("" if step.p is None else f", {p_text(step.p)}")


def _lack_of_fit(shape: DoseShape) -> str | None:
    if shape.f_lack_of_fit is None or shape.p_lack_of_fit is None:
        return None
    low, high = shape.df
    return f"F({low},{high}) = {shape.f_lack_of_fit:.2f}, p {p_text(shape.p_lack_of_fit)}"


def _last(slopes: Sequence[float]) -> str | None:
    """How the last segment's slope lies among all: returns that diminish make it the lowest."""
    if len(slopes) < 2:
        return None
    if slopes[-1] == max(slopes):
        return "highest"
    return "lowest" if slopes[-1] == min(slopes) else "between"


def _columns(slopes: int) -> tuple[Column, ...]:
    numbered = (f"slope_{i}" for i in range(1, slopes + 1))
    return (
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
        *data(*(signed(n, n, "nat/token", digits=2) for n in numbered)),
        words("monotone", "monotone"),
        words("linear", "linear"),
        p_value("trend p", "trend_p"),
        words("trend test", "trend_test"),
        *data(count("pairs", "n_pairs")),
        words("steps, one-sided p", "steps"),
        words("segment slopes", "slopes"),
        words("last slope is", "last_segment"),
    )
