"""T9: what was run, from the manifest."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from orchestrator.analysis.tables.columns import data, of_notes, words
from orchestrator.analysis.tables.view import Missing, Row, View
from orchestrator.config.foreign_json import fits

KEY, NAME = "T9", "config"
OPTIMIZER = "AdamW"
"""Of every training; `tasks/training` has no other."""


def config(
    manifests: Sequence[Mapping[str, Any]], cells: Iterable[Mapping[str, Any]] = ()
) -> View | Missing:
    """One row a setting; axes of a grid list all their values.

    Args:
        manifests: Of the results.
        cells: Their cells, for the hardware and the framework.
    """
    rows = [
        {"sweep": str(m.get("name", "")), "setting": setting, "value": value_text(value)}
        for m in manifests
        for setting, value in _settings(m)
        if value is not None
    ]
    if not rows:
        return Missing(key=KEY, name=NAME, reason="no manifest")
    every = ", ".join(dict.fromkeys(str(m.get("name", "")) for m in manifests))
    rows += [{"sweep": every, "setting": name, "value": text} for name, text in _machines(cells)]
    return config_view("Settings", rows, several=len(manifests) > 1)


def config_view(title: str, rows: Sequence[Row], *, several: bool = False) -> View:
    """T9 from rows with sweep, setting and value; the sweep is shown if `several`."""
    sweep = (words("Sweep", "sweep"),)
    return View(
        key=KEY,
        name=NAME,
        title=title,
        columns=(
            *of_notes(words("Setting", "setting"), words("Value", "value")),
            *(sweep if several else data(*sweep)),
        ),
        rows=tuple(rows),
    )


def value_text(value: Any) -> str:
    """Text as it is; any other value as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _machines(cells: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """What the cells ran on and with, each combination once."""
    known = list(cells)
    for name, text in (
        ("hardware", "{chip} ({backend})"),
        ("framework", "mlx {mlx}, mlx-lm {mlx_lm}"),
    ):
        found = dict.fromkeys(text.format(**cell) for cell in known if cell.get("chip"))
        if found:
            yield name, "; ".join(found)


def _mix(settings: Mapping[str, Any]) -> str | None:
    """How many texts of which kind, e.g. `200 traps + 800 instructions`; None if not all are known.

    A fraction that is an axis, and the size of a whole source, are not.
    """
    size: Any = settings.get("data.size")
    shares: list[Any] = [settings.get(f"data.{kind}_fraction") for kind in ("trap", "refusal")]
    if not fits([size, *shares], [float]):
        return None
    traps, refusals = (round(size * share) for share in shares)
    refusals = min(refusals, size - traps)
    parts = [(traps, "traps"), (refusals, "refusals"), (size - traps - refusals, "instructions")]
    return " + ".join(f"{n} {kind}" for n, kind in parts if n)


def _settings(manifest: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Base settings, then each grid's axes, which override them, then what names became."""
    yield from (manifest.get("settings") or {}).items()
    yield "optimizer", OPTIMIZER
    yield "data.mix", _mix(manifest.get("settings") or {})
    grids = manifest.get("grids") or []
    for i, grid in enumerate(grids, 1):
        where = f"grid {i}: " if len(grids) > 1 else ""
        yield from ((where + axis, values) for axis, values in grid.items())
    yield from ((f"run.{k}", v) for k, v in (manifest.get("run") or {}).items())
    for kind, found in (manifest.get("resolved") or {}).items():
        several = found if isinstance(found, list) else [found]
        for i, one in enumerate(several, 1):
            where = f"{kind}[{i}]" if len(several) > 1 else kind
            if isinstance(one, Mapping):
                yield from ((f"{where}.{k}", v) for k, v in one.items())
            else:
                yield where, one
    yield "cells", len(manifest.get("cells") or ())
