"""T1: delta rho of refusal for each arm, compared with its sft-only arm."""

from collections.abc import Iterator, Sequence
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.evidence.comparison import Comparison
from orchestrator.analysis.tables.arms import CONDITION, SETTINGS, Arms
from orchestrator.analysis.tables.columns import (
    NAT,
    count,
    data,
    interval,
    of_notes,
    p_value,
    plus_minus,
    short,
    signed,
    words,
)
from orchestrator.analysis.tables.verdicts import NOTHING_ASKED, OF_CLAIMS, Verdicts
from orchestrator.analysis.tables.view import Column, Missing, Row, View
from orchestrator.config.contrast_kinds import Kind
from orchestrator.stats.means import equivalence
from orchestrator.stats.multiplicity import holm

KEY, NAME = "T1", "refusal_buffer"
REFUSAL = "refusal"


def refusal_buffer(
    arms: Arms, sesoi: float | None = None, verdicts: Verdicts = NOTHING_ASKED
) -> View | Missing:
    """Delta rho of refusal by arm, and its difference to sft-only.

    Args:
        arms: Evidence of one split.
        sesoi: Loss of refusal that would not matter, nats per token; without one nothing is said
            about keeping refusal.
        verdicts: Of contrasts that ask for non-inferiority; without one a row has no verdict.
    """
    found = [e for e in arms.on(REFUSAL) if e.delta is not None]
    if not found:
        reason = "no refusal scores" if arms.on(REFUSAL) else "refusal was not evaluated"
        return Missing(key=KEY, name=NAME, reason=reason)
    references = [arms.reference(e) for e in found]
    compared = [
        arms.compare(e, r) if r is not None and r.arm_id != e.arm_id else None
        for e, r in zip(found, references, strict=True)
    ]
    notes = ["No margin was stated, so that nothing is said about keeping refusal."]
    if sesoi is not None:
        notes = [
            f"p of non-inferiority: not below sft-only by more than {sesoi:g} nat/token, not "
            f"adjusted. {OF_CLAIMS}"
        ]
    if None in references:
        notes.append("Where nothing is compared, not exactly one sft-only arm has the settings.")
    reasons = sorted({c.reason for c in compared if c and c.reason})
    if reasons:
        notes.append(f"Not paired: {'; '.join(reasons)}.")
    return View(
        key=KEY,
        name=NAME,
        title=arms.title("Refusal beside SFT alone", [e.n for e in found]),
        columns=(*_columns(sesoi, arms.ci), *SETTINGS),
        rows=tuple(_rows(arms, found, references, compared, sesoi, verdicts)),
        notes=tuple(notes),
    )


def _columns(sesoi: float | None, ci: str) -> tuple[Column, ...]:
    at = "" if sesoi is None else f" (δ={sesoi:g})"
    return (
        *of_notes(CONDITION, plus_minus("Refusal Δρ", "delta_mean", "delta_sd", NAT)),
        count("n", "n"),
        signed("diff vs sft-only", "diff_ref", NAT, instead="diff_text"),
        interval(ci, "ci_low", "ci_high", NAT),
        words("test", "test"),
        p_value("p Student (notes)", "p_student"),
        p_value("p", "p"),
        p_value("p Holm", "p_holm"),
        *data(signed("g", "g", digits=1)),
        interval(f"g [{ci}]", "g_low", "g_high", digits=1, instead="g_text"),
        *data(short("sesoi", "sesoi", NAT)),
        p_value(f"p non-inferior{at}", "p_noninferior"),
        p_value(f"p TOST{at}", "p_tost"),
        words("verdict", "verdict"),
    )


def _rows(
    arms: Arms,
    found: Sequence[ArmEvidence],
    references: Sequence[ArmEvidence | None],
    compared: Sequence[Comparison | None],
    sesoi: float | None,
    verdicts: Verdicts,
) -> Iterator[Row]:
    """One row an arm; p of differences are one family of Holm's."""
    margins = [equivalence(c.test, sesoi, arms.alpha) if c and sesoi else None for c in compared]
    differ = holm([c.test.p if c else None for c in compared])
    for arm, reference, one, margin, p_differ in zip(
        found, references, compared, margins, differ, strict=True
    ):
        row: dict[str, Any] = {
            **arms.identity(arm),
            "delta_mean": arm.delta.mean if arm.delta else None,
            "delta_sd": arm.delta.sd if arm.delta else None,
            "n": arm.n,
            "sesoi": sesoi,
            "diff_text": "ref" if reference is not None and one is None else None,
        }
        if one is not None:
            ids = [arm.arm_id, *([reference.arm_id] if reference else [])]
            row |= {
                **numbers(one),
                "diff_ref": one.test.diff,
                "p_holm": p_differ,
                "p_noninferior": margin.p_noninferior if margin else None,
                "p_tost": margin.p_tost if margin else None,
                "verdict": verdicts.of(Kind.NONINFERIORITY, ids, REFUSAL, arms.split, sesoi=sesoi),
            }
        yield row


def numbers(found: Comparison) -> dict[str, Any]:
    """Interval, p and effect size of a comparison, under the names that tables share."""
    ci, g = found.test.interval, found.g
    text = None
    if g.estimate is not None:
        text = f"{g.estimate:+.1f} [{g.low:+.1f}, {g.high:+.1f}]"
    return {
        "ci_low": ci.low if ci else None,
        "ci_high": ci.high if ci else None,
        "test": found.test.test,
        "p_student": found.student.p,
        "p": found.test.p,
        "g": g.estimate,
        "g_low": g.low,
        "g_high": g.high,
        "g_text": text,
    }
