"""The section of settings: grid, settings, content hashes and versions of the run."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.analysis.tables.view import Column, View
from orchestrator.report.blocks import Block, Facts, Note, Section, Table
from orchestrator.report.content import ReportContent
from orchestrator.report.text import listed, shorter

CONFIG = "config"
"""Name of the analysis table that lists every setting."""
MAX_ROWS = 200
MAX_CHARACTERS = 2000
"""Of one value of the sweep file."""
_KINDS = {"models": "model", "probes": "probes", "data": "SFT data"}


def setup_section(content: ReportContent) -> Section:
    """What a reader needs to repeat the run, and to check that models and data are the same."""
    manifest = content.manifest
    resolved = _mapping(manifest.get("resolved"))
    versions = [("Resolved by rho-sweep", resolved.get("rho_sweep"))]
    versions.append(("Code revision at the launch", resolved.get("git_revision")))
    facts = [*((k, str(v)) for k, v in versions if v is not None), *content.facts]
    blocks: list[Block] = [Facts(pairs=tuple(facts))] if facts else []
    settings = {f"run.{k}": v for k, v in _mapping(manifest.get("run")).items()}
    points = [
        {"grid": str(number), "axis": str(axis), "values": plain(values)}
        for number, grid in enumerate(_sequence(manifest.get("grids")), start=1)
        for axis, values in _mapping(grid).items()
    ]
    tables = [_view("Grid", ("grid", "axis", "values"), points), _contents(resolved)]
    if any(view.name == CONFIG for view in content.views):
        blocks.append(Note(text=f"Every setting is in the table {CONFIG}."))
    else:
        tables.append(_pairs("Settings of every cell", _mapping(manifest.get("settings"))))
        tables.append(_pairs("How it was run", settings))
    blocks += [Table(view=view, keyed=False) for view in tables if view.rows]
    nothing = Note(text="The manifest says nothing of what was run.")
    others = [replace(content, manifest=m, facts=(), others=()) for m in content.others]
    parts = [replace(setup_section(o), title=str(o.manifest.get("name"))) for o in others]
    return Section(title="What was run", blocks=tuple(blocks) or (nothing,), parts=tuple(parts))


def models_of(manifest: Mapping[str, Any]) -> str:
    """Names of the models in a manifest; empty where it names none."""
    models = _sequence(_mapping(manifest.get("resolved")).get("models"))
    return ", ".join(plain(_mapping(m).get("name")) for m in models)


def _pairs(title: str, values: Mapping[Any, Any]) -> View:
    rows = [{"field": str(k), "value": plain(v)} for k, v in values.items()]
    return _view(title, ("field", "value"), rows)


def _contents(resolved: Mapping[str, Any]) -> View:
    """Models, probes and data, each with the hash of its content."""
    named = ("name", "pack", "sft")
    rows = []
    for kind, label in _KINDS.items():
        for item in map(_mapping, _sequence(resolved.get(kind))):
            known = {k: plain(v) for k, v in item.items() if v is not None}
            name = next((known[k] for k in named if k in known), plain(None))
            more = [f"{k} {v}" for k, v in known.items() if k not in (*named, "digest")]
            digest = known.get("digest", plain(None))
            row = {"kind": label, "name": name, "digest": digest, "more": ", ".join(more)}
            rows.append(row)
    title = "Models, probes and data, by content"
    return _view(title, ("kind", "name", "digest", "more"), rows)


def _view(title: str, fields: tuple[str, ...], rows: Sequence[dict[str, str]]) -> View:
    """A table with a column a field, cut to MAX_ROWS rows."""
    return View(
        key="",
        name="setup",
        title=title,
        columns=tuple(Column(label=f.capitalize(), fields=(f,)) for f in fields),
        rows=tuple(rows[:MAX_ROWS]),
        notes=listed(MAX_ROWS, len(rows), "rows"),
    )


def plain(value: Any) -> str:
    """A value of a sweep file as text, e.g. `0.1, 0.2`; `none` for None, `yes` for True."""
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
    """The value if it is a mapping, else an empty one: people may have edited the manifest."""
    return value if isinstance(value, Mapping) else {}


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()
