"""Adjustment for many contrasts, and the verdict that follows from each row. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from orchestrator.analysis.inference.question import Tested, claimed
from orchestrator.analysis.inference.record import OPPOSITE, OTHER_WAY, Family, Inference
from orchestrator.config.contrast_kinds import NAT, Margin
from orchestrator.stats.beside.designs import Outlook
from orchestrator.stats.multiplicity import benjamini_hochberg, holm
from orchestrator.stats.records import Alternative
from orchestrator.stats.verdict import Verdict, decide

METHODS = {"holm": holm, "bh": benjamini_hochberg}


def settle(
    tested: Sequence[Tested], alpha: float, sizes: Mapping[tuple[str, str], int] | None = None
) -> tuple[Inference, ...]:
    """Adjusted p-values and verdicts.

    Args:
        tested: Rows without them. Registered ones of one group are a family under Holm, with those
            of earlier launches but not of later ones; all others are explored together, under
            Benjamini-Hochberg, and never mixed with the first.
        alpha: Level of every test, after adjustment.
        sizes: (group, launch) -> tests that its registration planned, which counts where it is more
            than the tests that could be made: a family does not shrink when scores are missing.
    """
    rows = [t.row for t in tested]
    families = [(t.row.family, t.group) for t in tested]
    for family, group, asked in {(t.row.family, t.group, t.asked): None for t in tested}:
        mine = [i for i, of in enumerate(families) if of == (family, group)]
        places = [i for i in mine if tested[i].asked <= asked]
        method, planned = "bh", 0
        if family is Family.PRIMARY:
            known = (sizes or {}).items()
            planned = sum(n for (name, at), n in known if name == group and at <= asked)
            method = "holm"
        members = adjusted([rows[i] for i in places], method, planned)
        for i, row in zip(places, members, strict=True):
            rows[i] = row if tested[i].asked == asked else rows[i]
    return tuple(
        with_verdict(replace(t, row=with_reach(row, t.outlook, alpha)), alpha)
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


def adjusted(rows: Sequence[Inference], method: str, planned: int = 0) -> list[Inference]:
    """Rows of one family with their adjusted p.

    Under `bh` a comparison that several questions ask is one test: else a strong one, asked twenty
    times, would carry weak ones.

    Args:
        rows: All rows of the family.
        method: `holm` or `bh`.
        planned: Tests of the family, where more than have a p; the others count as p = 1.
    """
    tests = [_test_of(r) if method == "bh" else n for n, r in enumerate(rows)]
    ps = {test: r.p for test, r in zip(tests, rows, strict=True)}
    known = sum(p is not None for p in ps.values())
    size = max(planned, known)
    found = dict(zip(ps, METHODS[method]([*ps.values(), *[1.0] * (size - known)]), strict=False))
    return [
        row
        if (p := found[test]) is None
        else replace(row, p_adjusted=p, adjust=method, family_size=size)
        for row, test in zip(rows, tests, strict=True)
    ]


def _test_of(row: Inference) -> tuple[object, ...]:
    """What is the same of two rows that made the same test."""
    asked = (row.kind, row.behavior, row.split, row.arms, row.alternative, row.population)
    return (*asked, row.sesoi, row.p, row.estimate)


def with_verdict(tested: Tested, alpha: float) -> Inference:
    """A row with its verdict; its notes say what it rests on where that is not the row's p."""
    word, row = verdict(tested, alpha), tested.row
    if word is Verdict.INTERIM and tested.interim is not None:
        row = replace(row, notes=(*row.notes, tested.interim))
    if word.supports and _claimed(row) < 0:
        row = replace(row, notes=(*row.notes, OTHER_WAY))
    against = _against(tested)
    if word is Verdict.CONTRADICTED and against is not None:
        row = replace(row, notes=(*row.notes, f"{OPPOSITE}{against:.2g}, adjusted"))
    return replace(row, verdict=str(word))


def verdict(tested: Tested, alpha: float) -> Verdict:
    """What a row says of its claim; `stats.verdict.decide` has the rule.

    What speaks against a claim is adjusted, too, by the size of the family. A claim with a margin
    is contradicted where a lies beyond the margin. A claim that a response is straight is
    contradicted only by lack of fit, and nothing supports it.
    """
    if tested.interim is None:
        return _final(tested, alpha)
    word = _final(tested, alpha) if tested.looked else Verdict.INTERIM
    # An effect that is below the relevant size may still be found to differ from 0 at a later look.
    against = word is Verdict.CONTRADICTED and tested.p_opposite is not None
    return word if word.supports or against else Verdict.INTERIM


def _final(tested: Tested, alpha: float) -> Verdict:
    """As `verdict`, of a row that may decide."""
    row = tested.row
    if _is_rounding(tested):
        return Verdict.IDENTICAL
    if row.p is None or row.p_adjusted is None or row.family_size is None:
        return Verdict.NOT_TESTABLE
    rules = row.kind.rules
    if not rules.supportable:
        return Verdict.CONTRADICTED if row.p_adjusted <= alpha else Verdict.INCONCLUSIVE
    against = _against(tested)
    if rules.margin is not Margin.OPTIONAL:
        if row.p_adjusted <= alpha:
            return Verdict.SUPPORTED
        beyond = against is not None and against <= alpha / 2
        return Verdict.CONTRADICTED if beyond else Verdict.INCONCLUSIVE
    word = decide(
        row.p_adjusted,
        Alternative(row.alternative),
        alpha,
        p_opposite=against,
        p_tost=_times(row.p_tost, row.family_size),
    )
    small = row.sesoi is not None and row.estimate is not None and _claimed(row) < row.sesoi
    return Verdict.SUPPORTED_SMALL if word is Verdict.SUPPORTED and small else word


def _claimed(row: Inference) -> float:
    """The estimate, positive where it points as claimed; 0 without one."""
    return claimed(row.estimate or 0.0, Alternative(row.alternative))


def _is_rounding(tested: Tested) -> bool:
    """Whether no value within the interval, or between the doses, is more than rounding."""
    row = tested.row
    floor = tested.floor if row.unit == NAT else 0.0  # it is that of rho
    if tested.spread is not None:
        return tested.spread <= floor
    if not row.kind.rules.is_difference or row.estimate is None:
        return False
    ends = (row.estimate, row.ci_low, row.ci_high)
    exact = row.status == "zero_variance"
    known = [e for e in ends if e is not None]
    return (exact or len(known) == len(ends)) and max(map(abs, known)) <= floor


def _against(tested: Tested) -> float | None:
    """Adjusted p of what contradicts a claim."""
    return _times(tested.p_opposite, tested.row.family_size or 1)


def _times(p: float | None, size: int) -> float | None:
    return None if p is None else min(1.0, p * size)
