"""`sweep.yaml` in the results: the sweep as resolved, with the hashes of everything it used."""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import __version__
from orchestrator.cells.provenance import git_revision
from orchestrator.config.foreign_json import ID, demand, shown
from orchestrator.config.yaml_lines import Document, dump_yaml, parse_yaml
from orchestrator.errors import UserError
from orchestrator.results.files import UNSEALED, demand_spelling, intact, sealed, write_whole
from orchestrator.results.folder import MANIFEST
from tasks.contract.cell import NodeError
from tasks.sources.jsonl import demand_file

if TYPE_CHECKING:  # they load pydantic, which a look at results does without
    from orchestrator.cells.expand import Expansion
    from orchestrator.config.fields import RunSettings
    from orchestrator.config.sweep_file import Sweep
    from orchestrator.results.registration import Registration

NAME = MANIFEST
IMPORTED = "imported"
"""Key of a manifest that no launch wrote: where its results come from."""
SHAPE: dict[str, Any] = {
    "cells": {ID: str},
    "grids?": (None, [{}]),
    **{f"{part}?": (None, {}) for part in ("settings", "run", "stress", "resolved")},
}
"""Of the parts that are read without a check of their own."""
HEAD = "# Written by rho-sweep launch: the sweep as it was resolved.\n"


def write_manifest(
    folder: Path,
    sweep: "Sweep",
    expansion: "Expansion",
    registration: "Registration",
    *,
    waiting: Collection[str] = (),
) -> None:
    """Write what was launched; `load_manifest` reads it back.

    Args:
        folder: The results.
        sweep: The sweep.
        expansion: Its cells.
        registration: Its questions.
        waiting: Cells that this launch leaves aside.
    """
    from orchestrator.results.registration import KEY

    content = {
        "name": sweep.name,
        "description": sweep.description,
        "settings": {k: _plain(v) for k, v in sweep.base.items() if v is not None},
        "grids": [
            {axis: [_plain(v) for v in values] for axis, values in grid.axes.items()}
            for grid in sweep.grids
        ],
        "run": sweep.run.model_dump(),
        **_stress(sweep),
        "resolved": _resolved(expansion),
        "named": expansion.named,
        KEY: registration.plain(),
        "cells": {spec.cell_id: spec.label for spec in expansion.all},
        **({"waiting": sorted(waiting)} if waiting else {}),
    }
    seal = f"# {UNSEALED.decode()}\n"
    write_whole(folder / NAME, sealed((HEAD + seal + dump_yaml(content)).encode()))


def write_imported(
    folder: Path, content: Mapping[str, Any], source: str, files: Mapping[str, str]
) -> None:
    """Write the manifest of results that no launch made; they stay as they are.

    Args:
        folder: The results.
        content: As `load_manifest` returns it.
        source: The program that made them.
        files: Name of each file that they come from -> its sha256.
    """
    told = {**content, IMPORTED: {"from": source, "files": dict(files)}}
    head = f"# Written by rho-sweep import: results of {source}, read-only.\n"
    seal = f"# {UNSEALED.decode()}\n"
    write_whole(folder / NAME, sealed((head + seal + dump_yaml(told)).encode()))


def demand_trainable(folder: Path) -> None:
    """Check that results are of a launch, so that their cells can be run, or their adapters used.

    Raises:
        UserError: They were imported.
    """
    found = None
    with suppress(UserError):  # what cannot be read is told of elsewhere
        found = load_manifest(folder).get(IMPORTED)
    if isinstance(found, Mapping):
        raise UserError(
            f"{folder}: its results were imported from {shown(found.get('from'))}, without models "
            "or adapters, and are read-only",
            "analyze, report and export read them; launch into another folder",
        )


def demand_ours(folder: Path) -> None:
    """Check that a launch into this folder would overwrite no file of the user's.

    Raises:
        UserError: There is a `sweep.yaml` that no launch wrote, or the same name otherwise spelled;
            or its results were imported.
    """
    demand_trainable(folder)
    demand_spelling(folder, "use that spelling, or another name: --rename NAME")
    path = folder / NAME
    start = HEAD.encode()
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(2 * len(HEAD))
    if not start.startswith(HEAD.encode()) and b"\n# sealed:" not in start:
        raise UserError(
            f"{path}: was not written by a launch and would be overwritten",
            "move it away or choose another folder with --results DIR",
        )


def kept_manifest(folder: Path, *, results: bool) -> tuple[dict[str, Any] | None, str | None]:
    """What an earlier launch wrote; of a damaged file, of which a copy is kept, the questions.

    The file itself stays until `write_manifest`, for this launch may end before that.

    Args:
        folder: The results.
        results: Whether a trained cell has a result, before which a question has to be registered.

    Returns:
        The manifest, or the part of it that could be read, or None; and what is to be told to the
        user: what was lost, or was changed by others.
    """
    from orchestrator.results.registration import KEY, Registration

    path = folder / NAME
    lost = "what it had registered is lost, and the contrasts of this launch count as exploratory"
    if not path.is_file():
        return None, f"{path} was missing: {lost}" if results else None
    raw = path.read_bytes()
    changed = intact(raw) is False
    try:
        content = load_manifest(folder)
        reason = unreadable(content)
        if changed and KEY not in content:
            reason = f"it was changed after it was written, and has no {KEY}"
        if reason is None:
            told = f"{path} was changed after it was written; what it says was registered is kept"
            return content, told if changed else None
    except UserError as error:
        reason = error.reason.removeprefix(f"{path}: ")
    aside = next(f for f in _names_aside(folder) if not f.exists() or f.read_bytes() == raw)
    write_whole(aside, raw)
    told = f"{path} was damaged, and is kept as {aside.name} ({reason})"
    text = raw.decode(errors="replace")
    try:
        part = re.search(rf"^{KEY}:\n(?:[ -].*\n|\n)*", text, re.MULTILINE)
        kept: dict[str, Any] = parse_yaml(part[0] if part else "", str(path), folder).value
        Registration.of(kept)
    except (UserError, ValueError, KeyError, TypeError, AttributeError):
        return None, f"{told}: {lost}" if results else told
    return kept, f"{told}; what it had registered is kept"


def unreadable(content: Mapping[str, Any]) -> str | None:
    """Why what was registered cannot be read; None if it can, also if it was edited."""
    from orchestrator.results.registration import Registration

    try:
        with suppress(UserError):
            Registration.of(content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"what it registered cannot be read ({type(error).__name__}: {str(error)[:200]})"
    return None


def _names_aside(folder: Path) -> Iterator[Path]:
    """Where a damaged manifest may be kept; an earlier one is not overwritten; `folder.DAMAGED`."""
    yield folder / "sweep.damaged.yaml"
    yield from (folder / f"sweep.damaged.{n}.yaml" for n in count(2))


def load_manifest(folder: Path) -> dict[str, Any]:
    """What was launched into a results folder.

    Raises:
        UserError: The file is missing or damaged.
    """
    path = folder / NAME
    try:
        demand_file(path)  # a pipe would be waited for
        content = parse_yaml(path.read_bytes().decode(), str(path), folder).value
        demand(content, SHAPE, "")
    except FileNotFoundError:
        raise UserError(f"{path}: missing", "launch the sweep again to write it anew") from None
    except (OSError, ValueError, NodeError, UserError) as error:
        text = error.reason if isinstance(error, UserError) else str(error)
        reason = text.splitlines()[0].removeprefix(f"{path}: ")
        raise UserError(f"{path}: cannot be read ({reason})", "launch the sweep again") from None
    return content


def waiting_cells(manifest: Mapping[str, Any]) -> set[str]:
    """Cells that the last launch left aside."""
    listed = manifest.get("waiting")
    return {str(cell) for cell in listed} if isinstance(listed, list) else set()


def labels_to_run(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Cell -> label of those that the last launch did not leave aside."""
    waiting = waiting_cells(manifest)
    return {cell: label for cell, label in manifest["cells"].items() if cell not in waiting}


def run_settings(manifest: dict[str, Any]) -> "RunSettings":
    """How the units of a launched sweep are run, without a command: the folder may be anyone's.

    What an older version did not write is as by default.

    Raises:
        UserError: Everything that is wrong with them.
    """
    from orchestrator.config.checked import read
    from orchestrator.config.fields import RunSettings

    known, written = RunSettings.model_fields.keys() - {"notify"}, manifest.get("run") or {}
    kept = {n: v for n, v in written.items() if n in known}
    found, problems, _ = read(RunSettings, Document(NAME, Path(), kept))
    if problems or found is None:
        lines = (f"{NAME}: run.{p.path}: {p.message}" for p in problems)
        raise UserError("\n".join(lines), "launch the sweep again")
    return found


def _stress(sweep: "Sweep") -> dict[str, Any]:
    """The test of generated answers, with the content of its prompt sets; nothing without one."""
    if sweep.stress is None:
        return {}
    settings = {k: _plain(v) for k, v in sweep.stress}
    from orchestrator.cells.prompt_sets import sets_here

    found = [{"name": s.name, "digest": s.digest} for s in sets_here(sweep)]
    return {"stress": settings | {"sets": found}}


def _resolved(expansion: "Expansion") -> dict[str, Any]:
    specs = expansion.all
    return {
        "models": _distinct(asdict(s.model) for s in specs),
        "probes": _distinct(
            {"pack": s.probes.pack, "heldout": s.probes.heldout, "digest": s.probes.digest}
            for s in specs
        ),
        "data": _distinct(asdict(s.data) for s in specs if s.data),
        "rho_sweep": __version__,
        "git_revision": git_revision(),
    }


def _distinct(items: Any) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if item not in found:
            found.append(item)
    return found


def _plain(value: Any) -> Any:
    from orchestrator.config.fields import Moments

    if isinstance(value, Moments):
        return str(value)
    return [_plain(v) for v in value] if isinstance(value, tuple) else value
