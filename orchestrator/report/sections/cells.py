"""The section of cells: status by arm and seed, cells without scores, and hosts."""

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


def counts_text(cells: Sequence[CellLine]) -> str:
    """How the manifest's cells ended, e.g. `15 of 16 cells scored, 1 failed`."""
    found = dict.fromkeys((SCORED, DIVERGED, FAILED, OPEN), 0)
    for cell in cells:
        if cell.named:
            found[cell.status] = found.get(cell.status, 0) + 1
    others = [f"{n} {status}" for status, n in found.items() if n and status != SCORED]
    return ", ".join([f"{found[SCORED]} of {sum(found.values())} cells scored", *others])


def cells_section(content: ReportContent) -> Section:
    """The table of all cells, the table of those without scores, and the table of hosts."""
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
        columns = (
            Column(label="Cell", fields=("label",)),
            Column(label="Id", fields=("cell_id",)),
            Column(label="Status", fields=("status",)),
            Column(label="Host", fields=("host",)),
            Column(label="Attempts", fields=("attempts",), shape=Shape.INTEGER),
            Column(label="Message", fields=("message",)),
        )
        fields = [name for column in columns for name in column.fields]
        view = View(
            key="",
            name="unscored",
            title="Cells without scores",
            columns=columns,
            rows=tuple({n: getattr(c, n) for n in fields} for c in unscored[:MAX_LISTED]),
            notes=listed(MAX_LISTED, len(unscored), "cells"),
        )
        blocks.append(Table(view=view, badges=frozenset({"status"}), keyed=False))
    blocks.append(Table(view=_hosts(content.cells), keyed=False))
    return Section(title="Cells", blocks=tuple(blocks))


def _map(content: ReportContent, seeds: Sequence[int | None]) -> View:
    """Status of each cell: one row an arm, one column a seed."""
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
            *(
                Column(label="no seed" if s is None else f"seed {s}", fields=(f"seed {s}",))
                for s in shown
            ),
        ),
        rows=tuple(rows.values())[:MAX_ARMS],
        notes=notes,
    )


def _hosts(cells: Sequence[CellLine]) -> View:
    """What each host ran; cells without a result have no host."""
    groups: dict[tuple[str, str], list[CellLine]] = {}
    for cell in cells:
        if cell.host is not None:
            groups.setdefault((cell.host, cell.chip or ""), []).append(cell)
    rows = []
    for (host, chip), group in sorted(groups.items())[:MAX_LISTED]:
        times = [c.wall_s for c in group if c.wall_s is not None]
        row = {
            "host": host,
            "chip": chip,
            "cells": len(group),
            "attempts": sum(c.attempts or 0 for c in group),
            "time": clock(sum(times)) if times else None,
        }
        rows.append(row)
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
        rows=tuple(rows),
        notes=listed(MAX_LISTED, len(groups), "hosts"),
    )
