"""When and where cells ran, and whether their scores follow it."""

from collections.abc import Iterator, Sequence
from typing import Any

from orchestrator.analysis.evidence.frame import Frame
from orchestrator.results.store import Store
from orchestrator.stats.beside.drift import ALPHA, MOST, drift
from tasks.contract.cell import Status


def launch_drift(stores: Sequence[Store], frame: Frame) -> Iterator[str]:
    """A sentence for every behaviour whose scores follow the launch; the journal has the times.

    Cells without a journal are left out. Of very many cells nothing is said.
    """
    if len(frame.cells) > MOST:
        return
    ran: dict[str, dict[str, Any]] = {}
    for store in stores:
        rows = store.rows("attempts")
        ran |= {r["cell_id"]: r for r in rows if r["outcome"] == str(Status.OK)}
    places = {(r["arm_id"], r["seed"]): ran.get(cell) for cell, r in frame.cells.items()}
    evidence = [e for e in frame.evidence() if len(e.scores) > 1]
    groups = sorted({(e.behavior, e.split) for e in evidence})
    for behavior, split in groups:
        cells = [
            (rho, e.arm_id, seed, attempt["started_at"].timestamp(), str(attempt["host"]))
            for e in evidence
            if (e.behavior, e.split) == (behavior, split)
            for seed, rho in e.scores.items()
            if (attempt := places.get((e.arm_id, seed))) is not None
        ]
        if cells:
            scores, arms, seeds, starts, hosts = zip(*cells, strict=True)
            found = drift(scores, arms, seeds, starts, hosts, ALPHA / len(groups))
            yield from (f"{behavior} ({split}): {text}" for text in found.warnings)
