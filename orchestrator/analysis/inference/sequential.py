"""Rows of claims that are judged before all planned seeds are in: at looks, or at any time."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite

from orchestrator.analysis.evidence.comparison import paired_differences
from orchestrator.analysis.inference.question import Ask, Tested, emptied, interval_fields
from orchestrator.config.contrast_kinds import Compared, Margin
from orchestrator.config.contrasts import Looks
from orchestrator.stats.beside.anytime import AnytimeDesign, anytime, kept_interval
from orchestrator.stats.beside.designs import Design, MeanDesign
from orchestrator.stats.beside.sequential import LookDesign, any_look_p
from orchestrator.stats.records import Alternative, State
from orchestrator.stats.verdict import OPPOSITE


def of_all_looks(done: Mapping[int, Tested], looks: Looks) -> Tested:
    """The row of the last look, with p of all that were made; `done` is by seeds."""
    ns, every, last = [*done], [*done.values()], done[max(done)]
    two_sided = last.row.alternative == Alternative.TWO_SIDED and (
        last.row.kind.rules.margin is Margin.OPTIONAL
    )

    def of_all(ps: Sequence[float | None], *, both: bool = False) -> float | None:
        known = [p for p in ps if p is not None]
        if len(known) < len(ps):
            return None
        return any_look_p(known, ns, looks.spending, two_sided=both, planned=looks.ns[-1])

    made = " and ".join(map(str, ns))
    note = f"p is of the looks at {made} of {looks.ns[-1]} seeds, the interval of the last look"
    row = replace(
        last.row,
        p=of_all([t.row.p for t in every], both=two_sided),
        p_noninferior=of_all([t.row.p_noninferior for t in every]),
        p_tost=of_all([t.row.p_tost for t in every]),
        notes=(*last.row.notes, note),
    )
    outlook = last.outlook
    if outlook and isinstance(outlook.design, MeanDesign) and len(outlook.design.sds) == 1:
        # only the smallest effect pays for the looks; its seeds are those of one look
        (sd,), planned = outlook.design.sds, looks.ns[-1]
        fitting = LookDesign(
            ns=tuple(ns), spending=looks.spending, aim=outlook.design.aim, planned=planned
        )
        outlook = replace(
            outlook, design=fitting, seen=_in_sds(outlook.seen or outlook.design, sd), scale=sd
        )
    return replace(
        last,
        row=row,
        outlook=outlook,
        p_opposite=of_all([t.p_opposite for t in every]),
        looked=True,
        interim=None if ns[-1] == looks.ns[-1] else f"the next look is at more than {ns[-1]} seeds",
    )


def at_any_time(ask: Ask, found: Tested) -> Tested:
    """The row with p and interval of e-values in place of those of the usual test.

    They are of the seeds in the order in which they were planned, looked at after each of them.
    """
    row, rules, alternative = found.row, ask.contrast.kind.rules, ask.contrast.alternative
    if row.status != State.OK:
        return found
    alone = rules.compares is Compared.ONE
    by_seed = ask.a.deltas if alone else paired_differences(ask.a, ask.b)
    if not by_seed:
        reason = f"e-values are of paired seeds: {row.pairing_reason}"
        return Tested(row=emptied(row, "unpaired", reason))
    places = [p for arm, p in (ask.study.places or {}).items() if arm in row.arms]
    order = sorted(by_seed, key=lambda s: (max(p.index(s) for p in places if s in p), s))
    values = [by_seed[s] for s in order]

    def p_of(side: Alternative, shift: float = 0.0) -> float:
        p = anytime([v + shift for v in values], side).p
        return 1.0 if p is None else p

    level, against = ask.level, OPPOSITE.get(alternative)
    p = p_of(alternative)
    p_opposite = None if against is None else p_of(against)
    if (sesoi := row.sesoi) is not None:
        inside = p_of(Alternative.GREATER, sesoi), p_of(Alternative.LESS, -sesoi)
        row = replace(row, p_noninferior=inside[0], p_tost=max(inside))
        if rules.margin is not Margin.OPTIONAL:
            below = rules.margin is Margin.BELOW
            outside = p_of(Alternative.LESS, sesoi), p_of(Alternative.GREATER, -sesoi)
            p, p_opposite = (inside[0], outside[0]) if below else (max(inside), min(outside))
            level = 1 - 2 * ask.study.alpha
    kept = kept_interval(values, level, directed=rules.margin is not Margin.OPTIONAL)
    row = replace(
        row,
        p=p,
        test=f"{row.test}_anytime",
        statistic=None,
        df=None,
        p_exact=None,
        p_attainable_min=None,
        **interval_fields(kept if isfinite(kept.high - kept.low) else None),
    )
    outlook = found.outlook
    if outlook and isinstance(outlook.design, MeanDesign):
        (sd,), seen = outlook.design.sds, None
        design = AnytimeDesign(n=len(values), aim=outlook.design.aim)
        if isinstance(outlook.seen, MeanDesign):
            seen = replace(design, offset=outlook.seen.offset / sd)
        outlook = replace(outlook, design=design, seen=seen, scale=sd)
    return Tested(row=row, p_opposite=p_opposite, outlook=outlook, looked=True)


def _in_sds(design: Design, sd: float) -> Design:
    """A design of one sample, in units of its sd."""
    if not isinstance(design, MeanDesign):
        return design
    return replace(design, sds=(1.0,), offset=design.offset / sd)
