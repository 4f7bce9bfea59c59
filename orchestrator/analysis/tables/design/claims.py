"""T13: each claim with one verdict."""

from collections.abc import Iterable, Sequence
from functools import partial

from orchestrator.analysis.inference.record import OPPOSITE, REMARKS, Inference
from orchestrator.analysis.tables.columns import data, p_value, words
from orchestrator.analysis.tables.view import Missing, View, estimate_text, p_text
from orchestrator.config.contrast_kinds import LOG_RATIO
from orchestrator.stats.verdict import Verdict

KEY, NAME = "T13", "claims"


def claims(inference: Sequence[Inference]) -> View | Missing:
    """One row a claim, population, split and family; supported only if all its contrasts are.

    A contrast of several arms has one row each, with the settings that tell them apart.
    """
    groups = by_claim(inference)
    if not groups:
        return Missing(key=KEY, name=NAME, reason="nothing was asked")
    found = []
    for (claim, population, family, split), rows in groups.items():
        known = [r.p_adjusted for r in rows if r.p_adjusted is not None]
        # What was lost is said once a claim, not once a part.
        without = dict.fromkeys(n for r in rows for n in r.notes if n.startswith(REMARKS))
        found.append(
            {
                "claim": claim,
                "contrast_ids": ", ".join(dict.fromkeys(r.name for r in rows)),
                "population": population,
                "family": family,
                # All parts must hold, so the largest p counts; a missing one could be larger.
                "p_adjusted": max(known) if len(known) == len(rows) else None,
                "verdict": str(joint(r.verdict for r in rows)),
                "reason": "; ".join([*map(_reason, rows), *without]),
                "split": split,
                "behaviors": ", ".join(dict.fromkeys(r.behavior for r in rows)),
            }
        )
    return View(
        key=KEY,
        name=NAME,
        title=f"Claims, {len(groups)}",
        columns=(
            words("Claim", "claim"),
            words("contrasts", "contrast_ids"),
            words("population", "population"),
            words("family", "family"),
            p_value("p adjusted (largest)", "p_adjusted"),
            words("verdict", "verdict"),
            words("reason", "reason"),
            words("split", "split"),
            *data(words("behaviors", "behaviors")),
        ),
        rows=tuple(found),
    )


def by_claim(inference: Iterable[Inference]) -> dict[tuple[str, str, str, str], list[Inference]]:
    """The parts of each claim, by (claim, population, family, split)."""
    groups: dict[tuple[str, str, str, str], list[Inference]] = {}
    for row in inference:
        claim = f"{row.claim} [{row.which}]" if row.which else row.claim
        key = claim, str(row.population), str(row.family), row.split
        groups.setdefault(key, []).append(row)
    return groups


def joint(verdicts: Iterable[str]) -> Verdict:
    """Verdict of a claim from the verdicts of its parts.

    Contradicted if one part is; else interim if one is; else the verdict that all parts share, or
    inconclusive. Supported parts of which some are below the relevant size are that together.
    """
    found = {Verdict(v) for v in verdicts}
    for word in (Verdict.CONTRADICTED, Verdict.INTERIM):
        if word in found:
            return word
    if all(word.supports for word in found):
        return max(found, key=list(Verdict).index)
    return found.pop() if len(found) == 1 else Verdict.INCONCLUSIVE


def _reason(row: Inference) -> str:
    """A part's numbers, or why it has none; a log ratio is written as the ratio."""
    part = f"{row.behavior} {row.verdict}".strip()
    if row.verdict == Verdict.NOT_TESTABLE:
        notes = [note for note in row.notes if not note.startswith(REMARKS)]
        return f"{part} ({'; '.join(notes) or row.status})"
    ratio, numbers = row.kind.rules.unit == LOG_RATIO, []
    number = partial(estimate_text, ratio=ratio)

    if row.estimate is not None:
        numbers.append(("sd ratio " if ratio else "") + number(row.estimate))
    if row.ci_low is not None and row.ci_high is not None:
        numbers.append(f"[{number(row.ci_low)}, {number(row.ci_high)}]")
    if row.p_adjusted is not None:
        numbers.append(f"p {p_text(row.p_adjusted)}")
    if row.verdict == Verdict.CONTRADICTED:
        numbers += [note for note in row.notes if note.startswith(OPPOSITE)]
    said = numbers or [note for note in row.notes if not note.startswith(REMARKS)]
    return f"{part} ({', '.join(said)})" if said else part
