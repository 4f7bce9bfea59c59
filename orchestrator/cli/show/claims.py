"""Claims in the terminal: a verdict, then a sentence with numbers for each behaviour."""

from collections.abc import Iterator, Sequence
from functools import partial

from rich.text import Text

from orchestrator.analysis.inference.record import (
    OPPOSITE,
    REMARKS,
    WEAKEST,
    Family,
    Inference,
)
from orchestrator.analysis.tables.design.claims import by_claim, joint
from orchestrator.analysis.tables.view import estimate_text, level_text, p_text
from orchestrator.config.contrast_kinds import CORRELATION, LOG_RATIO, PROPORTION
from orchestrator.stats.verdict import Verdict, tally
from tasks.contract.measures import OF_ITEMS

MOST_EXPLORATORY = 12
"""Claims that were not registered and are shown with their numbers; all are in table T13."""
STYLES = {
    Verdict.SUPPORTED: "bold green",
    Verdict.SUPPORTED_SMALL: "bold green",
    Verdict.CONTRADICTED: "bold red",
}
UNITS = {PROPORTION: "of the answers", OF_ITEMS: "of the items", CORRELATION: ""}
"""How a unit reads behind a number, where not as it is."""
"""What is compared where the estimate is one arm minus another."""

BOTH_SPLITS = (
    "The same question has two answers: the train split holds the pairs that training saw, and "
    "what a model learns of these need not hold for pairs that it never saw, the heldout split."
)
"""Said where a claim is supported about the one and not about the other."""


def claim_lines(inference: Sequence[Inference]) -> Iterator[tuple[int, Text]]:
    """Indents and lines: how many claims have which verdict, then each claim."""
    groups = by_claim(inference)
    words = {key: joint(row.verdict for row in rows) for key, rows in groups.items()}
    yield 0, Text(f"claims: {tally(words.values())}", style="bold")
    explored = 0
    for key, rows in groups.items():
        claim, population, family, _ = key
        explored += family == Family.EXPLORATORY
        if family == Family.EXPLORATORY and explored > MOST_EXPLORATORY:
            continue
        word = words[key]
        where = " and ".join(dict.fromkeys(row.place.removeprefix("the ") for row in rows))
        about = f"({family}, {where}, {population.replace('_', ' ')})"
        yield 2, Text.assemble((word.words, STYLES.get(word, "bold")), f"  {claim} {about}")
        yield from ((4, Text(_sentence(row))) for row in rows)
        # What was lost is said once a claim, not once a part.
        lost = dict.fromkeys(n for row in rows for n in row.notes if n.startswith(REMARKS))
        yield from ((4, Text(note)) for note in lost)
    if (more := explored - MOST_EXPLORATORY) > 0:
        yield 2, Text(f"... {more} more exploratory claims: --table claims")
    asked: dict[tuple[object, ...], dict[str, bool]] = {}
    for row in inference:
        question = row.kind, row.behavior, row.arms, row.alternative, row.population
        asked.setdefault(question, {})[row.split] = Verdict(row.verdict).supports
    if any(found.get("train") and found.get("heldout") is False for found in asked.values()):
        yield 2, Text(BOTH_SPLITS, style="italic")


def _sentence(row: Inference) -> str:
    """What was estimated on one behaviour, with interval and p, and what that says."""
    word = Verdict(row.verdict)
    lead = f"{row.behavior}: " if row.behavior else ""
    notes = [note for note in row.notes if not note.startswith(REMARKS)]
    if row.estimate is None:
        return f"{lead}{word.words}: {'; '.join(notes) or row.status}"
    ratio = row.kind.rules.unit == LOG_RATIO
    number = partial(estimate_text, ratio=ratio)
    unit = "" if ratio else f" {UNITS.get(row.unit, row.unit)}".rstrip()
    numbers = []
    if row.ci_low is not None and row.ci_high is not None and row.ci_level is not None:
        low, high = number(row.ci_low), number(row.ci_high)
        numbers.append(f"{level_text(row.ci_level)} interval {low} to {high}")
    if row.p_adjusted is not None:
        numbers.append(f"adjusted p {p_text(row.p_adjusted)}")
    inside = f" ({', '.join(numbers)})" if numbers else ""
    tail = [note for note in notes if note.startswith(OPPOSITE) or not numbers]
    if word is Verdict.INCONCLUSIVE and row.n_for_80 is not None:
        tail.append(f"an effect of this size takes about {row.n_for_80} seeds an arm")
    end = "; ".join([f"{word.words}", *tail])
    steps = (note.removeprefix(WEAKEST) for note in row.notes if note.startswith(WEAKEST))
    named = {"a": row.arm_a, "b": row.arm_b or "the untrained model", "step": next(steps, "of all")}
    estimate = row.kind.rules.estimate.format(**named)
    return f"{lead}{estimate} is {number(row.estimate)}{unit}{inside}: {end}"
