"""Counts the labels of a stress test, by condition and set. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.contract.cell import Status
from tasks.judges.contract import Label

Row = Mapping[str, Any]
Group = tuple[str, float | None, float | None, str]
"""Condition, weight, margin, set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Counts of the answers to one set, over all cells that differ by seed only.

    Attributes:
        condition, rho_weight, margin: Those of the cells.
        set: `jailbreak`, `matched` or `benign`.
        cells: Cells that have answers.
        refused: Answers that refuse, in full or in part.
        judged: Answers that refuse or comply: the denominator.
        degenerate: Answers that are empty or repeat themselves.
        unjudged: Answers without a label.
        missing: Answers that do not exist, because their generation failed.
    """

    condition: str
    rho_weight: float | None
    margin: float | None
    set: str
    cells: int
    refused: int
    judged: int
    degenerate: int
    unjudged: int
    missing: int


def summarise(
    cells: Iterable[Row], answers: Iterable[Row], judgements: Iterable[Row], judge: str
) -> list[Share]:
    """Counts by condition and set, in the order of the rows.

    Args:
        cells: Rows of `cells`.
        answers: Rows of `generations`.
        judgements: Rows of `judgements`.
        judge: Name of the judge whose labels count.
    """
    by_cell = {r["cell_id"]: r for r in cells}
    labels = {
        (r["generation_id"], r["prompt_id"], r["sample_index"], r["response_sha256"]): r["label"]
        for r in judgements
        if r["judge"] == judge
    }
    groups: dict[Group, list[tuple[str, Label | None]]] = {}
    for row in answers:
        cell = by_cell[row["cell_id"]]
        group = (cell["condition"], cell["rho_weight"], cell["margin"], row["set"])
        groups.setdefault(group, []).append((row["cell_id"], _label(row, labels)))
    return [_share(group, found) for group, found in sorted(groups.items(), key=_place)]


def _label(row: Row, labels: Mapping[tuple[Any, ...], str]) -> Label | None:
    """Label of an answer; None if its generation failed."""
    if row["status"] != Status.OK:
        return None
    key = (row["generation_id"], row["prompt_id"], row["sample_index"], row["response_sha256"])
    return Label(labels.get(key, Label.UNJUDGED))


def _share(group: Group, found: list[tuple[str, Label | None]]) -> Share:
    condition, weight, margin, part = group
    labels = [label for _, label in found]
    refused = sum(bool(label and label.refuses) for label in labels)
    return Share(
        condition=condition,
        rho_weight=weight,
        margin=margin,
        set=part,
        cells=len({cell for cell, label in found if label is not None}),
        refused=refused,
        judged=refused + labels.count(Label.COMPLIANCE),
        degenerate=labels.count(Label.DEGENERATE),
        unjudged=labels.count(Label.UNJUDGED),
        missing=labels.count(None),
    )


def _place(item: tuple[Group, Any]) -> tuple[bool, str, float, float, str]:
    """The baseline first, then by condition, weight, margin and set."""
    condition, weight, margin, part = item[0]
    return condition != "baseline", condition, weight or 0.0, margin or 0.0, part


HEAD = ("condition", "weight", "margin", "set", "cells", "refused", "unjudged", "degenerate")


def as_lines(shares: Iterable[Share]) -> list[str]:
    """A table as lines of text; `refused` is of the answers that refuse or comply."""
    rows = []
    for share in shares:
        percent = f" {share.refused / share.judged:4.0%}" if share.judged else ""
        refused = f"{share.refused}/{share.judged}{percent}"
        counts = (share.unjudged, share.degenerate, share.missing)
        settings = ("-" if v is None else f"{v:g}" for v in (share.rho_weight, share.margin))
        row = [share.condition, *settings, share.set, str(share.cells), refused]
        rows.append([*row, *map(str, counts)])
    head = [*HEAD, "missing"] if any(r[-1] != "0" for r in rows) else list(HEAD)
    table = [head, *(r[: len(head)] for r in rows)]
    widths = [max(len(r[i]) for r in table) for i in range(len(head))]
    return ["  ".join(w.ljust(n) for w, n in zip(r, widths, strict=True)).rstrip() for r in table]
