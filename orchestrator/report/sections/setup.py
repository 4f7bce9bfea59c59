"""What was run: grid, settings, content hashes, versions."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.analysis.tables.view import Column, View
from orchestrator.report.blocks import Block, Facts, Note, Section, Table
from orchestrator.report.content import ReportContent
from orchestrator.report.text import listed, shorter

CONFIG = "config"
"""Name of the table with all settings."""
MAX_ROWS = 200
MAX_CHARACTERS = 2000
"""Of one value of the sweep file."""
_KINDS = {"models": "model", "probes": "probes", "data": "SFT data"}


def setup_section(content: ReportContent) -> Section:
    """Enough to run it again, and to see whether it would be the same."""
    manifest = content.manifest
    resolved = _mapping(manifest.get("resolved"))
    versions = [("Resolved by rho-sweep", resolved.get("rho_sweep"))]
    versions.append(("Code revision at the launch", resolved.get("git_revision")))
    facts = [*((k, str(v)) for k, v in versions if v is not None), *content.facts]
    blocks: list[Block] = [Facts(pairs=tuple(facts))] if facts else []
    settings = {f"run.{k}": v for k, v in _mapping(manifest.get("run")).items()}
    tables = [_grids(_sequence(manifest.get("grids"))), _contents(resolved)]
    if any(view.name == CONFIG for view in content.views):
        blocks.append(Note(text=f"Every setting is in the table {CONFIG}."))
    else:
        tables.append(_pairs("Settings of every cell", _mapping(manifest.get("settings"))))
        tables.append(_pairs("How it was run", settings))
    blocks += [Table(view=view, keyed=False) for view in tables if view.rows]
    nothing = Note(text="The manifest says nothing of what was run.")
    return Section(title="What was run", blocks=tuple(blocks) or (nothing,))


def models_of(manifest: Mapping[str, Any]) -> str:
    """Names of the models of a manifest; empty where it says nothing of them."""
    models = _sequence(_mapping(manifest.get("resolved")).get("models"))
    return ", ".join(plain(_mapping(m).get("name")) for m in models)


def _grids(grids: Sequence[Any]) -> View:
    rows = [
        {"grid": str(number), "name": str(axis), "value": plain(values)}
        for number, grid in enumerate(grids, start=1)
        for axis, values in _mapping(grid).items()
    ]
    columns = (
        Column(label="Grid", fields=("grid",)),
        Column(label="Axis", fields=("name",)),
        Column(label="Values", fields=("value",)),
    )
    return _view("Grid", columns, rows)


def _pairs(title: str, values: Mapping[Any, Any]) -> View:
    rows = [{"name": str(k), "value": plain(v)} for k, v in values.items()]
    columns = (Column(label="Field", fields=("name",)), Column(label="Value", fields=("value",)))
    return _view(title, columns, rows)


def _contents(resolved: Mapping[str, Any]) -> View:
    """Models, probes and data by the hash of their content."""
    rows = [
        {
            "kind": name,
            "name": plain(_first(item, "name", "pack", "sft")),
            "digest": plain(item.get("digest")),
            "more": ", ".join(f"{k} {plain(v)}" for k, v in item.items() if _is_more(k, v)),
        }
        for kind, name in _KINDS.items()
        for item in map(_mapping, _sequence(resolved.get(kind)))
    ]
    columns = (
        Column(label="Kind", fields=("kind",)),
        Column(label="Name", fields=("name",)),
        Column(label="Digest", fields=("digest",)),
        Column(label="More", fields=("more",)),
    )
    return _view("Models, probes and data, by content", columns, rows)


def _is_more(name: Any, value: Any) -> bool:
    return name not in ("name", "pack", "sft", "digest") and value is not None


def _first(item: Mapping[Any, Any], *names: str) -> Any:
    return next((item[n] for n in names if item.get(n) is not None), None)


def _view(title: str, columns: tuple[Column, ...], rows: Sequence[dict[str, str]]) -> View:
    notes = listed(MAX_ROWS, len(rows), "rows")
    shown = tuple(rows[:MAX_ROWS])
    return View(key="", name="setup", title=title, columns=columns, rows=shown, notes=notes)


def plain(value: Any) -> str:
    """A value of a sweep file as text, e.g. `0.1, 0.2`; `none` where it is not set."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return shorter(", ".join(plain(v) for v in value), MAX_CHARACTERS)
    return shorter(str(value), MAX_CHARACTERS)


def _mapping(value: Any) -> Mapping[Any, Any]:
    """The file is read by people, too, and may have been changed by them."""
    return value if isinstance(value, Mapping) else {}


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()
