"""T4: mean rho of every arm on every behaviour, the untrained model first."""

from collections.abc import Mapping
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.tables.arms import CONDITION, SETTINGS, Arms, fewest
from orchestrator.analysis.tables.columns import (
    NAT,
    RHO,
    count,
    data,
    interval,
    of_notes,
    plain,
    signed,
    words,
)
from orchestrator.analysis.tables.view import Missing, View
from orchestrator.stats.means import t_interval, variance_of_mean
from orchestrator.stats.records import (
    Interval,
    Summary,
)

KEY, NAME = "T4", "ablation_means"
Both = Mapping[tuple[str, str], Interval]
"""(arm id, behaviour) -> interval of the mean for new seeds and new probes."""


def ablation_means(arms: Arms, both: Both | None = None) -> View | Missing:
    """Mean rho over seeds, with intervals for new seeds and, where known, new probes as well."""
    if not arms.heads:
        return Missing(key=KEY, name=NAME, reason="no scored cell")
    rows = [_row(arms, head, both or {}) for head in arms.heads]
    notes = []
    if any(r["n_text"] == "fixed" for r in rows):
        notes.append("The untrained model is one model: it has no variance over seeds.")
    varies = [r["arm"] for r in rows if len({r[f"{b}_n"] for b in arms.behaviors} - {None}) > 1]
    if varies:
        notes.append(f"n is that of the behavior with the fewest seeds: {', '.join(varies)}.")
    names = {b: b.capitalize() for b in arms.behaviors}
    spread = [
        column
        for b, name in names.items()
        for column in (
            *data(count(f"{b} n", f"{b}_n"), plain(f"{b} sd", f"{b}_sd", NAT)),
            interval(f"{name} {arms.ci}", f"{b}_ci_low", f"{b}_ci_high", NAT),
            *data(interval(f"{b} both", f"{b}_ci_low_both", f"{b}_ci_high_both", NAT)),
        )
    ]
    return View(
        key=KEY,
        name=NAME,
        title=arms.title(f"Mean {RHO}", [r["n"] for r in rows]),
        columns=(
            *of_notes(CONDITION, *(signed(f"{name} {RHO}", b, NAT) for b, name in names.items())),
            count("n", "n", instead="n_text"),
            *spread,
            *data(words("split", "split")),
            *data(*(signed(f"{b} Δρ", f"{b}_delta", NAT) for b in names)),
            *data(*(signed(f"{b} baseline", f"{b}_baseline", NAT) for b in names)),
            *SETTINGS,
        ),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def _row(arms: Arms, head: ArmEvidence, both: Both) -> dict[str, Any]:
    """One arm on every behaviour; the untrained model has scores only, no seeds."""
    known = {b: arms.get(head, b) for b in arms.behaviors}
    trained = head.condition.trains
    row: dict[str, Any] = {
        **arms.identity(head),
        "n": fewest(known.values()) if trained else None,
        "n_text": None if trained else "fixed",
        "split": arms.split,
    }
    for behavior, one in known.items():
        score, delta = (one.score, one.delta) if one else (None, None)
        seeds = interval_of(score, arms.level) if trained else None
        probes = both.get((head.arm_id, behavior))
        row |= {
            behavior: score.mean if score else None,
            f"{behavior}_n": one.n if one and trained else None,
            f"{behavior}_sd": score.sd if score and trained else None,
            f"{behavior}_ci_low": seeds.low if seeds else None,
            f"{behavior}_ci_high": seeds.high if seeds else None,
            f"{behavior}_ci_low_both": probes.low if probes else None,
            f"{behavior}_ci_high_both": probes.high if probes else None,
            f"{behavior}_delta": delta.mean if delta and trained else None,
            f"{behavior}_baseline": one.baseline if one and trained else None,
        }
    return row


def interval_of(sample: Summary | None, level: float) -> Interval | None:
    """Student's t interval of a mean over seeds; None if the sd is not known or 0."""
    if sample is None or not sample.sd:
        return None
    return t_interval(sample.mean, variance_of_mean(sample) ** 0.5, sample.n - 1, level)
