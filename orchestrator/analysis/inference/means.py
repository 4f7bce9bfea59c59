"""Contrasts about means: of two arms, of an arm and its baseline, within a margin."""

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.analysis.evidence.comparison import PAIRED, Comparison, compare, paired_seeds
from orchestrator.analysis.evidence.frame import Floats
from orchestrator.analysis.inference.question import (
    Ask,
    Procedure,
    Tested,
    emptied,
    interval_fields,
    opposite,
)
from orchestrator.analysis.inference.record import Inference
from orchestrator.config.contrast_kinds import Kind, Margin, Population
from orchestrator.stats import effect, equivalence, exact, means, power
from orchestrator.stats.crossed import crossed
from orchestrator.stats.means import MeanTest
from orchestrator.stats.records import Alternative, State, Summary


def mean_diff(ask: Ask) -> Tested:
    """A - b over seeds, over probes, or over both."""
    found = compare(ask.a, ask.b, alternative=ask.contrast.alternative, alpha=ask.study.alpha)
    row = compared(ask.row, found)
    if ask.contrast.population is not Population.NEW_SEEDS:
        if found.pairing != PAIRED:
            reason = f"seeds x probes needs paired seeds: {found.reason}"
            return Tested(row=emptied(row, "unpaired", reason))
        matrix = ask.study.frame.difference(ask.a, ask.b, paired_seeds(ask.a, ask.b))
        return _crossed_row(ask, row, matrix)
    if ask.contrast.sesoi is not None and found.test.state is State.OK:
        shown = equivalence.equivalence(found.test, ask.contrast.sesoi, ask.study.alpha)
        row = replace(row, p_noninferior=shown.p_noninferior, p_tost=shown.p_tost)
    return Tested(row=row, p_opposite=opposite(found.test.p, ask.contrast.alternative))


def compared(row: Inference, found: Comparison) -> Inference:
    """A comparison of two arms as columns."""
    row = tested(row, found.test)
    return replace(
        row,
        n_a=found.n_a,
        n_b=found.n_b,
        n_pairs=found.n_pairs,
        pairing=found.pairing,
        pairing_reason=found.reason,
        cohens_d=found.cohens_d,
        hedges_g=found.g.estimate,
        g_low=found.g.low,
        g_high=found.g.high,
        p_student=found.student.p,
        p_exact=found.exact.p if found.exact else None,
        p_attainable_min=found.p_attainable_min,
        mde_80=found.mde_80,
        n_for_80=found.n_for_80,
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


def _crossed_row(ask: Ask, row: Inference, matrix: Floats) -> Tested:
    """The mean of (seeds, probes), nats per token, tested for the contrast's population."""
    alternative = ask.contrast.alternative
    if min(matrix.shape, default=0) < 2:
        reason = f"needs 2 seeds and 2 probes, has {matrix.shape[0]} and {matrix.shape[1]}"
        return Tested(row=emptied(row, "insufficient_n", reason))
    found = crossed(matrix, alternative=alternative, level=ask.level)
    both = ask.contrast.population is Population.BOTH
    interval = found.both if both else found.probes
    row = replace(
        row,
        test=f"crossed_{found.source}" if both else "crossed_probes",
        status=str(found.state),
        estimate=found.mean,
        n_probes=found.n_probes,
        n_pairs=found.n_seeds,
        se=found.se if both else None,
        df=found.df if both else None,
        statistic=found.t if both else None,
        p=found.p if both else None,
        mde_80=None,
        n_for_80=None,
        **interval_fields(interval),
    )
    if not both:
        row = replace(row, notes=(*row.notes, "these weights on new probes; no claim about seeds"))
    return Tested(row=row, p_opposite=opposite(row.p, alternative))


def one_sample(ask: Ask) -> Tested:
    """An arm's deltas against 0; the baseline is a constant."""
    deltas = ask.a.deltas
    if not deltas:
        return Tested(row=emptied(ask.row, "missing", "no baseline score to compare with"))
    values = [deltas[s] for s in sorted(deltas)]
    alternative = ask.contrast.alternative
    row = replace(ask.row, pairing="fixed_baseline", arm_b="baseline")
    if ask.contrast.population is not Population.NEW_SEEDS:
        frame, place = ask.study.frame, (row.behavior, row.split)
        trained = frame.probes(ask.a.arm_id, *place)
        base = frame.probes(frame.baseline_arm(ask.a.baseline_key) or "", *place)
        common = sorted(set(trained.probe_ids) & set(base.probe_ids))
        # The one row of the untrained model is subtracted from the row of every seed.
        matrix = trained.of(trained.seeds, common) - base.of(base.seeds[:1], common)
        return _crossed_row(ask, row, matrix)
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
    unit, sd = power.mde_paired(len(values), ask.study.alpha), Summary.of(values).sd
    if unit is not None and sd and test.diff:
        row = replace(
            row, mde_80=unit * sd, n_for_80=power.n_paired(test.diff / sd, ask.study.alpha)
        )
    return Tested(row=row, p_opposite=opposite(test.p, alternative))


def margin_test(ask: Ask) -> Tested:
    """Non-inferiority or equivalence within the contrast's margin."""
    found = compare(ask.a, ask.b, alternative=Alternative.TWO_SIDED, alpha=ask.study.alpha)
    row = compared(ask.row, found)
    if found.test.state is not State.OK or ask.contrast.sesoi is None:
        return Tested(row=replace(row, p=None))
    shown = equivalence.equivalence(found.test, ask.contrast.sesoi, ask.study.alpha)
    noninferior = ask.contrast.kind.rules.margin is Margin.BELOW
    room = ask.contrast.sesoi + (found.test.diff or 0.0)
    if not noninferior:
        room = ask.contrast.sesoi - abs(found.test.diff or 0.0)
    smallest, seeds = _plan_margin(found, room, ask.study.alpha)
    row = replace(
        row,
        p=shown.p_noninferior if noninferior else shown.p_tost,
        p_exact=None,
        p_attainable_min=None,
        p_noninferior=shown.p_noninferior,
        p_tost=shown.p_tost,
        mde_80=smallest,
        n_for_80=seeds,
        test=f"{row.test}_{ask.contrast.kind}",
        **interval_fields(shown.interval),
    )
    return Tested(row=row)


def _plan_margin(found: Comparison, room: float, alpha: float) -> tuple[float | None, int | None]:
    """(smallest margin that this design shows if a = b, seeds an arm or pairs to show the margin).

    Each is found with probability 0.8. `room` is how far the estimate lies within the margin.
    """
    one_sided = 2 * alpha  # what the two-sided formulas take for a one-sided test at alpha
    if found.pairing == PAIRED:
        units = [power.mde_paired(found.n_pairs or 0, at) for at in (alpha, one_sided)]
    else:
        units = [power.mde_welch(found.n_a, found.n_b, at) for at in (alpha, one_sided)]
    if found.mde_80 is None or units[0] is None or units[1] is None:
        return None, None
    sd = found.mde_80 / units[0]
    n_for = power.n_paired if found.pairing == PAIRED else power.n_welch
    return units[1] * sd, n_for(room / sd, alpha=one_sided) if room > 0 else None


PROCEDURES: Mapping[Kind, Procedure] = {
    Kind.MEAN_DIFF: mean_diff,
    Kind.ONE_SAMPLE: one_sample,
    Kind.NONINFERIORITY: margin_test,
    Kind.EQUIVALENCE: margin_test,
}
