"""Compares the scores and adapters of two results folders, cell by cell."""

import itertools
import json
from collections import defaultdict
from dataclasses import asdict, dataclass, fields
from typing import Any

from orchestrator.results.schema import PACK, PACK_DIGEST, STEP
from orchestrator.results.store import Store
from tasks.contract.cell import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The outcome of a comparison of two results folders.

    Attributes:
        same, different: Number of cells in both folders whose status, adapter and scores are equal
            bit for bit, and of those where they are not.
        only_left, only_right: Number of cells that only one folder has.
        max_difference: Largest difference between two scores of a cell, in the score's unit; None
            where no cell is in both.
        differing: Cell id -> which of status, adapter, scores and probe_scores differ.
    """

    same: int
    different: int
    only_left: int
    only_right: int
    max_difference: float | None
    differing: dict[str, list[str]]

    def to_json(self) -> str:
        """Stable JSON; see docs/json.md."""
        return json.dumps(asdict(self), indent=2, allow_nan=False)


def compare(left: Store, right: Store) -> Comparison:
    """Compare the committed cells of two results folders.

    Raises:
        UserError: A table is corrupted, or holds a key twice.
    """
    a, b = _cells(left), _cells(right)
    both = a.keys() & b.keys()
    differing: dict[str, list[str]] = {}
    for cell in sorted(both):
        parts = [
            f.name for f in fields(_Cell) if getattr(a[cell], f.name) != getattr(b[cell], f.name)
        ]
        if parts:
            differing[cell] = parts
    gaps = (  # between two numbers in the same row and column
        abs(value - right[key][name])
        for cell in both
        for left, right in (
            (a[cell].scores, b[cell].scores),
            (a[cell].probe_scores, b[cell].probe_scores),
        )
        for key in left.keys() & right.keys()
        for name, value in left[key].items()
        if isinstance(value, float) and isinstance(right[key][name], float)
    )
    return Comparison(
        same=len(both) - len(differing),
        different=len(differing),
        only_left=len(a.keys() - b.keys()),
        only_right=len(b.keys() - a.keys()),
        # 0.0 stands first: a NaN is never larger, so it never becomes the result.
        max_difference=max(itertools.chain([0.0], gaps)) if both else None,
        differing=differing,
    )


@dataclass(frozen=True, slots=True)
class _Cell:
    status: str
    adapter: str | None
    scores: dict[tuple[Any, ...], dict[str, Any]]
    probe_scores: dict[tuple[Any, ...], dict[str, Any]]


def _cells(store: Store) -> dict[str, _Cell]:
    """Cell id -> its comparable parts; failed cells have none and are left out."""
    scores, probes = _by_cell(store, "scores"), _by_cell(store, "probe_scores")
    return {
        r["cell_id"]: _Cell(
            r["status"],
            r["adapter_sha256"],
            scores.get(r["cell_id"], {}),
            probes.get(r["cell_id"], {}),
        )
        for r in store.rows("cells")
        if r["status"] != str(Status.FAILED)
    }


def _by_cell(store: Store, table: str) -> dict[str, dict[tuple[Any, ...], dict[str, Any]]]:
    found: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = defaultdict(dict)
    for row in store.rows(table):
        where = [row[name] for name in ("behavior", "split", STEP, PACK, PACK_DIGEST)]
        key = (*where, row.get("probe_id", ""))
        found[row["cell_id"]][key] = row
    return found
