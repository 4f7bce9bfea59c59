"""Adjustment for many contrasts, and the verdict that follows from each row. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.analysis.inference.question import Tested
from orchestrator.analysis.inference.record import OPPOSITE, Family, Inference
from orchestrator.config.contrast_kinds import Margin
from orchestrator.stats.beside.designs import Outlook
from orchestrator.stats.multiplicity import benjamini_hochberg, holm
from orchestrator.stats.records import Alternative
from orchestrator.stats.verdict import Verdict, decide

METHODS = {"holm": holm, "bh": benjamini_hochberg}


def settle(tested: Sequence[Tested], alpha: float) -> tuple[Inference, ...]:
    """Adjusted p-values and verdicts.

    Registered contrasts are one family under Holm; all others are explored, under
    Benjamini-Hochberg, and never mixed with the first.
    """
    rows = [t.row for t in tested]
    for family, method in ((Family.PRIMARY, "holm"), (Family.EXPLORATORY, "bh")):
        places = [i for i, r in enumerate(rows) if r.family is family]
        for i, row in zip(places, adjusted([rows[i] for i in places], method), strict=True):
            rows[i] = row
    return tuple(
        with_verdict(with_reach(row, t.outlook, alpha), t.p_opposite, alpha)
        for row, t in zip(rows, tested, strict=True)
    )


def with_reach(row: Inference, outlook: Outlook | None, alpha: float) -> Inference:
    """A row with what its design finds as `supported`: at alpha divided by the family's size."""
    if outlook is None:
        return row
    found = outlook.reach(alpha / (row.family_size or 1))
    row = replace(row, mde_80=found.mde, mde_low=found.mde_low, mde_high=found.mde_high)
    if outlook.counted == "seeds" or found.n_for is None:
        return replace(row, n_for_80=found.n_for)
    note = f"{found.n_for} such prompts would find this with probability 0.8"
    return replace(row, notes=(*row.notes, note))


def adjusted(rows: Sequence[Inference], method: str) -> list[Inference]:
    """Rows of one family with their adjusted p; `method` is `holm` or `bh`."""
    size = sum(r.p is not None for r in rows)
    found = METHODS[method]([r.p for r in rows])
    return [
        row if p is None else replace(row, p_adjusted=p, adjust=method, family_size=size)
        for row, p in zip(rows, found, strict=True)
    ]


def with_verdict(row: Inference, p_opposite: float | None, alpha: float) -> Inference:
    """A row with its verdict; the note of a contradiction names the p that it rests on."""
    word, against = verdict(row, p_opposite, alpha), _times(p_opposite, row.family_size or 1)
    if word is Verdict.CONTRADICTED and against is not None:
        row = replace(row, notes=(*row.notes, f"{OPPOSITE}{against:.2g}, adjusted"))
    return replace(row, verdict=str(word))


def verdict(row: Inference, p_opposite: float | None, alpha: float) -> Verdict:
    """What a row says of its claim; `stats.verdict.decide` has the rule.

    The opposite p is adjusted, too, by the size of the family. A claim with a margin is
    contradicted where the whole interval lies outside the margin. A claim that a response is
    straight is contradicted only by lack of fit, and nothing supports it.
    """
    if row.p is None or row.p_adjusted is None or row.family_size is None:
        return Verdict.NOT_TESTABLE
    if not row.kind.rules.supportable:
        return Verdict.CONTRADICTED if row.p_adjusted <= alpha else Verdict.INCONCLUSIVE
    if row.kind.rules.margin is not Margin.OPTIONAL:
        if row.p_adjusted <= alpha:
            return Verdict.SUPPORTED
        if row.sesoi is None or row.ci_low is None or row.ci_high is None:
            return Verdict.INCONCLUSIVE
        below = row.ci_high < -row.sesoi
        above = row.kind.rules.margin is Margin.BOTH_SIDES and row.ci_low > row.sesoi
        return Verdict.CONTRADICTED if below or above else Verdict.INCONCLUSIVE
    return decide(
        row.p_adjusted,
        Alternative(row.alternative),
        alpha,
        p_opposite=_times(p_opposite, row.family_size),
        p_tost=_times(row.p_tost, row.family_size),
    )


def _times(p: float | None, size: int) -> float | None:
    return None if p is None else min(1.0, p * size)
