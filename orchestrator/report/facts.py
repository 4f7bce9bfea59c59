"""What the cells say of where, with what and how long they ran."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from orchestrator.execution.display import clock

Row = Mapping[str, Any]
_VERSIONS = {
    "rho-sweep": "code_version",
    "Code revision": "git_revision",
    "MLX": "mlx",
    "mlx-lm": "mlx_lm",
    "Ray": "ray",
    "Python": "python",
    "System": "os",
    "Chip": "chip",
    "Backend": "backend",
    "Precision of the base model": "base_precision",
}
_COUNTS = {
    "Probe pairs dropped because both texts are the same": "n_pairs_degenerate",
    "SFT texts cut at the maximal length": "n_sft_truncated",
    "SFT texts that hold a probe text": "n_sft_leaks",
}


def facts_of(cells: Sequence[Row], attempts: Sequence[Row]) -> tuple[tuple[str, str], ...]:
    """Name and text of each fact; one that no cell knows is left out."""
    found = [
        ("Time in cells", _time_in_cells(cells)),
        ("From the first start to the last result", _elapsed(cells, attempts)),
        *((name, _distinct(r[column] for r in cells)) for name, column in _VERSIONS.items()),
        *((name, _range(r[column] for r in cells)) for name, column in _COUNTS.items()),
    ]
    return tuple((name, text) for name, text in found if text)


def _time_in_cells(cells: Iterable[Row]) -> str:
    known = [r["wall_s"] for r in cells if r["wall_s"] is not None]
    return f"{clock(sum(known))} (last attempts of {len(known)})" if known else ""


def _elapsed(cells: Iterable[Row], attempts: Iterable[Row]) -> str:
    starts: list[datetime] = [r["started_at"] for r in attempts]
    ends: list[datetime] = [r["finished_at"] for r in cells]
    if not starts or not ends:
        return ""
    first, last = min(starts), max(ends)
    span = clock(max(0.0, (last - first).total_seconds()))
    return f"{span} ({first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC)"


def _distinct(values: Iterable[Any]) -> str:
    return ", ".join(sorted({str(v) for v in values if v is not None}))


def _range(values: Iterable[int | None]) -> str:
    known = {v for v in values if v is not None}
    if not known:
        return ""
    return str(min(known)) if len(known) == 1 else f"{min(known)} to {max(known)}, by cell"
