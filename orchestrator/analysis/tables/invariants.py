"""Checks of all tables before any is shown. If one check fails, no table is shown."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.inference.record import ANSWERS, Inference
from orchestrator.analysis.tables.answers.columns import BY_CATEGORY, STRESS, SUM
from orchestrator.analysis.tables.view import Column, Missing, Row, Shape, View
from orchestrator.cells.choose import AGAINST
from orchestrator.errors import UserError
from orchestrator.stats.verdict import Verdict
from tasks.contract.measures import MEASURED

TOLERANCE = 1e-9
"""Nats per token; a larger difference of two ways to compute a delta is no rounding error."""
COUNTS = ("n", "n_a", "n_b")
WORDS = {str(v) for v in Verdict}
VERDICTS = ("verdict", "monotone", "linear")


class InvariantError(UserError):
    """Tables that contradict themselves or their evidence; names table and row."""


def check(
    views: Iterable[View | Missing],
    evidence: Sequence[ArmEvidence] = (),
    inference: Sequence[Inference] = (),
) -> None:
    """Check all tables, then report all problems at once.

    Raises:
        InvariantError: At least one table is wrong; one line each, with table and row.
    """
    shown = {v.name: v for v in views if isinstance(v, View)}
    problems = [
        *_categories(shown.get(STRESS[1]), shown.get(BY_CATEGORY[1])),
        *_deltas(evidence),
        *_claimed(evidence, inference),
    ]
    for view in shown.values():
        problems += [*_complete(view), *_counts(view), *_reductions(view), *_words(view)]
    if problems:
        advice = "the tables are wrong, or the results were edited; please report it"
        lines = "\n".join(f"  {p}" for p in problems)
        raise InvariantError(f"tables: {len(problems)} that contradict ({advice})\n{lines}")


def _categories(stress: View | None, by_category: View | None) -> Iterator[str]:
    """Categories add up to their sum and to T7, and the heading counts them."""
    if by_category is None:
        return
    *rows, total = by_category.rows
    distinct = {r["category"] for r in rows}
    if len(distinct) != len(rows) or f", {len(distinct)} categories" not in by_category.title:
        yield f"{_place(by_category)}: {len(distinct)} distinct categories in {len(rows)} rows"
    for field in by_category.fields:
        if field == "n" or field.endswith(("_k", "_n")):
            found = sum(r[field] for r in rows)
            if found != total[field]:
                yield f"{_place(by_category, SUM)}: {field} is {total[field]}, rows give {found}"
    for row in stress.rows if stress else ():
        field = f"{row['arm']}_k"
        if row["jailbreak_k"] is not None and total.get(field) != row["jailbreak_k"]:
            yield (
                f"{_place(by_category, SUM)}: {field} is {total.get(field)}, "
                f"T7 has {row['jailbreak_k']}"
            )


def _deltas(evidence: Iterable[ArmEvidence]) -> Iterator[str]:
    """A delta is the score minus the baseline, and has the same sd and n."""
    for e in evidence:
        if e.score is None or e.delta is None or e.baseline is None:
            continue
        found = e.score.mean - e.baseline
        if abs(found - e.delta.mean) > TOLERANCE:
            yield (
                f"T4 ablation_means, {e.label}, {e.behavior}: delta is {e.delta.mean}, "
                f"score minus baseline {found}"
            )
        if e.score.n != e.delta.n:
            yield f"T4 ablation_means, {e.label}, {e.behavior}: n {e.score.n} and {e.delta.n}"


def _claimed(evidence: Sequence[ArmEvidence], inference: Iterable[Inference]) -> Iterator[str]:
    """A verdict on a behaviour needs scores of it; without any the claim is not testable."""
    known = {(e.behavior, e.split) for e in evidence}
    for row in inference:
        answered = row.behavior and row.verdict not in (Verdict.NOT_TESTABLE, Verdict.INTERIM)
        behaviors = {*row.behavior.split(AGAINST)} - MEASURED.keys()
        named = {(behavior, row.split) for behavior in behaviors if not row.imported}
        if answered and row.split != ANSWERS and not named <= known:
            yield (
                f"T13 claims, {row.name}: {row.verdict} on {row.behavior} ({row.split}), "
                "which was not evaluated"
            )


def _complete(view: View) -> Iterator[str]:
    """Rows have the types of their columns, numbers are finite, intervals have both ends."""
    for number, row in enumerate(view.rows, 1):
        for column in view.columns:
            values = [row.get(f) for f in column.fields]
            for field, value in zip(column.fields, values, strict=True):
                if value is not None and not _fits(column, value):
                    yield f"{_place(view, _name(view, row, number))}: {field} is {value!r}"
            if column.shape is Shape.INTERVAL and (values[0] is None) != (values[1] is None):
                yield f"{_place(view, _name(view, row, number))}: half of {column.fields}"


def _fits(column: Column, value: object) -> bool:
    if column.shape is Shape.TEXT:
        return isinstance(value, str)
    if column.shape is Shape.INTEGER:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, int | float) and math.isfinite(value)


def _counts(view: View) -> Iterator[str]:
    """Where the heading says `n = 5`, every row has 5 seeds."""
    found = re.search(r"\bn = (\d+)", view.title)
    if not found:
        return
    for number, row in enumerate(view.rows, 1):
        for field in COUNTS:
            n = row.get(field)
            if field in view.fields and n is not None and n != int(found[1]):
                place = _place(view, _name(view, row, number))
                yield f"{place}: {field} is {n}, the heading says {found[0]}"


def _reductions(view: View) -> Iterator[str]:
    """A text about a reduction says of what: the sd or the variance, whose numbers differ."""
    for text in (view.title, *(c.label for c in view.columns), *view.notes):
        if "reduc" in text.lower() and not re.search(r"\bsd\b|variance", text.lower()):
            yield f"{_place(view, text)}: a reduction of neither sd nor variance"


def _words(view: View) -> Iterator[str]:
    """Verdict fields hold values of `Verdict` only."""
    for number, row in enumerate(view.rows, 1):
        for field in VERDICTS:
            word = row.get(field)
            if field in view.fields and word is not None and word not in WORDS:
                yield f"{_place(view, _name(view, row, number))}: {field} is {word!r}"


def _place(view: View, row: str = "") -> str:
    return f"{view.key} {view.name}, {row}" if row else f"{view.key} {view.name}"


def _name(view: View, row: Row, number: int) -> str:
    """The first text of a row, as people find it, and its number."""
    first = view.columns[0].text(row) if isinstance(row.get(view.columns[0].fields[0]), str) else ""
    return f"row {number} ({first})" if first else f"row {number}"
