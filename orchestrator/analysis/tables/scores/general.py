"""T15: what else the training changed, on texts and items that no probe is about."""

import math
from collections.abc import Iterator
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.tables.arms import CONDITION, SETTINGS, Arms, fewest
from orchestrator.analysis.tables.columns import NAT, count, data, plain, plus_minus
from orchestrator.analysis.tables.view import Column, Missing, View
from tasks.contract.measures import MEASURES, Measure, measure_of

KEY, NAME = "T15", "general"


def general(arms: Arms) -> View | Missing:
    """Perplexity, divergence from the untrained model, shares of items; each with its change."""
    if not arms.trained:
        reason = "no cell measured general texts; cells of older versions did not"
        return Missing(key=KEY, name=NAME, reason=reason)
    shown = _shown(arms)
    return View(
        key=KEY,
        name=NAME,
        title="What else changed: measurements of whole cells, mean ± sd over seeds",
        columns=(
            CONDITION,
            *(column for measure in shown for column in _columns(measure)),
            count("seeds", "n"),
            *SETTINGS,
        ),
        rows=tuple(_row(arms, head) for head in arms.trained),
        notes=tuple(f"{m.name}: {m.about}." for m in shown),
    )


def _shown(arms: Arms) -> list[Measure]:
    """What some arm has, in the order of the declarations, then by name."""
    found = [measure_of(name) for name in arms.behaviors]
    return sorted(found, key=lambda m: MEASURES.index(m) if m in MEASURES else len(MEASURES))


def _columns(measure: Measure) -> Iterator[Column]:
    name = measure.name
    if measure.base is not None:
        yield plain(f"{name} perplexity", f"{name}_perplexity", digits=2)
        yield plain(f"{name} perplexity untrained", f"{name}_untrained", digits=2)
    if measure.heading:
        yield plain(f"{name} {measure.heading}", f"{name}_{measure.heading}")
        yield plain(f"{name} {measure.heading} untrained", f"{name}_untrained")
    yield plus_minus(name, name, f"{name}_sd", measure.unit or NAT)
    yield from data(count(f"{name} n", f"{name}_n"))


def _row(arms: Arms, head: ArmEvidence) -> dict[str, Any]:
    measures = [*MEASURES, *(m for m in _shown(arms) if m not in MEASURES)]
    found = {m.name: arms.get(head, m.name) for m in measures}
    row: dict[str, Any] = arms.identity(head) | {"n": fewest(found.values())}
    for measure in measures:
        name, one = measure.name, found[measure.name]
        score, delta = (one.score, one.delta) if one else (None, None)
        row |= {
            name: delta.mean if delta else None,
            f"{name}_sd": delta.sd if delta else None,
            f"{name}_n": one.n if one else None,
        }
        if measure.base is not None:
            untrained = one.baseline if one else None
            row[f"{name}_perplexity"] = _perplexity(score.mean if score else None)
            row[f"{name}_untrained"] = _perplexity(untrained)
        if measure.heading:
            row[f"{name}_{measure.heading}"] = score.mean if score else None
            row[f"{name}_untrained"] = one.baseline if one else None
    return row


def _perplexity(log_probability: float | None) -> float | None:
    """None also where it is too large for a number."""
    if log_probability is None or log_probability < -700:
        return None
    return math.exp(-log_probability)
