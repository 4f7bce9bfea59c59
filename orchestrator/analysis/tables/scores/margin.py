"""T2: what the margin of the hinge does."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.evidence.comparison import Comparison
from orchestrator.analysis.tables.arms import Arms, fewest
from orchestrator.analysis.tables.columns import (
    NAT,
    RHO,
    count,
    data,
    interval,
    of_notes,
    p_value,
    plain,
    short,
    signed,
    words,
)
from orchestrator.analysis.tables.view import Column, Missing, Row, View
from orchestrator.stats.multiplicity import holm
from orchestrator.stats.records import State

KEY, NAME = "T2", "margin"
NOTES_MARGIN = 0.1
NOTES_ORDER = ("bias", "factual", "toxicity")


def margin(arms: Arms) -> View | Missing:
    """Delta rho by margin; tests of one behaviour, bias where it was evaluated.

    Each arm is compared with that of the notes' margin, else of the largest one.
    """
    groups = _groups(arms)
    if not groups:
        return Missing(key=KEY, name=NAME, reason="one margin only")
    behaviors = _in_order(arms.behaviors)
    focus = behaviors[0]
    lines = [
        (arm, _reference(group))
        for group in groups
        for arm in sorted(group, key=lambda e: e.margin or 0.0)
    ]
    found = [_compared(arms, arm, reference, focus) for arm, reference in lines]
    p_holm = holm([c.test.p if c else None for c in found])
    rows = [
        _row(arms, arm, reference, behaviors, c, p)
        for (arm, reference), c, p in zip(lines, found, p_holm, strict=True)
    ]
    at = sorted({r["reference_margin"] for r in rows})
    return View(
        key=KEY,
        name=NAME,
        title=arms.title("Margin of the hinge", [r["n"] for r in rows]),
        columns=_columns(arms.ci, behaviors, focus, at, several=len(groups) > 1),
        rows=tuple(rows),
        notes=_notes(rows, focus),
    )


def _groups(arms: Arms) -> list[list[ArmEvidence]]:
    """Arms that differ in their margin only, at least two of them."""
    found: dict[tuple[Any, ...], list[ArmEvidence]] = defaultdict(list)
    for arm in arms.trained:
        if arm.margin is not None:
            found[arm.condition, arm.rho_weight, arm.differs, arm.baseline_key].append(arm)
    return [g for g in found.values() if len({e.margin for e in g}) > 1]


def _in_order(behaviors: Sequence[str]) -> tuple[str, ...]:
    first = [b for b in NOTES_ORDER if b in behaviors]
    return (*first, *(b for b in behaviors if b not in first))


def _reference(group: Sequence[ArmEvidence]) -> ArmEvidence:
    by_margin = {e.margin or 0.0: e for e in group}
    return by_margin.get(NOTES_MARGIN, by_margin[max(by_margin)])


def _compared(
    arms: Arms, arm: ArmEvidence, reference: ArmEvidence, behavior: str
) -> Comparison | None:
    one, two = arms.get(arm, behavior), arms.get(reference, behavior)
    if one is None or two is None or one.arm_id == two.arm_id:
        return None
    return arms.compare(one, two)


def _row(
    arms: Arms,
    arm: ArmEvidence,
    reference: ArmEvidence,
    behaviors: Sequence[str],
    found: Comparison | None,
    p_holm: float | None,
) -> Row:
    known = {b: arms.get(arm, b) for b in behaviors}
    row: dict[str, Any] = {
        **arms.identity(arm),
        "n": fewest(known.values()),
        "reference_margin": reference.margin,
        "status": str(found.test.state) if found else str(State.OK),
        "diff_text": "ref" if arm.arm_id == reference.arm_id else None,
    }
    for behavior, one in known.items():
        delta = one.delta if one else None
        row[behavior] = delta.mean if delta else None
        row[f"{behavior}_sd"] = delta.sd if delta else None
        row[f"{behavior}_n"] = one.n if one else None
    focus = known[behaviors[0]]
    sft = arms.reference(focus) if focus else None
    interval_ = found.test.interval if found else None
    return row | {
        f"{behaviors[0]}_abs": focus.score.mean if focus and focus.score else None,
        "diff_vs_ref": found.test.diff if found else None,
        "ci_low": interval_.low if interval_ else None,
        "ci_high": interval_.high if interval_ else None,
        "diff_vs_sft_only": arms.compare(focus, sft).test.diff if focus and sft else None,
        "p_holm": p_holm,
    }


def _columns(
    ci: str, behaviors: Sequence[str], focus: str, at: Sequence[float], *, several: bool
) -> tuple[Column, ...]:
    ref = f"margin {at[0]:g}" if len(at) == 1 else "reference"
    group = (words("Condition", "condition"), short("Weight", "rho_weight"))
    settings = (words("Settings", "settings"),)
    return (
        *of_notes(short("Margin", "margin", NAT)),
        *of_notes(*(signed(f"{b.capitalize()} Δρ", b, NAT) for b in behaviors)),
        count("n", "n"),
        *(plain(f"{b} sd", f"{b}_sd", NAT) for b in behaviors),
        signed(f"{focus} {RHO} absolute", f"{focus}_abs", NAT),
        signed(f"{focus} diff vs {ref}", "diff_vs_ref", NAT, instead="diff_text"),
        interval(ci, "ci_low", "ci_high", NAT),
        signed(f"{focus} diff vs sft-only", "diff_vs_sft_only", NAT),
        p_value("p Holm", "p_holm"),
        words("status", "status"),
        *(group if several else data(*group)),
        *(settings if several else data(*settings)),
        *data(*(count(f"{b} n", f"{b}_n") for b in behaviors)),
        *data(short("reference margin", "reference_margin", NAT)),
    )


def _notes(rows: Sequence[Row], focus: str) -> tuple[str, ...]:
    notes = [
        f"{focus} at margin {row['margin']:g}: Δρ is below 0 and {RHO} itself is not: no inversion."
        for row in rows
        if (row[focus] or 0) < 0 <= (row[f"{focus}_abs"] or -1)
    ]
    if any(row["status"] == State.NOT_TESTABLE for row in rows):
        notes.append("not_testable: the sd over seeds is not known.")
    return tuple(notes)
