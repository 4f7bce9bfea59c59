"""Contrasts about spread over seeds, and along an axis of doses."""

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

from orchestrator.analysis.evidence.comparison import compare, paired_seeds
from orchestrator.analysis.inference.question import Ask, Procedure, Tested
from orchestrator.analysis.inference.record import Inference
from orchestrator.config.contrast_kinds import Kind
from orchestrator.stats import dose, power, spread, trend
from orchestrator.stats.records import Alternative, State, Summary
from orchestrator.stats.verdict import OPPOSITE

Rows = list[list[float]]


def sd_ratio(ask: Ask) -> Tested:
    """Log of sd_a / sd_b: Brown-Forsythe where there are seeds enough, else the jackknife."""
    a, b = (list(e.scores.values()) for e in (ask.a, ask.b))
    row = replace(ask.row, n_a=len(a), n_b=len(b))
    if not (a and b):
        return Tested(row=replace(row, status=str(State.INSUFFICIENT_N)))
    alternative = ask.contrast.alternative
    found = spread.sd_ratio(a, b, alternative, ask.level)
    against = spread.sd_ratio(a, b, OPPOSITE.get(alternative, alternative), ask.level)
    row = replace(row, status=str(found.state))
    if found.state is not State.OK or found.ratio is None:
        return Tested(row=row)
    interval = found.ratio_jackknife.interval if found.ratio_jackknife else None
    forsythe = found.p_brown_forsythe is not None
    p, p_opposite = (s.p_brown_forsythe if forsythe else s.p_jackknife for s in (found, against))
    size = max(found.ratio, 1 / found.ratio)
    row = replace(
        row,
        test="brown_forsythe" if forsythe else "jackknife_log_variance",
        estimate=math.log(found.ratio),
        ci_low=math.log(interval.low) if interval else None,
        ci_high=math.log(interval.high) if interval else None,
        ci_level=interval.level if interval else None,
        p=p,
        n_for_80=power.n_f_ratio(size, ask.study.alpha) if size > 1 else None,
        notes=("the estimate is the log of sd_a / sd_b",),
    )
    return Tested(row=row, p_opposite=None if alternative is Alternative.TWO_SIDED else p_opposite)


def _paired_rows(ask: Ask) -> tuple[Rows | None, str | None]:
    """Scores of the seeds that are paired along the whole axis, or why there are none."""
    arms = ask.chosen.arms
    seeds = set(arms[0].scores)
    for low, high in pairwise(arms):
        pairs = set(paired_seeds(low, high))
        if not pairs:
            return None, compare(low, high).reason
        seeds &= pairs
    if len(seeds) < 2:
        return None, "fewer than 2 seeds are paired at all doses"
    return [[e.scores[s] for e in arms] for s in sorted(seeds)], None


def _dosed(ask: Ask, rows: Rows | None, reason: str | None) -> Inference:
    """The row with its numbers of seeds and whether they are paired; what `_paired_rows` found."""
    return replace(
        ask.row,
        n_a=ask.chosen.arms[0].n,
        n_b=ask.chosen.arms[-1].n,
        n_pairs=len(rows) if rows else None,
        pairing="paired" if rows else "none",
        pairing_reason=reason,
    )


def trend_over_doses(ask: Ask) -> Tested:
    """Page within paired seeds, else Jonckheere between arms."""
    rows, reason = _paired_rows(ask)
    # The tests are of a rise; a fall of the scores is a rise of the scores times -1.
    up, down = (
        trend.jonckheere([[sign * v for v in e.scores.values()] for e in ask.chosen.arms])
        if rows is None
        else trend.page([[sign * v for v in row] for row in rows])
        for sign in (1, -1)
    )
    alternative = ask.contrast.alternative
    found, against = (down, up) if alternative is Alternative.LESS else (up, down)
    p, p_opposite = found.p, against.p
    if alternative is Alternative.TWO_SIDED and p is not None and p_opposite is not None:
        p, p_opposite = min(1.0, 2 * min(p, p_opposite)), None
    first, last = ask.chosen.arms[0].score, ask.chosen.arms[-1].score
    name = "page" if rows else "jonckheere"
    row = replace(
        _dosed(ask, rows, reason),
        test=f"{name}_{found.method}" if found.method else name,
        statistic=found.statistic,
        p=p,
        status=str(found.state),
        estimate=last.mean - first.mean if first and last else None,
        notes=("the estimate is the highest dose minus the lowest",),
    )
    return Tested(row=row, p_opposite=p_opposite)


def strict_monotone(ask: Ask) -> Tested:
    """Every step rises (falls): the largest of the one-sided p of the steps."""
    rows, reason = _paired_rows(ask)
    row = _dosed(ask, rows, reason)
    sign = -1 if ask.contrast.alternative is Alternative.LESS else 1
    steps, against = (
        trend.steps_welch(
            ask.chosen.doses,
            [Summary(n=m.n, mean=s * m.mean, sd=m.sd) for m in _summaries(ask)],
        )
        if rows is None
        else trend.steps_paired(ask.chosen.doses, [[s * v for v in values] for values in rows])
        for s in (sign, -sign)
    )
    p = trend.strict_p(steps)
    if p is None:
        return Tested(row=replace(row, status=str(State.INSUFFICIENT_N)))
    weakest = max(steps, key=lambda s: s.p or 0.0)
    reverse = [s.p for s in against if s.p is not None]
    row = replace(
        row,
        test="largest_step",
        p=p,
        estimate=None if weakest.diff is None else sign * weakest.diff,
        notes=(f"the estimate is the weakest step, {weakest.low:g} to {weakest.high:g}",),
    )
    return Tested(row=row, p_opposite=min(1.0, len(reverse) * min(reverse)))


def _summaries(ask: Ask) -> list[Summary]:
    return [e.score for e in ask.chosen.arms if e.score is not None]


def linearity(ask: Ask) -> Tested:
    """Lack of fit of a straight line; a large p does not show that it is straight."""
    row = _dosed(ask, None, None)
    found = dose.dose_shape(ask.chosen.doses, _summaries(ask))
    slopes = ", ".join(f"{s:+.3g}" for s in found.segment_slopes)
    row = replace(
        row,
        pairing="none",
        test="lack_of_fit",
        status=str(found.state),
        estimate=found.slope,
        statistic=found.f_lack_of_fit,
        p=found.p_lack_of_fit,
        notes=(f"slopes between doses: {slopes}",),
    )
    return Tested(row=row)


PROCEDURES: Mapping[Kind, Procedure] = {
    Kind.SD_RATIO: sd_ratio,
    Kind.TREND: trend_over_doses,
    Kind.STRICT_MONOTONE: strict_monotone,
    Kind.LINEARITY: linearity,
}
