"""One or more results folders as one frame and one set of registered questions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.analysis.evidence.frame import (
    CELL_COLUMNS,
    IMPORTED_COLUMNS,
    PROBE_COLUMNS,
    SCORE_COLUMNS,
    Frame,
)
from orchestrator.errors import UserError, as_typed, hint
from orchestrator.results.folder import is_plain
from orchestrator.results.manifest import NAME, load_manifest, unreadable
from orchestrator.results.registration import Registered, Registration
from orchestrator.results.schema import IMPORTED_TABLE, PACK, PACK_DIGEST
from orchestrator.results.store import INCOMPLETE, MARK, SETTLED, Store
from orchestrator.results.stress_record import packs_in
from orchestrator.stats.records import ALPHA
from tasks.contract.cell import Condition

NONE: dict[str, Any] = {"cells": {}}
KEYS = ("cell_id", "status")
COLUMNS = {
    "cells": CELL_COLUMNS,
    "scores": SCORE_COLUMNS,
    "probe_scores": PROBE_COLUMNS,
    IMPORTED_TABLE: IMPORTED_COLUMNS,
}


def load_frame(stores: Sequence[Store], pack: str | None = None) -> Frame:
    """All cells of all results; a cell that several have counts once, where it has a result.

    Args:
        stores: The results.
        pack: Whose scores; None for those of the sweeps themselves.

    Raises:
        UserError: A table is corrupted, or a cell has other scores in another folder.
    """
    tables = [_tables(store, pack) for store in stores]
    rows = [
        (place, cell, status in SETTLED)
        for place, found in enumerate(tables)
        for cell, status in zip(*(found["cells"][n].to_pylist() for n in KEYS), strict=True)
    ]
    owner: dict[str, int] = {}
    for place, cell, _ in sorted(rows, key=lambda row: not row[2]):
        owner.setdefault(cell, place)
    for place, cell, settled in rows:
        if settled and owner[cell] != place:
            _demand_same(stores[owner[cell]], stores[place], cell)
    parts: dict[str, list[pa.Table]] = {name: [] for name in COLUMNS}
    for place, found in enumerate(tables):
        mine = pa.array([cell for cell, of in owner.items() if of == place], pa.string())
        for name, table in found.items():
            parts[name].append(table.filter(pc.is_in(table["cell_id"], value_set=mine)))
    return Frame(*(pa.concat_tables(parts[name]) for name in COLUMNS))


def demand_pack(stores: Sequence[Store], word: str) -> str:
    """Name of the scored pack that a word names, which may be the path of its file.

    Raises:
        UserError: It was not scored with the adapters of these results.
    """
    known = dict.fromkeys(name for store in stores for name in packs_in(store.folder))
    name = Path(word).name
    if name not in known:
        folders = " and ".join(str(s.folder) for s in stores)
        raise UserError(
            f"{folders}: no scores of pack {word}{hint(name, tuple(known))}",
            f"make them with: {as_typed('score', stores[0].folder, '--pack', word)}",
        )
    return name


def _tables(store: Store, pack: str | None) -> dict[str, pa.Table]:
    """The tables of a results folder with the columns that a frame has."""
    tables = {name: store.read(name) for name in COLUMNS}
    digests = packs_in(store.folder).get(pack, {"digests": []})["digests"] if pack else []
    for name in ("scores", "probe_scores"):
        rows = tables[name]
        mine = pc.is_null(rows[PACK])
        if pack is not None:
            counts = pc.is_in(rows[PACK_DIGEST], value_set=pa.array(digests, pa.string()))
            mine = pc.and_(pc.equal(rows[PACK], pack), counts)
        tables[name] = rows.filter(mine)  # leaves out rows of which this is null
    tables["cells"] = _with_losses(store, tables["cells"])
    return {name: tables[name].select(columns) for name, columns in COLUMNS.items()}


def _with_losses(store: Store, cells: pa.Table) -> pa.Table:
    """Rows of `cells`; those whose scores are missing have the status `incomplete`."""
    status, message = cells["status"].to_pylist(), cells["message"].to_pylist()
    for place, mark in enumerate(cells.select(MARK).to_pylist()):
        if lost := [p for p in store.lacks(mark) if p.partition("/")[0] in COLUMNS]:
            status[place], message[place] = INCOMPLETE, f"{', '.join(lost)}; launch again"
    for name, values in (("status", status), ("message", message)):
        place = cells.schema.get_field_index(name)
        cells = cells.set_column(place, cells.schema.field(name), pa.array(values, pa.string()))
    return cells


def _demand_same(one: Store, other: Store, cell: str) -> None:
    scores = [
        sorted(s.read_cell("scores", cell).select(SCORE_COLUMNS).to_pylist(), key=str)
        for s in (one, other)
    ]
    if scores[0] != scores[1]:
        raise UserError(
            f"cell {cell} has different scores in {one.folder} and {other.folder}",
            f"see: {as_typed('compare', one.folder, other.folder)}",
        )


def load_manifests(stores: Sequence[Store]) -> list[dict[str, Any]]:
    """Of each results folder; an empty one where no launch made it."""
    return [load_manifest(s.folder) if (s.folder / NAME).is_file() else NONE for s in stores]


def registration_of(stores: Sequence[Store], manifests: Sequence[dict[str, Any]]) -> Registration:
    """The questions of all results, registered ones first, each for the cells of its sweep.

    Raises:
        UserError: The questions of a manifest were edited, or are none.
    """
    found: list[Registered] = []
    alphas = []
    names = Counter(store.folder.name for store in stores)
    for store, manifest in zip(stores, manifests, strict=True):
        if reason := unreadable(manifest):
            raise UserError(f"{store.folder / NAME}: {reason}", "launch the sweep again")
        registration = Registration.of(manifest, str(store.folder / NAME))
        if registration.contrasts:
            alphas.append(registration.alpha)
        scope, name = frozenset(manifest["cells"]), store.folder.name
        origin = name if names[name] == 1 else str(store.folder)  # a family of each
        found += [replace(r, scope=scope, origin=origin) for r in registration.contrasts]
    if len(set(alphas)) > 1:
        raise UserError(f"results were registered at different alpha: {sorted(set(alphas))}")
    return Registration(
        alpha=alphas[0] if alphas else ALPHA,
        contrasts=tuple(sorted(found, key=lambda r: r.at is None)),
    ).with_distinct_ids()


def silent_arms(stores: Sequence[Store], frame: Frame) -> tuple[str, ...]:
    """Ids of arms whose loss of pairs was 0 in every step of every scored cell: trained without.

    Raises:
        UserError: A table of steps is corrupted.
    """
    return tuple(
        arm
        for arm in frame.arms
        if (cells := frame.cells_of([arm]))
        and all(Condition(frame.cells[cell]["condition"]).has_pairs for cell in cells)
        and all(_is_silent(stores, cell) for cell in cells)
    )


def _is_silent(stores: Sequence[Store], cell: str) -> bool:
    for store in stores:
        if is_plain(store.path("steps", cell)):
            active = store.read_cell("steps", cell)["hinge_active"].drop_null()
            return len(active) > 0 and not any(active.to_pylist())
    return False
