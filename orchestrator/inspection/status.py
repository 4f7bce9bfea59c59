"""What is going on in a results folder: how far a sweep is, and all that is known of one cell."""

from collections import Counter
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.execution.display import clock
from orchestrator.results import lock
from orchestrator.results.folder import is_plain, one_named, passed_over
from orchestrator.results.live import NOTHING, read_live
from orchestrator.results.manifest import NAME, load_manifest, waiting_cells
from orchestrator.results.store import INCOMPLETE, Store
from orchestrator.results.stress_record import packs_in, read_plan, units_in
from orchestrator.stress.judging import count_unjudged, labels_of, once
from orchestrator.visible import short, visible
from tasks.sources.jsonl import demand_file

OPEN = "open"
"""Said of a cell that has no result yet."""
SHOWN = 3
"""Names of entries that were passed over, in one line."""


def status(store: Store, driver: tuple[int, str] | None = None) -> dict[str, Any]:
    """Counts, running cells and failures of a results folder, JSON-ready.

    Args:
        store: The results.
        driver: Process and host, if it is known to run elsewhere.

    Raises:
        UserError: The folder holds no launched sweep.
    """
    manifest = load_manifest(store.folder)
    labels: dict[str, str] = manifest["cells"]
    rows = {cell: row for cell, row in store.cells().items() if cell in labels}
    counts = Counter(str(r["status"]) for r in rows.values())
    trained = [r for r in rows.values() if r["adapter_sha256"] is not None]
    scored = store.scored_units()
    holder = lock.holder(store.folder) or driver
    running = read_live(store.folder) if holder else NOTHING
    return {
        "name": store.folder.name,
        "launch": {"pid": holder[0], "host": holder[1]} if holder else None,
        "total": len(labels),
        "ok": counts["ok"],
        "diverged": counts["diverged"],
        "failed": counts["failed"],
        INCOMPLETE: counts[INCOMPLETE],
        "open": len(labels) - counts["ok"] - counts["diverged"],
        "waiting": len(labels.keys() & waiting_cells(manifest) - rows.keys()),
        "stress": _stress(store),
        "scored": [
            {"pack": name, "total": len(pack["units"]), "ok": len(pack["units"].keys() & scored)}
            for name, pack in packs_in(store.folder).items()
        ],
        "adapters_left_out": len(trained) if store.without_adapters else 0,
        "paths": dict(Counter(str(r["path"]) for r in rows.values() if r["path"])),
        "running": running["running"],
        "at": running["at"],
        "left_s": running.get("left_s"),
        "unscored": [
            {"cell_id": c, "label": labels[c], "status": r["status"], "message": r["message"]}
            for c, r in rows.items()
            if r["status"] != "ok"
        ],
    }


def _stress(store: Store) -> dict[str, Any] | None:
    """How far the last stress test is; None before the first."""
    plan = read_plan(store.folder)
    if plan is None:
        return None
    rows = [r for r in once(store.rows("generations")) if r["generation_id"] in plan["units"]]
    ended = {r["generation_id"]: r["status"] for r in rows}
    counts = Counter(ended.values())
    answers = [r for r in rows if r["status"] == "ok"]
    return {
        "total": len(plan["units"]),
        "ok": counts["ok"],
        "failed": counts["failed"],
        "open": len(plan["units"]) - counts["ok"],
        "judge": plan["judge"],
        "answers": len(answers),
        "unjudged": count_unjudged(answers, labels_of(store, plan["judge"])),
        "unanswered": [
            {"generation_id": g, "label": plan["units"][g], "message": m}
            for g, m in {r["generation_id"]: r["message"] for r in rows}.items()
            if ended[g] != "ok"
        ],
    }


def status_lines(found: dict[str, Any], elapsed_s: float | None = None) -> list[str]:
    """`status` for people; `elapsed_s` are the seconds since the launch began, if it runs."""
    launch = found["launch"]
    state = (
        f"launch running (process {launch['pid']} on {launch['host']})"
        if launch
        else "no launch running"
    )
    if launch and elapsed_s is not None:
        state += f", {clock(elapsed_s)} elapsed"
    if launch and found["left_s"] is not None:
        state += f", about {clock(found['left_s'])} left"
    lines = [f"{found['name']}: {counts_text(found)}; {state}"]
    wide = max((len(cell["label"]) for cell in found["running"]), default=0)
    lines += [_running_line(cell, wide) for cell in found["running"]]
    lines += [
        f"  {cell['status']:<9} {cell['label']} ({cell['cell_id']}): {cell['message']}"
        for cell in found["unscored"]
    ]
    lines += [
        f"  passes    of {count} {'cell' if count == 1 else 'cells'}: {path}"
        for path, count in found["paths"].items()
    ]
    if trained := found["adapters_left_out"]:
        lines.append(
            f"  adapters/ is left out: its results can be read; score, stress and card need the "
            f"adapters of {trained} cells, and a launch would run these anew"
        )
    lines += _stress_lines(found["stress"], running=launch is not None)
    for pack in found["scored"]:
        lines.append(f"pack {pack['pack']}: {pack['ok']} of {pack['total']} units scored")
        if pack["ok"] < pack["total"] and launch is None:
            lines.append("  the same rho-sweep score command goes on")
    if (waiting := found["waiting"]) and not launch:
        wait, them = ("cell waits", "it") if waiting == 1 else ("cells wait", "them")
        lines.append(f"  {waiting} {wait}: no undecided claim needs {them} (--until decided)")
    if (left := found["open"] - waiting) and not launch:
        lines.append(f"  {_left_text(left, found)}; launch the sweep again to go on")
    return [visible(short(line)) for line in lines]


def _left_text(left: int, found: dict[str, Any]) -> str:
    """Which cells a launch would run, e.g. `to run: 3 open, 1 failed`; the last are counted once.

    Args:
        left: All of them.
        found: As `status` returns it; its `open` counts what has failed as well.
    """
    again = {name: found[name] for name in ("failed", INCOMPLETE)}
    numbers = {OPEN: left - sum(again.values())} | again
    return "to run: " + ", ".join(f"{n} {name}" for name, n in numbers.items() if n)


def counts_text(found: dict[str, Any]) -> str:
    """How many cells have ended and how, e.g. `1 of 5 cells scored, 1 failed`."""
    others = [f", {found[n]} {n}" for n in ("diverged", "failed", INCOMPLETE) if found[n]]
    return f"{found['ok']} of {found['total']} cells scored{''.join(others)}"


def _stress_lines(found: dict[str, Any] | None, *, running: bool) -> list[str]:
    if found is None:
        return []
    failed = f", {found['failed']} failed" if found["failed"] else ""
    lines = [
        f"stress test: {found['ok']} of {found['total']} units answered{failed}; "
        f"{found['unjudged']} of {found['answers']} answers unjudged by {found['judge']}"
    ]
    lines += [
        f"  failed    {unit['label']} ({unit['generation_id']}): {unit['message']}"
        for unit in found["unanswered"]
    ]
    if found["open"] and not running:
        units = "unit is" if found["open"] == 1 else "units are"
        lines.append(f"  {found['open']} {units} open; the same rho-sweep stress command goes on")
    return lines


def _running_line(cell: dict[str, Any], wide: int) -> str:
    step = f" step {cell['step']}/{cell['steps']}" if cell["steps"] else ""
    loss = "" if cell["loss"] is None else f" loss {cell['loss']:.3f}"
    return f"  running   {cell['label']:<{wide}} on {cell['host']}: {cell['stage']}{step}{loss}"


def kept_line(folder: Path) -> str:
    """How much an interrupted launch leaves, e.g. `7 of 16 cells are kept in results/a`."""
    try:
        labels = load_manifest(folder)["cells"]
        kept = labels.keys() & Store(folder).done()
    except UserError:  # it was interrupted before there was a whole manifest
        return f"finished cells are kept in {folder}"
    return f"{len(kept)} of {len(labels)} cells are kept in {folder}"


def loss_lines(store: Store) -> list[str]:
    """What a reader of the tables has to know: cells without scores, and what was passed over.

    Raises:
        UserError: A table is corrupted.
    """
    there = (store.folder / NAME).is_file()
    labels = load_manifest(store.folder)["cells"] if there else {}
    rows = store.cells()
    lines = [
        short(f"{row['status']} {cell} {labels.get(cell, '')}: {row['message']}")
        for cell, row in rows.items()
        if row["status"] != "ok"
    ]
    if missing := len(labels.keys() - rows.keys()):
        lines.append(f"{missing} of {len(labels)} cells have no result yet")
    return lines + passed_over_lines(store.folder)


def passed_over_lines(folder: Path) -> list[str]:
    """One line about entries of the results that are not ours; none where there are none."""
    found = passed_over(folder)
    if not found:
        return []
    shown = ", ".join(visible(name) for name in found[:SHOWN])
    more = ", ..." if len(found) > SHOWN else ""
    what = "entry that is" if len(found) == 1 else "entries that are"
    return [f"passed over: {len(found)} {what} not ours ({shown}{more})"]


def find_cell(store: Store, word: str) -> str:
    """The one cell, or unit of the last stress test or of a scoring, that a word names.

    Args:
        store: The results.
        word: The start of its id, or its whole label.

    Raises:
        UserError: None does, or more than one.
    """
    labels: dict[str, str] = load_manifest(store.folder)["cells"] | units_in(store.folder)
    for pack in packs_in(store.folder).values():
        labels |= pack["units"]
    return one_named(word, labels, f"cell of {store.folder}")


def log_lines(store: Store, cell: str) -> list[str]:
    """Everything known about one cell: progress, attempts, error."""
    path = store.folder / "logs" / f"{cell}.log"
    lines: list[str] = []
    if path.is_file():
        demand_file(path)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for attempt in store.attempts_of(cell):
        message = f": {attempt['message']}" if attempt["message"] else ""
        head = f"attempt {attempt['attempt']} on {attempt['host']}"
        lines.append(f"{head}: {attempt['outcome']}{message}")
    if (row := _row_of(store, cell)) is not None:
        if row["stage"]:
            lines.append(f"failed in stage {row['stage']}: {row['message']}")
        lines += (row["trace"] or "").splitlines()
    return [visible(short(line)) for line in lines] or ["nothing is known about this cell yet"]


def _row_of(store: Store, key: str) -> dict[str, Any] | None:
    """The row of a cell, or one of a unit's."""
    if is_plain(store.path("cells", key)):
        return next(r for r in store.rows("cells") if r["cell_id"] == key)
    return next((r for r in store.rows("generations") if r["generation_id"] == key), None)
