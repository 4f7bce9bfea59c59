"""T5: comparisons of two arms: columns that the published notes have, then further tests."""

from collections.abc import Sequence
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.inference.record import Family, Inference
from orchestrator.analysis.tables.arms import Arms
from orchestrator.analysis.tables.columns import (
    NAT,
    count,
    data,
    interval,
    of_notes,
    p_value,
    short,
    signed,
    words,
)
from orchestrator.analysis.tables.scores.refusal import numbers
from orchestrator.analysis.tables.view import Column, Missing, Row, View
from orchestrator.config.contrast_kinds import Kind, Population
from orchestrator.stats.multiplicity import benjamini_hochberg
from orchestrator.stats.records import (
    Alternative,
)

KEY, NAME = "T5", "effects"
HOLM = "holm"


def effects(
    arms: Arms, inference: Sequence[Inference] = (), *, more: bool = True
) -> View | Missing:
    """The comparisons asked for, then every other arm beside sft-only.

    Args:
        arms: Evidence of one split; names the arms of `inference` rows as well.
        inference: Rows of any kind and split; comparisons of two arms are taken.
        more: Whether arms that nobody asked about are compared with sft-only as well; these
            comparisons have a p adjusted among themselves, and no verdict.
    """
    found = (i for i in inference if i.status != "missing" and i.unit == NAT)
    asked = [i for i in found if i.kind is Kind.MEAN_DIFF and len(i.arms) == 2]
    rows = [_asked(arms, i) for i in asked]
    if more:
        rows += _unasked(arms, {(i.arms, i.behavior, i.split) for i in asked})
    if not rows:
        return Missing(key=KEY, name=NAME, reason="no two arms to compare")
    splits, what = sorted({r["split"] for r in rows}), "Comparisons of two arms"
    title = f"{what}, {splits[0] if len(splits) == 1 else 'several splits'}, n varies"
    if splits == [arms.split]:
        title = arms.title(what, [n for r in rows for n in (r["n_a"], r["n_b"])])
    reasons = sorted({r["pairing_reason"] for r in rows if r["pairing_reason"]})
    notes = [f"Not paired: {'; '.join(reasons)}."] if reasons else []
    limited = sum((r["p_attainable_min"] or 0) > arms.alpha for r in rows)
    if limited:
        notes.append(
            f"{limited} of {len(rows)} designs have too few seeds for an exact p of "
            f"{arms.alpha:g} or less."
        )
    return View(
        key=KEY,
        name=NAME,
        title=title,
        columns=_columns(rows, arms.ci),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def _asked(arms: Arms, row: Inference) -> Row:
    a, b = (arms.by_id(i) for i in row.arms)
    names = [arms.label(e) if e else name for e, name in ((a, row.arm_a), (b, row.arm_b))]
    g = None
    if row.hedges_g is not None and row.g_low is not None and row.g_high is not None:
        g = f"{row.hedges_g:+.1f} [{row.g_low:+.1f}, {row.g_high:+.1f}]"
    return {
        **_named(a, b, names, row.behavior, row.split),
        "cohens_d": row.cohens_d,
        "n_a": row.n_a,
        "n_b": row.n_b,
        "pairing": row.pairing,
        "pairing_reason": row.pairing_reason,
        "diff": row.estimate,
        "ci_low": row.ci_low,
        "ci_high": row.ci_high,
        "g": row.hedges_g,
        "g_low": row.g_low,
        "g_high": row.g_high,
        "g_text": g,
        "test": row.test,
        "p": row.p_student,
        "p_default": row.p,
        "p_holm": row.p_adjusted if row.adjust == HOLM else None,
        "p_bh": row.p_adjusted if row.adjust not in (HOLM, None) else None,
        "family": str(row.family),
        "family_size": row.family_size,
        "p_attainable_min": row.p_attainable_min,
        "population": str(row.population),
        "alternative": str(row.alternative),
        "verdict": row.verdict,
        "claim": row.name,
    }


def _unasked(arms: Arms, asked: set[tuple[tuple[str, ...], str, str]]) -> list[dict[str, Any]]:
    """Every arm beside its sft-only arm where that was not asked; p adjusted among these."""
    found = [
        (arm, reference, arms.compare(arm, reference))
        for behavior in arms.behaviors
        for arm in arms.on(behavior)
        if (reference := arms.reference(arm)) is not None and reference.arm_id != arm.arm_id
        if ((arm.arm_id, reference.arm_id), behavior, arms.split) not in asked
    ]
    adjusted = benjamini_hochberg([c.test.p for _, _, c in found])
    size = sum(p is not None for p in adjusted)
    return [
        {
            **_named(a, b, [arms.label(a), arms.label(b)], a.behavior, a.split),
            **numbers(c),
            "cohens_d": c.cohens_d,
            "n_a": c.n_a,
            "n_b": c.n_b,
            "pairing": c.pairing,
            "pairing_reason": c.reason,
            "diff": c.test.diff,
            "p": c.student.p,
            "p_default": c.test.p,
            "p_holm": None,
            "p_bh": p,
            "family": str(Family.EXPLORATORY),
            "family_size": size if p is not None else None,
            "p_attainable_min": c.p_attainable_min,
            "population": str(Population.NEW_SEEDS),
            "alternative": str(Alternative.TWO_SIDED),
        }
        for (a, b, c), p in zip(found, adjusted, strict=True)
    ]


def _named(
    a: ArmEvidence | None,
    b: ArmEvidence | None,
    names: Sequence[str],
    behavior: str,
    split: str,
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "comparison": " vs ".join(names),
        "behavior": behavior,
        "split": split,
    }
    for side, arm in (("a", a), ("b", b)):
        found[f"condition_{side}"] = str(arm.condition) if arm else None
        found[f"rho_weight_{side}"] = arm.rho_weight if arm else None
        found[f"margin_{side}"] = arm.margin if arm else None
    return found


def _columns(rows: Sequence[Row], ci: str) -> tuple[Column, ...]:
    explored = any(r["p_bh"] is not None for r in rows)
    compared = {(r["comparison"], r["behavior"], r["split"]) for r in rows}
    asked = (words("alternative", "alternative"), words("claim", "claim"))
    bh = p_value("p BH (exploratory)", "p_bh")
    sides = [
        column
        for side in "ab"
        for column in (
            words(f"condition {side}", f"condition_{side}"),
            short(f"weight {side}", f"rho_weight_{side}"),
            short(f"margin {side}", f"margin_{side}", NAT),
        )
    ]
    return (
        *of_notes(
            words("Comparison", "comparison"),
            words("Behavior", "behavior"),
            signed("Cohen's d", "cohens_d", digits=2),
            p_value("p (notes, Student)", "p"),
        ),
        count("n a", "n_a"),
        count("n b", "n_b"),
        words("pairing", "pairing"),
        signed("diff", "diff", NAT),
        interval(ci, "ci_low", "ci_high", NAT),
        *data(signed("g", "g", digits=1)),
        interval(f"g [{ci}]", "g_low", "g_high", digits=1, instead="g_text"),
        words("test", "test"),
        p_value("p", "p_default"),
        p_value("p Holm", "p_holm"),
        count("family", "family_size"),
        p_value("min attainable exact p", "p_attainable_min"),
        *data(words("population", "population")),
        words("verdict", "verdict"),
        *((bh,) if explored else data(bh)),
        words("split", "split"),
        *(asked if len(compared) < len(rows) else data(*asked)),
        *data(
            words("family kind", "family"),
            words("reason of pairing", "pairing_reason"),
            *sides,
        ),
    )
