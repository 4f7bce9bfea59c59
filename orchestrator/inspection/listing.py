"""All cells of a results folder, and the units of its last stress test, one row each."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.analysis.tables.columns import plain, words
from orchestrator.analysis.tables.view import View
from orchestrator.execution.display import clock
from orchestrator.results import lock
from orchestrator.results.live import NOTHING, read_live
from orchestrator.results.manifest import load_manifest
from orchestrator.results.store import Store
from orchestrator.results.stress_record import units_in

Rows = Mapping[str, Mapping[str, Any]]
SHORTEST_ID = 8
COLUMNS = (
    words("Cell", "arm"),
    words("id", "id"),
    words("status", "status"),
    words("steps", "steps"),
    plain("loss", "loss"),
    words("host", "host"),
    words("time", "time"),
)


def listing(store: Store) -> list[View]:
    """A table of the cells, and one of the units if there was a stress test.

    Raises:
        UserError: The folder holds no launched sweep.
    """
    labels: dict[str, str] = load_manifest(store.folder)["cells"]
    live = read_live(store.folder) if lock.holder(store.folder) else NOTHING
    running = {cell["cell_id"]: cell for cell in live["running"] if "cell_id" in cell}
    views = [_view(f"Cells of {store.folder.name}", labels, store.cells(), running)]
    if units := units_in(store.folder):
        rows = {r["generation_id"]: r for r in store.rows("generations")}
        views.append(_view("Units of the last stress test", units, rows, running))
    return views


def _view(title: str, labels: Mapping[str, str], rows: Rows, running: Rows) -> View:
    return View(
        key="",
        name="cells",
        title=title,
        columns=COLUMNS,
        rows=tuple(_rows(labels, rows, running)),
        notes=("Loss: nats per token; of a cell that has ended, over the last tenth of its steps.",)
        if any(row.get("ce_loss") is not None for row in rows.values())
        else (),
    )


def _rows(labels: Mapping[str, str], rows: Rows, running: Rows) -> Iterator[dict[str, Any]]:
    """One row for each label; ids are cut to the shortest start that still names one."""
    longest = max(map(len, labels), default=SHORTEST_ID)
    lengths = range(SHORTEST_ID, longest)
    length = next((n for n in lengths if len({k[:n] for k in labels}) == len(labels)), longest)
    for key, label in labels.items():
        found: dict[str, Any] = {"arm": label, "id": key[:length], "key": key, "status": "open"}
        if (cell := running.get(key)) is not None:
            found |= {"status": f"running: {cell['stage']}", "loss": cell["loss"]}
            found |= {"host": cell["host"]}
            found["steps"] = f"{cell['step']}/{cell['steps']}" if cell["steps"] else ""
        elif (row := rows.get(key)) is not None:
            found |= {"status": row["status"], "host": row["host"], "loss": row.get("ce_loss")}
            found["steps"] = "" if row.get("train_steps") is None else str(row["train_steps"])
            found["time"] = "" if row["wall_s"] is None else clock(row["wall_s"])
        yield found
