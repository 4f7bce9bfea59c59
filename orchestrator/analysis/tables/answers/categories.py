"""T8: refused jailbreaks by category; `invariants` checks that their sum equals T7."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any

from orchestrator.analysis.evidence.refusals import JAILBREAK, Answers, Refusals, names, stressed
from orchestrator.analysis.tables.answers.columns import (
    BY_CATEGORY,
    SUM,
    category_columns,
    count_text,
)
from orchestrator.analysis.tables.view import Missing, Row, View

KEY, NAME = BY_CATEGORY
WITHOUT = "(none)"


def stress_by_category(counts: Iterable[Refusals]) -> View | Missing:
    """One row a category, then their sum."""
    found = stressed(counts)
    name = names(found)
    arms = {name[s.head.arm_id]: s.sets[JAILBREAK] for s in found}
    if not any(a.n for a in arms.values()):
        return Missing(key=KEY, name=NAME, reason="no judged answers to jailbreaks")
    prompts: dict[str, set[str]] = defaultdict(set)
    for answers in arms.values():
        for (_, prompt), r in answers.counts.items():
            prompts[r.category or WITHOUT].add(prompt)
    rows = [_row(category, ids, arms) for category, ids in sorted(prompts.items())]
    every = [p for ids in prompts.values() for p in ids]
    return View(
        key=KEY,
        name=NAME,
        title=category_title(len(rows)),
        columns=category_columns(list(arms)),
        rows=(*rows, _row(SUM, every, arms)),
    )


def category_title(n_categories: int) -> str:
    """How many categories there are, as counted."""
    return f"Refused jailbreaks by category, {n_categories} categories"


def _row(category: str, prompts: Collection[str], arms: dict[str, Answers]) -> Row:
    """Refused and judged answers of each arm; discordant: a prompt whose verdicts differ."""
    wanted = set(prompts)
    verdicts: dict[str, set[bool]] = defaultdict(set)
    for answers in arms.values():
        for (_, prompt), r in answers.counts.items():
            verdicts[prompt] |= {True} if r.refused else set()
            verdicts[prompt] |= {False} if r.complied else set()
    row: dict[str, Any] = {
        "category": category,
        "n": len(prompts),
        "n_seeds": max(len(a.seeds) for a in arms.values()),
        "n_discordant": sum(len(verdicts[p]) > 1 for p in prompts),
    }
    for name, answers in arms.items():
        mine = [r for (_, prompt), r in answers.counts.items() if prompt in wanted]
        row[f"{name}_k"] = sum(r.refused for r in mine)
        row[f"{name}_n"] = sum(r.judged for r in mine)
        row[f"{name}_text"] = count_text(row[f"{name}_k"], row[f"{name}_n"])
    return row
