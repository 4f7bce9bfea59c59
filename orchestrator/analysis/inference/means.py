"""Contrasts about means: of two arms, of an arm and its baseline, within a margin."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from orchestrator.analysis.evidence.comparison import PAIRED, Comparison, compare, paired_seeds
from orchestrator.analysis.evidence.frame import Probes
from orchestrator.analysis.inference.question import (
    Ask,
    Procedure,
    Tested,
    claimed,
    emptied,
    interval_fields,
    opposite,
)
from orchestrator.analysis.inference.record import Inference
from orchestrator.config.contrast_kinds import Kind, Margin, Population
from orchestrator.stats import effect, exact, means
from orchestrator.stats.beside.designs import Aim, CrossedDesign, MeanDesign, Outlook
from orchestrator.stats.crossed import MIN_N, crossed
from orchestrator.stats.means import MeanTest
from orchestrator.stats.records import Alternative, State, Summary


def mean_diff(ask: Ask) -> Tested:
    """A - b over seeds, over probes, or over both."""
    found = _difference(ask, ask.contrast.alternative)
    row, test = found.row, found.test
    if test is None:
        return Tested(row=row)
    return directed(row, test, found.design, ask.contrast.alternative)


def directed(
    row: Inference,
    test: MeanTest | None,
    design: MeanDesign | CrossedDesign | None,
    alternative: Alternative,
) -> Tested:
    """A tested mean with what its design finds in the claimed direction.

    Where a relevant size is stated, also whether the mean lies within it.
    """
    outlook = None
    if row.sesoi is not None and test is not None and test.state is State.OK:
        shown = means.equivalence(test, row.sesoi)
        row = replace(row, p_noninferior=shown.p_noninferior, p_tost=shown.p_tost)
    if design is not None and test is not None:
        aim = Aim.DIFFERS if alternative is Alternative.TWO_SIDED else Aim.DIRECTED
        outlook = Outlook(
            design=replace(design, aim=aim),
            effect=claimed(test.diff or 0.0, alternative),
            sd_df=test.df,
        )
    return Tested(row=row, p_opposite=opposite(row.p, alternative), outlook=outlook)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A mean difference for the population of a contrast.

    Attributes:
        row: Its columns.
        test: None where the population allows no p, or nothing was found.
        design: Of the test, with the scatter that was seen; None where there is none.
    """

    row: Inference
    test: MeanTest | None = None
    design: MeanDesign | CrossedDesign | None = None


def _difference(ask: Ask, alternative: Alternative) -> Difference:
    """Of a and b, for the population of the contrast."""
    found = compare(ask.a, ask.b, alternative=alternative, alpha=ask.study.alpha)
    if ask.contrast.population is Population.NEW_SEEDS:
        return Difference(row=compared(ask.row, found), test=found.test, design=found.design)
    row = arms_of(ask.row, found)
    if found.pairing != PAIRED:
        reason = f"seeds x probes needs paired seeds: {found.reason}"
        return Difference(row=emptied(row, "unpaired", reason))
    gaps = ask.study.frame.difference(ask.a, ask.b, paired_seeds(ask.a, ask.b))
    return _crossed(ask, row, gaps, alternative)


def compared(row: Inference, found: Comparison) -> Inference:
    """A comparison of two arms over seeds as columns."""
    return replace(
        arms_of(row, found),
        cohens_d=found.cohens_d,
        hedges_g=found.g.estimate,
        g_low=found.g.low,
        g_high=found.g.high,
        p_student=found.student.p,
        p_exact=found.exact.p if found.exact else None,
        p_attainable_min=found.p_attainable_min,
    )


def arms_of(row: Inference, found: Comparison) -> Inference:
    """The test, the seeds and the pairing of a comparison as columns."""
    return replace(
        tested(row, found.test),
        n_a=found.n_a,
        n_b=found.n_b,
        n_pairs=found.n_pairs,
        pairing=found.pairing,
        pairing_reason=found.reason,
    )


def tested(row: Inference, test: MeanTest) -> Inference:
    """A test of a mean or of a difference as columns."""
    return replace(
        row,
        test=test.test,
        status=str(test.state),
        n_a=test.n_a,
        n_b=test.n_b,
        n_pairs=test.n_pairs,
        estimate=test.diff,
        se=test.se,
        df=test.df,
        statistic=test.statistic,
        p=test.p,
        **interval_fields(test.interval),
    )


def _crossed(ask: Ask, row: Inference, gaps: Probes, alternative: Alternative) -> Difference:
    """The mean over seeds and probes, nats per token, tested for the contrast's population."""
    matrix, pairs = gaps.table, len(gaps.probe_ids)
    if matrix.shape[1] < pairs:
        note = f"{pairs} probe pairs in {matrix.shape[1]} clusters; a cluster counts as one"
        row = replace(row, notes=(*row.notes, note))
    if min(matrix.shape, default=0) < 2:
        reason = f"needs 2 seeds and 2 probes, has {matrix.shape[0]} and {matrix.shape[1]}"
        return Difference(row=emptied(row, "insufficient_n", reason))
    found = crossed(matrix, alternative=alternative, level=ask.level)
    test = found.as_test(alternative, ask.level)
    row = replace(
        tested(row, test),
        test=f"crossed_{found.source}" if found.source else "crossed",
        n_a=row.n_a,
        n_b=row.n_b,
        n_pairs=found.n_seeds,
        n_probes=found.n_probes,
    )
    if ask.contrast.population is Population.BOTH:
        if found.state is State.INSUFFICIENT_N:
            has = f"{found.n_seeds} and {found.n_probes}"
            note = f"needs {MIN_N} seeds and {MIN_N} probes, has {has}"
            row = replace(row, notes=(*row.notes, note))
        return Difference(row=row, test=test, design=CrossedDesign.of(found))
    note = "these weights on new probes; no claim about seeds"
    row = replace(
        row,
        test="crossed_probes",
        se=None,
        df=None,
        statistic=None,
        p=None,
        notes=(*row.notes, note),
        **interval_fields(found.probes),
    )
    return Difference(row=row)


def one_sample(ask: Ask) -> Tested:
    """An arm's deltas against 0; the baseline is a constant."""
    deltas = ask.a.deltas
    if not deltas:
        return Tested(row=emptied(ask.row, "missing", "no baseline score to compare with"))
    values = [deltas[s] for s in sorted(deltas)]
    alternative = ask.contrast.alternative
    row = replace(ask.row, pairing="fixed_baseline", arm_b="baseline")
    if ask.contrast.population is not Population.NEW_SEEDS:
        across = _crossed(ask, row, ask.study.frame.changes(ask.a), alternative)
        return directed(across.row, across.test, across.design, alternative)
    test = means.one_sample(values, alternative, ask.level)
    flip = exact.sign_flip(values, alternative)
    size = effect.g_z(values, ask.level)
    row = replace(
        tested(row, test),
        hedges_g=size.estimate,
        g_low=size.low,
        g_high=size.high,
        p_exact=flip.p,
        p_attainable_min=flip.p_attainable_min,
        notes=("the baseline is one model; it has no variance over seeds",),
    )
    sd = Summary.of(values).sd
    design = MeanDesign(ns=(len(values),), sds=(sd,)) if sd else None
    return directed(row, test, design, alternative)


def margin_test(ask: Ask) -> Tested:
    """Non-inferiority or equivalence within the contrast's margin."""
    found = _difference(ask, Alternative.TWO_SIDED)
    # The exact companion and Student's p are about a difference, not about a margin.
    row = replace(found.row, p=None, p_exact=None, p_attainable_min=None, p_student=None)
    test, sesoi = found.test, ask.contrast.sesoi
    if test is None or test.state is not State.OK or test.diff is None or sesoi is None:
        return Tested(row=row)
    shown = means.equivalence(test, sesoi, ask.study.alpha)
    below = ask.contrast.kind.rules.margin is Margin.BELOW
    row = replace(
        row,
        p=shown.p_noninferior if below else shown.p_tost,
        p_noninferior=shown.p_noninferior,
        p_tost=shown.p_tost,
        test=f"{row.test}_{ask.contrast.kind}",
        **interval_fields(shown.interval),
    )
    if found.design is None:
        return Tested(row=row, p_opposite=_beyond(row))
    design = replace(found.design, aim=Aim.NONINFERIOR if below else Aim.EQUIVALENT)
    offset = test.diff if below else abs(test.diff)
    outlook = Outlook(
        design=design, effect=sesoi, seen=replace(design, offset=offset), sd_df=test.df
    )
    return Tested(row=row, p_opposite=_beyond(row), outlook=outlook)


def _beyond(row: Inference) -> float | None:
    """One-sided p of lying beyond the margin, on a side that a claim within it excludes."""
    if row.estimate is None or row.se is None or row.df is None or row.sesoi is None:
        return None
    below = means.t_p((row.estimate + row.sesoi) / row.se, row.df, Alternative.LESS)
    if row.kind.rules.margin is Margin.BELOW:
        return below
    above = means.t_p((row.estimate - row.sesoi) / row.se, row.df, Alternative.GREATER)
    return min(below, above)


PROCEDURES: Mapping[Kind, Procedure] = {
    Kind.MEAN_DIFF: mean_diff,
    Kind.ONE_SAMPLE: one_sample,
    Kind.NONINFERIORITY: margin_test,
    Kind.EQUIVALENCE: margin_test,
}
