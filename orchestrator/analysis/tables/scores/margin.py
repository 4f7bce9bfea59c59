"""T2: what the margin of the hinge does."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence
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
from orchestrator.analysis.tables.verdicts import COLUMNS, NOTHING_ASKED, OF_CLAIMS, Verdicts
from orchestrator.analysis.tables.view import Column, Missing, View
from orchestrator.config.contrast_kinds import Kind
from orchestrator.stats.multiplicity import holm

KEY, NAME = "T2", "margin"
NOTES_MARGIN = 0.1
NOTES_ORDER = ("bias", "factual", "toxicity")


def margin(arms: Arms, verdicts: Verdicts = NOTHING_ASKED) -> View | Missing:
    """Delta rho by margin; tests of one behaviour, bias where it was evaluated.

    Each arm is compared with that of the notes' margin, else of the largest one.

    Args:
        arms: Evidence of one split.
        verdicts: Of contrasts of two arms; without one a row has no verdict.
    """
    found: dict[tuple[Any, ...], list[ArmEvidence]] = defaultdict(list)
    for arm in arms.trained:
        if arm.margin is not None:
            found[arm.condition, arm.rho_weight, arm.differs, arm.baseline_key].append(arm)
    groups = [g for g in found.values() if len({e.margin for e in g}) > 1]
    if not groups:
        return Missing(key=KEY, name=NAME, reason="one margin only")
    first = [b for b in NOTES_ORDER if b in arms.behaviors]
    behaviors = (*first, *(b for b in arms.behaviors if b not in first))
    rows = _rows(arms, groups, behaviors, verdicts)
    focus = behaviors[0]
    notes = [
        f"{focus} at margin {row['margin']:g}: Δρ is below 0 and {RHO} itself is not: no inversion."
        for row in rows
        if (row[focus] or 0) < 0 <= (row[f"{focus}_abs"] or -1)
    ]
    if any(row["diff_vs_ref"] is not None and row["p_holm"] is None for row in rows):
        notes.append("Where a difference has no p, no sd over seeds is known.")
    if any(row["verdict"] for row in rows):
        notes.append(OF_CLAIMS)
    at = sorted({r["reference_margin"] for r in rows})
    return View(
        key=KEY,
        name=NAME,
        title=arms.title("Margin of the hinge", [r["n"] for r in rows]),
        columns=_columns(arms.ci, behaviors, at, several=len(groups) > 1),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def _rows(
    arms: Arms,
    groups: Sequence[Sequence[ArmEvidence]],
    behaviors: Sequence[str],
    verdicts: Verdicts,
) -> list[dict[str, Any]]:
    """Each arm beside the reference of its group; tests are of the first behaviour."""
    focus, rows, ps = behaviors[0], [], []
    for group in groups:
        by_margin = {e.margin or 0.0: e for e in group}
        reference = by_margin.get(NOTES_MARGIN, by_margin[max(by_margin)])
        other = arms.get(reference, focus)
        for arm in sorted(group, key=lambda e: e.margin or 0.0):
            known = {b: arms.get(arm, b) for b in behaviors}
            one, same = known[focus], arm.arm_id == reference.arm_id
            test = arms.compare(one, other).test if one and other and not same else None
            sft = arms.reference(one) if one else None
            row: dict[str, Any] = {
                **arms.identity(arm),
                "n": fewest(known.values()),
                "reference_margin": reference.margin,
                **verdicts.beside(
                    Kind.MEAN_DIFF,
                    (arm.arm_id, reference.arm_id),
                    focus,
                    arms.split,
                    test.diff if test else None,
                ),
                "diff_text": "ref" if same else None,
                f"{focus}_abs": one.score.mean if one and one.score else None,
                "diff_vs_ref": test.diff if test else None,
                "ci_low": test.interval.low if test and test.interval else None,
                "ci_high": test.interval.high if test and test.interval else None,
                "diff_vs_sft_only": arms.compare(one, sft).test.diff if one and sft else None,
            }
            for behavior, evidence in known.items():
                delta = evidence.delta if evidence else None
                row[behavior] = delta.mean if delta else None
                row[f"{behavior}_sd"] = delta.sd if delta else None
                row[f"{behavior}_n"] = evidence.n if evidence else None
            rows.append(row)
            ps.append(test.p if test else None)
    return [row | {"p_holm": p} for row, p in zip(rows, holm(ps), strict=True)]


def _columns(
    ci: str, behaviors: Sequence[str], at: Sequence[float], *, several: bool
) -> tuple[Column, ...]:
    """Numbers of all behaviours, tests of the first; `at`: margins that arms are compared with."""
    focus = behaviors[0]
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
        *COLUMNS,
        *(group if several else data(*group)),
        *(settings if several else data(*settings)),
        *data(*(count(f"{b} n", f"{b}_n") for b in behaviors)),
        *data(short("reference margin", "reference_margin", NAT)),
    )
