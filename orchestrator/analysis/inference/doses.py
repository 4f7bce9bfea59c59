"""Contrasts about spread over seeds, and along an axis of doses."""

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np

from orchestrator.analysis.evidence.comparison import (
    PAIRED,
    UNPAIRED,
    compare,
    paired_seeds,
    unpaired_reason,
)
from orchestrator.analysis.inference.means import directed, tested
from orchestrator.analysis.inference.question import Ask, Procedure, Tested, claimed
from orchestrator.analysis.inference.record import WEAKEST, Inference
from orchestrator.config.contrast_kinds import Kind
from orchestrator.config.fields import STEP
from orchestrator.stats import dose, exact, means, spread, trend
from orchestrator.stats.beside.counted_designs import TrendDesign
from orchestrator.stats.beside.designs import MeanDesign, Outlook, SdDesign
from orchestrator.stats.crossed import mean_squares
from orchestrator.stats.records import Alternative, State, Summary
from orchestrator.stats.verdict import OPPOSITE

Rows = list[list[float]]


def sd_ratio(ask: Ask) -> Tested:
    """Log of sd_a / sd_b: Pitman and Morgan's test of paired seeds, else as the seeds allow."""
    seeds = paired_seeds(ask.a, ask.b)
    a, b = ([e.scores[s] for s in seeds or e.scores] for e in (ask.a, ask.b))
    row = replace(
        ask.row,
        n_a=ask.a.n,
        n_b=ask.b.n,
        n_pairs=len(seeds) or None,
        pairing=PAIRED if seeds else UNPAIRED,
        pairing_reason=None if seeds else unpaired_reason(ask.a, ask.b),
    )
    if not (a and b):
        return Tested(row=replace(row, status=str(State.INSUFFICIENT_N)))
    alternative = ask.contrast.alternative
    found, against = (
        spread.compare_sds(a, b, way, ask.level, paired=bool(seeds))
        for way in (alternative, OPPOSITE.get(alternative, alternative))
    )
    row = replace(row, test=found.test, status=str(found.state))
    if found.p is None or found.ratio is None or found.interval is None:
        few = min(len(a), len(b)) < spread.MIN_N
        reason = f"two sds are not tested below {spread.MIN_N} seeds"
        return Tested(row=replace(row, notes=(reason,)) if few else row)
    low, high, estimate = found.interval.low, found.interval.high, math.log(found.ratio)
    notes = ["the estimate is the log of sd_a / sd_b"]
    if found.test in spread.ASSUMES:
        notes.append(spread.ASSUMES[found.test])
    row = replace(
        row,
        estimate=estimate,
        ci_low=math.log(low) if low else None,
        ci_high=math.log(high) if math.isfinite(high) else None,
        ci_level=found.interval.level,
        p=found.p,
        notes=tuple(notes),
    )
    two_sided = alternative is Alternative.TWO_SIDED
    design = SdDesign(ns=found.n, r_pair=found.r_pair, two_sided=two_sided)
    outlook = Outlook(design=design, effect=claimed(estimate, alternative))
    return Tested(row=row, p_opposite=None if two_sided else against.p, outlook=outlook)


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
    if ask.contrast.over == STEP:
        return _trend_within(ask, rows, reason)
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
    two_sided = alternative is Alternative.TWO_SIDED
    ns, sd, df = _scatter(ask, rows)
    if found.p is None or row.estimate is None or not sd:
        return Tested(row=row, p_opposite=p_opposite, spread=_spread(rows))
    outlook = Outlook(
        design=TrendDesign(ns=ns, paired=rows is not None, two_sided=two_sided),
        effect=claimed(row.estimate, alternative),
        sd_df=df,
        scale=sd,
    )
    return Tested(row=row, p_opposite=p_opposite, outlook=outlook, spread=_spread(rows))


def _spread(rows: Rows | None) -> float | None:
    """Largest difference between doses within one of the paired seeds."""
    return max(max(row) - min(row) for row in rows) if rows else None


def _trend_within(ask: Ask, rows: Rows | None, reason: str | None) -> Tested:
    """T of the slopes, one for each training; `rows` has its scores at every moment."""
    row = _dosed(ask, rows, reason)
    if rows is None:
        return Tested(row=replace(row, status="unpaired", notes=(reason or "",)))
    rise = trend.changes_along(ask.chosen.doses, rows)
    alternative = ask.contrast.alternative
    test = means.one_sample(rise, alternative, ask.level)
    flip = exact.sign_flip(rise, alternative)
    note = "the estimate is the change along each training's straight line, from first to last step"
    row = replace(
        tested(row, test),
        test="slopes_within",
        n_a=row.n_a,
        n_b=row.n_b,
        n_pairs=len(rows),
        p_exact=flip.p,
        p_attainable_min=flip.p_attainable_min,
        notes=(note,),
    )
    sd = Summary.of(rise).sd
    design = MeanDesign(ns=(len(rows),), sds=(sd,)) if sd else None
    return replace(directed(row, test, design, alternative), spread=_spread(rows))


def _scatter(ask: Ask, rows: Rows | None) -> tuple[tuple[int, ...], float, int]:
    """(seeds of each dose, sd over seeds, its df); of `rows`, each seed's level is taken out."""
    if rows is not None:
        n, k = len(rows), len(rows[0])
        return (n,) * k, math.sqrt(mean_squares(np.array(rows))[2]), (n - 1) * (k - 1)
    samples = [Summary.of(list(e.scores.values())) for e in ask.chosen.arms if e.scores]
    df = sum(s.n - 1 for s in samples)
    square = sum((s.n - 1) * (s.sd or 0.0) ** 2 for s in samples)
    return tuple(s.n for s in samples), math.sqrt(square / df) if df else 0.0, df


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
        few = min(len(e.scores) for e in ask.chosen.arms) < 2
        state = State.INSUFFICIENT_N if few else State.ZERO_VARIANCE
        return Tested(row=replace(row, status=str(state)), spread=_spread(rows))
    weakest = max(steps, key=lambda s: s.p or 0.0)
    reverse = [s.p for s in against if s.p is not None]
    row = replace(
        row,
        test="largest_step",
        p=p,
        estimate=None if weakest.diff is None else sign * weakest.diff,
        notes=(f"{WEAKEST}{weakest.low:g} to {weakest.high:g}",),
    )
    p_opposite = min(1.0, len(reverse) * min(reverse))
    return Tested(row=row, p_opposite=p_opposite, spread=_spread(rows))


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
