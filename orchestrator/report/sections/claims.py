"""Claims: the sentence a contrast was written down for, and the row that answers it.

No sentence here is written from a number: the claim is quoted, and its verdict stands beside the
estimate, interval, p and n that it came from.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from orchestrator.analysis.inference.record import ANSWERS, Family, Inference
from orchestrator.analysis.tables.view import (
    Column,
    Shape,
    View,
    level_text,
)
from orchestrator.report.blocks import Block, Claim, Facts, Note, Section
from orchestrator.report.content import ReportContent
from orchestrator.report.figures.forest import sample
from orchestrator.report.text import count, listed

MAX_EXPLORATORY = 24
MAX_ROWS = 60
"""Of one contrast."""
VERDICTS = ("supported", "contradicted", "inconclusive", "not_testable")
SUGGESTIONS = "Not registered: suggestions for a next sweep, no findings of this one."
ELSEWHERE = "Not what the claims are about: training could see the pairs of the train split."
MEANING = (
    ("supported", "p, adjusted for its family, is at most {alpha:g} in the direction claimed"),
    ("contradicted", "as clear in the opposite direction, or within a margin stated before"),
    ("inconclusive", "neither; that is no evidence of no effect"),
    ("not_testable", "there is no valid test; a note says why"),
)


def claims_section(content: ReportContent) -> Section:
    """Registered contrasts, then the others, labelled so."""
    if not content.inference:
        nothing = Note(text="No contrast was tested on these results.")
        return Section(title="Claims", blocks=(nothing,))
    own = [r for r in content.inference if r.split in (content.split, ANSWERS)]
    registered = [r for r in own if is_registered(r)]
    exploratory = [r for r in own if not is_registered(r)]
    elsewhere = [r for r in content.inference if r.split not in (content.split, ANSWERS)]
    alpha = content.alpha
    parts = [
        _part(f"Registered before the first result ({content.split} split)", registered, alpha)
    ]
    if exploratory:
        parts.append(_part("Exploratory", exploratory, alpha, SUGGESTIONS, MAX_EXPLORATORY))
    if elsewhere:
        parts.append(_part("On another split", elsewhere, alpha, ELSEWHERE, MAX_EXPLORATORY))
    meaning = tuple((word, text.format(alpha=alpha)) for word, text in MEANING)
    return Section(title="Claims", blocks=(Facts(pairs=meaning),), parts=tuple(parts))


def is_registered(row: Inference) -> bool:
    """Whether it was written down before the first result, and counts as such."""
    return row.registered and row.family is Family.PRIMARY


def _part(
    title: str, rows: Sequence[Inference], alpha: float, remark: str = "", limit: int | None = None
) -> Section:
    if not rows:
        return Section(title=title, blocks=(Note(text="There is none."),))
    groups: dict[tuple[object, ...], list[Inference]] = {}
    for row in rows:
        groups.setdefault(_group(row), []).append(row)
    shown = list(groups.values())[:limit]
    cut = listed(len(shown), len(groups), "contrasts")
    told = f"{count(len(groups), 'contrast')}, {count(len(rows), 'row')}: {tally(rows)}."
    blocks: list[Block] = [
        Note(text=f"{remark} {told}".strip()),
        *(_claim(rows, alpha) for rows in shown),
    ]
    return Section(title=title, blocks=(*blocks, *(Note(text=text) for text in cut)))


def tally(rows: Iterable[Inference]) -> str:
    """e.g. `2 supported, 0 contradicted, 5 inconclusive, 1 not_testable`."""
    counts = Counter(row.verdict for row in rows)
    return ", ".join(f"{counts[word]} {word}" for word in VERDICTS)


def _group(row: Inference) -> tuple[object, ...]:
    """Rows of one contrast that can share a heading."""
    return (
        row.contrast_id,
        row.claim,
        row.kind,
        row.arm_a,
        row.arm_b,
        row.family,
        row.registered,
        row.alternative,
        row.population,
        row.split,
    )


def _claim(rows: Sequence[Inference], alpha: float) -> Claim:
    return Claim(
        sentence=rows[0].claim or rows[0].contrast_id,
        asked=_asked(rows[0], [r.adjust for r in rows], [r.family_size for r in rows]),
        table=_table(rows[:MAX_ROWS], listed(MAX_ROWS, len(rows), "rows"), alpha),
    )


def _where(split: str) -> str:
    return "on generated answers" if split == ANSWERS else f"on the {split} split"


def _asked(row: Inference, adjusts: Sequence[str | None], sizes: Sequence[int | None]) -> str:
    """What was compared, in the words of the row."""
    arms = f"{row.arm_a} against {row.arm_b}" if row.arm_b else row.arm_a
    parts = [
        f"Contrast {row.contrast_id}: {arms}",
        f"{row.kind}, alternative {row.alternative}",
        f"{_where(row.split)}, about {str(row.population).replace('_', ' ')}",
    ]
    known = {(a, n) for a, n in zip(adjusts, sizes, strict=True) if a is not None}
    parts += [
        f"p adjusted by {a}" + (f" over {n} tests" if n else "") for a, n in sorted_pairs(known)
    ]
    if row.family is Family.PRIMARY and not row.registered:
        parts.append("written down only after there were results")
    return "; ".join(parts) + "."


def sorted_pairs(pairs: Iterable[tuple[str, int | None]]) -> list[tuple[str, int | None]]:
    """In a fixed order, whatever is missing."""
    return sorted(pairs, key=lambda pair: (pair[0], pair[1] or 0))


def _table(rows: Sequence[Inference], notes: tuple[str, ...], alpha: float) -> View:
    unit = rows[0].kind.rules.unit
    levels = {r.ci_level for r in rows if r.ci_level is not None}
    level = f"{level_text(levels.pop())} interval" if len(levels) == 1 else "Interval"
    return View(
        key="",
        name="claim",
        title=rows[0].contrast_id,
        columns=(
            Column(label="Behaviour", fields=("behavior",)),
            Column(label="Verdict", fields=("verdict",)),
            Column(label="Estimate", fields=("estimate",), shape=Shape.SIGNED, unit=unit),
            Column(label=level, fields=("low", "high"), shape=Shape.INTERVAL, unit=unit),
            Column(label="p adjusted", fields=("p",), shape=Shape.P),
            Column(label="n", fields=("n",)),
            *(c for c in _power(unit) if any(r.verdict == "inconclusive" for r in rows)),
        ),
        rows=tuple(map(_row, rows)),
        notes=(*_notes(rows, alpha), *notes),
    )


def _power(unit: str) -> tuple[Column, Column]:
    """What an inconclusive row would have taken."""
    detectable = "Found with power 0.8"
    return (
        Column(label=detectable, fields=("mde",), shape=Shape.PLAIN, unit=unit),
        Column(label="Seeds for this estimate", fields=("needed",), shape=Shape.INTEGER),
    )


def _row(row: Inference) -> dict[str, object]:
    both = row.ci_low is not None and row.ci_high is not None
    return {
        "behavior": row.behavior,
        "verdict": row.verdict,
        "estimate": row.estimate,
        "low": row.ci_low if both else None,
        "high": row.ci_high if both else None,
        "p": row.p_adjusted,
        "n": sample(row),
        "mde": row.mde_80 if row.verdict == "inconclusive" else None,
        "needed": row.n_for_80 if row.verdict == "inconclusive" else None,
    }


def _notes(rows: Sequence[Inference], alpha: float) -> list[str]:
    """Each remark once, with the rows that it is about where it is not about all."""
    about: dict[str, list[str]] = {}
    for row in rows:
        for remark in _remarks(row, alpha):
            about.setdefault(remark, []).append(row.behavior)
    return [
        remark if len(names) == len(rows) else f"{', '.join(dict.fromkeys(names))}: {remark}"
        for remark, names in about.items()
    ]


def _remarks(row: Inference, alpha: float) -> Iterable[str]:
    """What a reader of this row should know beside its numbers."""
    if row.status != "ok":
        yield f"Status {row.status}."
    if row.pairing == "none" and row.pairing_reason:
        yield f"Not paired: {row.pairing_reason}."
    if row.p_attainable_min is not None and row.p_attainable_min > alpha:
        yield f"With these seeds an exact test cannot go below p = {row.p_attainable_min:.3g}."
    yield from row.notes
