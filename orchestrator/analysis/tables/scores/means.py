"""T4: mean rho of every arm on every behaviour, the untrained model first."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.tables.arms import CONDITION, SETTINGS, Arms
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
from orchestrator.analysis.tables.view import Column, Missing, Row, View
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
    return View(
        key=KEY,
        name=NAME,
        title=arms.title(f"Mean {RHO}", [r["n"] for r in rows]),
        columns=_columns(arms.behaviors, arms.ci),
        rows=tuple(rows),
        notes=_notes(rows, arms.behaviors),
    )


def interval_of(sample: Summary | None, level: float) -> Interval | None:
    """Of a mean over seeds, by Student's t; None without an sd, or where it is 0."""
    if sample is None or not sample.sd:
        return None
    return t_interval(sample.mean, variance_of_mean(sample) ** 0.5, sample.n - 1, level)


def _row(arms: Arms, head: ArmEvidence, both: Both) -> Row:
    known = {b: arms.get(head, b) for b in arms.behaviors}
    trained = head.condition.trains
    counts = [e.n for e in known.values() if e is not None]
    row: dict[str, Any] = {
        **arms.identity(head),
        "n": min(counts, default=None) if trained else None,
        "n_text": None if trained else "fixed",
        "split": arms.split,
    }
    for behavior, one in known.items():
        row |= _numbers(
            behavior, one, both.get((head.arm_id, behavior)), trained=trained, level=arms.level
        )
    return row


def _numbers(
    behavior: str, one: ArmEvidence | None, both: Interval | None, *, trained: bool, level: float
) -> dict[str, Any]:
    score = one.score if one else None
    seeds = interval_of(score, level) if trained else None
    delta = one.delta if one and trained else None
    return {
        behavior: score.mean if score else None,
        f"{behavior}_n": one.n if one and trained else None,
        f"{behavior}_sd": score.sd if score and trained else None,
        f"{behavior}_ci_low": seeds.low if seeds else None,
        f"{behavior}_ci_high": seeds.high if seeds else None,
        f"{behavior}_ci_low_both": both.low if both else None,
        f"{behavior}_ci_high_both": both.high if both else None,
        f"{behavior}_delta": delta.mean if delta else None,
        f"{behavior}_baseline": one.baseline if one and trained else None,
    }


def _columns(behaviors: Sequence[str], ci: str) -> tuple[Column, ...]:
    columns = [
        *of_notes(CONDITION, *(signed(f"{b.capitalize()} {RHO}", b, NAT) for b in behaviors)),
        count("n", "n", instead="n_text"),
    ]
    for b in behaviors:
        columns += [
            *data(count(f"{b} n", f"{b}_n"), plain(f"{b} sd", f"{b}_sd", NAT)),
            interval(f"{b.capitalize()} {ci}", f"{b}_ci_low", f"{b}_ci_high", NAT),
            *data(interval(f"{b} both", f"{b}_ci_low_both", f"{b}_ci_high_both", NAT)),
        ]
    return (
        *columns,
        *data(words("split", "split")),
        *data(*(signed(f"{b} Δρ", f"{b}_delta", NAT) for b in behaviors)),
        *data(*(signed(f"{b} baseline", f"{b}_baseline", NAT) for b in behaviors)),
        *SETTINGS,
    )


def _notes(rows: Sequence[Row], behaviors: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if any(r["n_text"] == "fixed" for r in rows):
        notes.append("The untrained model is one model: it has no variance over seeds.")
    varies = [
        r["arm"]
        for r in rows
        if len({r[f"{b}_n"] for b in behaviors if r[f"{b}_n"] is not None}) > 1
    ]
    if varies:
        notes.append(f"n is that of the behaviour with the fewest seeds: {', '.join(varies)}.")
    return tuple(notes)
