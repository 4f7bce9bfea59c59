"""Two results, cell by cell: the same scores and adapters, or not."""

import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.results.store import Store
from tasks.contract.cell import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How two results relate.

    Attributes:
        same, different: Cells that both have, by whether scores and adapters agree to the bit.
        only_left, only_right: Cells that one has.
        max_difference: Largest difference of any two scores, in the score's unit; None when no
            cell is in both.
        differing: Cell id -> what differs.
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
    differing = {c: found for c in sorted(both) if (found := _differences(a[c], b[c]))}
    gaps = [_largest(a[c], b[c]) for c in both]
    return Comparison(
        same=len(both) - len(differing),
        different=len(differing),
        only_left=len(a.keys() - b.keys()),
        only_right=len(b.keys() - a.keys()),
        max_difference=max(gaps, default=None),
        differing=differing,
    )


@dataclass(frozen=True, slots=True)
class _Cell:
    status: str
    adapter: str | None
    scores: dict[tuple[str, ...], dict[str, Any]]
    probe_scores: dict[tuple[str, ...], dict[str, Any]]


def _cells(store: Store) -> dict[str, _Cell]:
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


def _by_cell(store: Store, table: str) -> dict[str, dict[tuple[str, ...], dict[str, Any]]]:
    found: dict[str, dict[tuple[str, ...], dict[str, Any]]] = defaultdict(dict)
    for row in store.rows(table):
        key = (row["behavior"], row["split"], row.get("probe_id", ""))
        found[row["cell_id"]][key] = row
    return found


def _differences(a: _Cell, b: _Cell) -> list[str]:
    parts = ("status", "adapter", "scores", "probe_scores")
    return [name for name in parts if getattr(a, name) != getattr(b, name)]


def _largest(a: _Cell, b: _Cell) -> float:
    """Largest difference of two numbers that stand in the same place."""
    largest = 0.0
    for left, right in ((a.scores, b.scores), (a.probe_scores, b.probe_scores)):
        for key in left.keys() & right.keys():
            for name, value in left[key].items():
                other = right[key][name]
                if isinstance(value, float) and isinstance(other, float):
                    largest = max(largest, abs(value - other))
    return largest
