"""Facts about the run that the tables of cells and attempts hold: times, versions, counts."""

from collections.abc import Iterable, Mapping, Sequence
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
    "Passes": "path",
}
_COUNTS = {
    "Probe pairs dropped because both texts are the same": "n_pairs_degenerate",
    "SFT texts cut at the maximal length": "n_sft_truncated",
    "SFT texts that hold a probe text": "n_sft_leaks",
}


def facts_of(cells: Sequence[Row], attempts: Sequence[Row]) -> tuple[tuple[str, str], ...]:
    """(name, text) of each fact that at least one cell knows.

    Args:
        cells: Rows of the table `cells`.
        attempts: Rows of the table `attempts`.
    """
    found: dict[str, str] = {}
    times = [r["wall_s"] for r in cells if r["wall_s"] is not None]
    if times:
        found["Time in cells"] = f"{clock(sum(times))} (last attempts of {len(times)})"
    if cells and attempts:
        first, last = min(r["started_at"] for r in attempts), max(r["finished_at"] for r in cells)
        # Clocks of two hosts may differ: a negative span is shown as 0.
        span = clock(max(0.0, (last - first).total_seconds()))
        dates = f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
        found["From the first start to the last result"] = f"{span} ({dates})"
    for name, column in _VERSIONS.items():
        found[name] = ", ".join(sorted({str(v) for v in _known(cells, column)}))
    for name, column in _COUNTS.items():
        counts = sorted(_known(cells, column))
        found[name] = (
            f"{counts[0]} to {counts[-1]}, by cell"
            if len(counts) > 1
            else "".join(map(str, counts))
        )
    return tuple((name, text) for name, text in found.items() if text)


def _known(rows: Iterable[Row], column: str) -> set[Any]:
    """The distinct values of a column; None means unknown and is left out."""
    return {r[column] for r in rows if r[column] is not None}
