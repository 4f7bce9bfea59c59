"""Claims: the sentence a contrast was written down for, and the row that answers it.

No sentence here is written from a number: the claim is quoted, and its verdict stands beside the
estimate, interval, p and n that it came from.
"""

from collections.abc import Iterable, Sequence

from orchestrator.analysis.inference.record import ANSWERS, Family, Inference
from orchestrator.analysis.tables.view import (
    Column,
    Shape,
    View,
    level_text,
)
from orchestrator.config.contrast_kinds import Compared
from orchestrator.report.blocks import Block, Claim, Facts, Note, Section
from orchestrator.report.content import ReportContent
from orchestrator.report.figures.forest import sample
from orchestrator.report.text import count, listed
from orchestrator.stats.verdict import Verdict, tally

MAX_EXPLORATORY = 24
MAX_ROWS = 60
"""Of one contrast."""
SUGGESTIONS = "Not registered: suggestions for a next sweep, no findings of this one."
SEEN = "Training could see the pairs of the train split."
ELSEWHERE = f"Not what the claims are about. {SEEN}"


def claims_section(content: ReportContent) -> Section:
    """Registered contrasts, then the others, labelled so."""
    if not content.inference:
        nothing = Note(text="No contrast was tested on these results.")
        return Section(title="Claims", blocks=(nothing,))
    own = (content.split, ANSWERS)
    exploratory = [r for r in content.inference if not is_registered(r) and r.split in own]
    elsewhere = [r for r in content.inference if not is_registered(r) and r.split not in own]
    alpha = content.alpha
    parts = list(registered_parts(content))
    claimed = [r.split for r in content.inference if is_registered(r)]
    if exploratory:
        parts.append(_part("Exploratory", exploratory, alpha, SUGGESTIONS, MAX_EXPLORATORY))
    if elsewhere:
        about = sorted({r.split for r in elsewhere}.intersection(claimed))
        remark = " ".join(f"The claims about the {split} split stand above." for split in about)
        remark = f"{SUGGESTIONS} {remark}" if about else ELSEWHERE
        parts.append(_part("On another split", elsewhere, alpha, remark, MAX_EXPLORATORY))
    said = {r.verdict for r in content.inference}
    meaning = tuple((v.words, v.meaning.format(alpha=f"{alpha:g}")) for v in Verdict if v in said)
    return Section(title="Claims", blocks=(Facts(pairs=meaning),), parts=tuple(parts))


def registered_parts(content: ReportContent) -> tuple[Section, ...]:
    """The registered contrasts, a part for each split; the split of `content` comes first."""
    found: dict[str, list[Inference]] = {content.split: []}
    for row in filter(is_registered, content.inference):
        found.setdefault(content.split if row.split == ANSWERS else row.split, []).append(row)
    return tuple(
        _part(
            f"Registered before the first result ({split} split)",
            rows,
            content.alpha,
            SEEN if split == "train" else "",
        )
        for split, rows in found.items()
    )


def is_registered(row: Inference) -> bool:
    """Whether it was written down before the first result, and counts as such."""
    return row.registered and row.family is Family.PRIMARY


def _part(
    title: str, rows: Sequence[Inference], alpha: float, remark: str = "", limit: int | None = None
) -> Section:
    """One claim a contrast, at most `limit` of them; `remark` begins the note above them."""
    if not rows:
        return Section(title=title, blocks=(Note(text="There is none."),))
    groups: dict[tuple[object, ...], list[Inference]] = {}
    for row in rows:
        same_claim = (
            row.name,
            row.claim,
            row.kind,
            row.arms if _is_best(row) else row.arm_a,  # each behaviour has a best one of its own
            row.arm_b,
            row.family,
            row.registered,
            row.alternative,
            row.population,
            row.split,
        )
        groups.setdefault(same_claim, []).append(row)
    shown = list(groups.values())[:limit]
    cut = listed(len(shown), len(groups), "contrasts")
    said = tally(row.verdict for row in rows)
    told = f"{count(len(groups), 'contrast')}, {count(len(rows), 'row')}: {said}."
    blocks: list[Block] = [
        Note(text=f"{remark} {told}".strip()),
        *(
            Claim(
                sentence=group[0].claim or group[0].name,
                asked=_asked(group),
                table=_table(group[:MAX_ROWS], listed(MAX_ROWS, len(group), "rows"), alpha),
            )
            for group in shown
        ),
    ]
    return Section(title=title, blocks=(*blocks, *(Note(text=text) for text in cut)))


def _asked(rows: Sequence[Inference]) -> str:
    """What the rows of one claim compare; the adjustments of p are those of all its rows."""
    row = rows[0]
    where = " and ".join(dict.fromkeys(f"on {r.place}" for r in rows))
    a = f"the best of {len(row.arms) - 1} doses" if _is_best(row) else row.arm_a
    arms = f"{a} against {row.arm_b}" if row.arm_b else a
    parts = [
        f"Contrast {row.name}: {arms}",
        f"{row.kind}, alternative {row.alternative}",
        f"{where}, about {str(row.population).replace('_', ' ')}",
    ]
    known = {(r.adjust, r.family_size) for r in rows if r.adjust is not None}
    parts += [
        f"p adjusted by {a}" + (f" over {n} tests" if n else "") for a, n in sorted_pairs(known)
    ]
    if row.family is Family.PRIMARY and not row.registered:
        parts.append("written down only after there were results")
    return "; ".join(parts) + "."


def _is_best(row: Inference) -> bool:
    return row.kind.rules.compares is Compared.BEST


def sorted_pairs(pairs: Iterable[tuple[str, int | None]]) -> list[tuple[str, int | None]]:
    """In a fixed order, whatever is missing."""
    return sorted(pairs, key=lambda pair: (pair[0], pair[1] or 0))


def _table(rows: Sequence[Inference], notes: tuple[str, ...], alpha: float) -> View:
    """The answers of one claim, a row a behaviour; `notes` stand below the remarks on its rows.

    What an inconclusive row would have taken is shown where there is such a row.
    """
    unit = " or ".join(dict.fromkeys(row.unit for row in rows))
    levels = {r.ci_level for r in rows if r.ci_level is not None}
    level = f"{level_text(levels.pop())} interval" if len(levels) == 1 else "Interval"
    cells: list[dict[str, object]] = []
    for row in rows:
        both = row.ci_low is not None and row.ci_high is not None  # one bound is no interval
        inconclusive = row.verdict == "inconclusive"
        found: dict[str, object] = {
            "behavior": row.behavior,
            "verdict": row.verdict,
            "estimate": row.estimate,
            "low": row.ci_low if both else None,
            "high": row.ci_high if both else None,
            "p": row.p_adjusted,
            "n": sample(row),
            "mde": row.mde_80 if inconclusive else None,
            "needed": row.n_for_80 if inconclusive else None,
        }
        cells.append(found)
    power = (
        Column(label="Found with power 0.8", fields=("mde",), shape=Shape.PLAIN, unit=unit),
        Column(label="Seeds for this estimate", fields=("needed",), shape=Shape.INTEGER),
    )
    return View(
        key="",
        name="claim",
        title=rows[0].name,
        columns=(
            Column(label="Behavior", fields=("behavior",)),
            Column(label="Verdict", fields=("verdict",)),
            Column(label="Estimate", fields=("estimate",), shape=Shape.SIGNED, unit=unit),
            Column(label=level, fields=("low", "high"), shape=Shape.INTERVAL, unit=unit),
            Column(label="p adjusted", fields=("p",), shape=Shape.P),
            Column(label="n", fields=("n",)),
            *(power if any(r.verdict == "inconclusive" for r in rows) else ()),
        ),
        rows=tuple(cells),
        notes=(*_notes(rows, alpha), *notes),
    )


def _notes(rows: Sequence[Inference], alpha: float) -> list[str]:
    """What a reader should know beside the numbers; a remark that is not on all rows names them."""
    about: dict[str, list[str]] = {}
    for row in rows:
        remarks = []
        if row.status != "ok":
            remarks.append(f"{row.status.replace('_', ' ').capitalize()}.")
        if row.pairing == "none" and row.pairing_reason:
            remarks.append(f"Not paired: {row.pairing_reason}.")
        if (least := row.p_attainable_min) is not None and least > alpha:
            remarks.append(f"With these seeds an exact test cannot go below p = {least:.3g}.")
        for remark in (*remarks, *row.notes):
            about.setdefault(remark, []).append(row.behavior)
    return [
        remark if len(names) == len(rows) else f"{', '.join(dict.fromkeys(names))}: {remark}"
        for remark, names in about.items()
    ]
