"""The cells: a map of arms by seeds, what has no scores and why, and who ran what."""

from collections.abc import Sequence

from orchestrator.analysis.tables.view import Column, Shape, View
from orchestrator.execution.display import clock
from orchestrator.report.blocks import Block, Note, Section, Table
from orchestrator.report.content import OPEN, CellLine, ReportContent, arm_of
from orchestrator.report.text import listed
from tasks.contract.cell import Status

MAX_ARMS = 150
MAX_SEEDS = 32
MAX_LISTED = 100
SCORED, DIVERGED, FAILED = str(Status.OK), str(Status.DIVERGED), str(Status.FAILED)


def counts(cells: Sequence[CellLine]) -> dict[str, int]:
    """Status -> how many cells of the manifest have it; every status is there."""
    found = dict.fromkeys((SCORED, DIVERGED, FAILED, OPEN), 0)
    for cell in cells:
        if cell.named:
            found[cell.status] = found.get(cell.status, 0) + 1
    return found


def counts_text(cells: Sequence[CellLine]) -> str:
    """e.g. `15 of 16 cells scored, 1 failed`; what did not occur is not named."""
    found = counts(cells)
    others = [f"{n} {status}" for status, n in found.items() if n and status != SCORED]
    return ", ".join([f"{found[SCORED]} of {sum(found.values())} cells scored", *others])


def cells_section(content: ReportContent) -> Section:
    """Every cell once, and what went wrong."""
    blocks: list[Block] = [Note(text=f"{counts_text(content.cells)}.")]
    if extra := sum(not c.named for c in content.cells):
        text = f"{extra} more in this folder are of an earlier launch; analysis counts them too."
        blocks.append(Note(text=text))
    if not content.cells:
        return Section(title="Cells", blocks=tuple(blocks))
    seeds = sorted({c.seed for c in content.cells}, key=lambda s: (s is not None, s or 0))
    badges = frozenset(f"seed {s}" for s in seeds)
    blocks.append(Table(view=_map(content, seeds), badges=badges, keyed=False))
    unscored = [c for c in content.cells if c.status not in (SCORED, OPEN)]
    if unscored:
        blocks.append(Table(view=_unscored(unscored), badges=frozenset({"status"}), keyed=False))
    blocks.append(Table(view=_hosts(content.cells), keyed=False))
    return Section(title="Cells", blocks=tuple(blocks))


def _map(content: ReportContent, seeds: Sequence[int | None]) -> View:
    """A row an arm, a column a seed."""
    arms = {e.arm_id: e.label for e in content.evidence}
    rows: dict[str, dict[str, str]] = {}
    for cell in content.cells:
        arm = arms.get(cell.arm_id or "", arm_of(cell))
        place = rows.setdefault(arm, {"arm": arm})
        field = f"seed {cell.seed}"
        place[field] = f"{place[field]}, {cell.status}" if field in place else cell.status
    shown = seeds[:MAX_SEEDS]
    notes = (
        *listed(MAX_ARMS, len(rows), "arms"),
        *listed(MAX_SEEDS, len(seeds), "seeds"),
        *(("A cell without a seed is not trained.",) if None in shown else ()),
    )
    return View(
        key="",
        name="cells",
        title="Cells by arm and seed",
        columns=(
            Column(label="Arm", fields=("arm",)),
            *(Column(label=_seed_text(s), fields=(f"seed {s}",)) for s in shown),
        ),
        rows=tuple(rows.values())[:MAX_ARMS],
        notes=notes,
    )


def _seed_text(seed: int | None) -> str:
    return "no seed" if seed is None else f"seed {seed}"


def _unscored(cells: Sequence[CellLine]) -> View:
    return View(
        key="",
        name="unscored",
        title="Cells without scores",
        columns=(
            Column(label="Cell", fields=("label",)),
            Column(label="Id", fields=("cell_id",)),
            Column(label="Status", fields=("status",)),
            Column(label="Host", fields=("host",)),
            Column(label="Attempts", fields=("attempts",), shape=Shape.INTEGER),
            Column(label="Message", fields=("message",)),
        ),
        rows=tuple(
            {
                "label": c.label,
                "cell_id": c.cell_id,
                "status": c.status,
                "host": c.host,
                "attempts": c.attempts,
                "message": c.message,
            }
            for c in cells[:MAX_LISTED]
        ),
        notes=listed(MAX_LISTED, len(cells), "cells"),
    )


def _hosts(cells: Sequence[CellLine]) -> View:
    """Who ran what; cells that ran nowhere yet have no host."""
    groups: dict[tuple[str, str], list[CellLine]] = {}
    for cell in cells:
        if cell.host is not None:
            groups.setdefault((cell.host, cell.chip or ""), []).append(cell)
    ordered = sorted(groups.items())
    return View(
        key="",
        name="hosts",
        title="Hosts",
        columns=(
            Column(label="Host", fields=("host",)),
            Column(label="Chip", fields=("chip",)),
            Column(label="Cells", fields=("cells",), shape=Shape.INTEGER),
            Column(label="Attempts", fields=("attempts",), shape=Shape.INTEGER),
            Column(label="Time in cells", fields=("time",)),
        ),
        rows=tuple(_host_row(host, chip, group) for (host, chip), group in ordered[:MAX_LISTED]),
        notes=listed(MAX_LISTED, len(ordered), "hosts"),
    )


def _host_row(host: str, chip: str, group: Sequence[CellLine]) -> dict[str, object]:
    times = [c.wall_s for c in group if c.wall_s is not None]
    return {
        "host": host,
        "chip": chip,
        "cells": len(group),
        "attempts": sum(c.attempts or 0 for c in group),
        "time": clock(sum(times)) if times else None,
    }
