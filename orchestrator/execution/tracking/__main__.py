"""Writes the finished cells of a results folder to one tracker, but those that are there already.

    python -m orchestrator.execution.tracking RESULTS TRACKER NAME

It is started by `follow`. What goes wrong ends it with a sentence or a traceback.
"""

import sys
from pathlib import Path

from orchestrator.execution.tracking.runs import tracked
from orchestrator.execution.tracking.trackers import TRACKERS
from orchestrator.results.manifest import labels_to_run, load_manifest
from orchestrator.results.store import Store
from tasks.contract.cell import digest_of


def write(results: Path, tracker: str, name: str) -> None:
    """Write what is new.

    `track/TRACKER.DIGEST.txt` remembers which cells a store has, with the time of their file: a
    cell that ran again is written again, and another store gets all cells.
    """
    folder = results / "track"
    target = TRACKERS[tracker].make(folder / tracker, name)
    journal = folder / f"{tracker}.{digest_of([name, target.where])[:16]}.txt"
    known = set(journal.read_text().splitlines()) if journal.is_file() else set[str]()
    store, labels = Store(results), labels_to_run(load_manifest(results))
    for cell, label in labels.items():
        path = store.path("cells", cell)
        if not path.is_file() or (mark := f"{cell} {path.stat().st_mtime_ns}") in known:
            continue
        target.write(tracked(store, cell, label))
        folder.mkdir(exist_ok=True)
        with journal.open("a") as file:
            file.write(f"{mark}\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
