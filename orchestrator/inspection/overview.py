"""What lies under a folder of results: one line a sweep."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import UserError
from orchestrator.results import lock
from orchestrator.results.manifest import NAME, load_manifest, unreadable
from orchestrator.results.registration import Registration
from orchestrator.results.store import Store, stores
from orchestrator.visible import short, visible


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """One results folder.

    Attributes:
        folder: Where.
        model: Names of the models of cells that ended.
        total, ok: Cells of the sweep, and those of them with scores.
        failed: Cells that failed, diverged or lack files.
        claims: Contrasts that were registered and not withdrawn.
        running: Whether a launch runs on this machine.
        last: When the newest result came, ISO 8601 in UTC; None where there is none.
        problem: Why it cannot be read; the other fields are then empty.
    """

    folder: str
    model: str = ""
    total: int = 0
    ok: int = 0
    failed: int = 0
    claims: int = 0
    running: bool = False
    last: str | None = None
    problem: str | None = None


def overview(root: Path) -> Iterator[Overview]:
    """Every results folder under a root, by name; a damaged one says what is wrong with it.

    Raises:
        UserError: There is no such folder.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder", "make results with: rho-sweep launch quickstart")
    for store in stores(root):
        try:
            yield _of(store)
        except UserError as error:
            yield Overview(folder=str(store.folder), problem=str(error).splitlines()[0])


def _of(store: Store) -> Overview:
    manifest = load_manifest(store.folder)
    if reason := unreadable(manifest):
        raise UserError(f"{store.folder / NAME}: {reason}", "launch the sweep again")
    rows = store.cells()
    ended = [row["finished_at"] for row in rows.values() if row["finished_at"]]
    statuses = [str(row["status"]) for cell, row in rows.items() if cell in manifest["cells"]]
    asked = Registration.of(manifest, str(store.folder / NAME)).tested
    return Overview(
        folder=str(store.folder),
        model=", ".join(sorted({str(row["model"]) for row in rows.values()})),
        total=len(manifest["cells"]),
        ok=statuses.count("ok"),
        failed=sum(status != "ok" for status in statuses),
        claims=sum(one.at is not None for one in asked),
        running=lock.holder(store.folder) is not None,
        last=max(ended).isoformat(timespec="seconds") if ended else None,
    )


def lines_of(found: Iterable[Overview]) -> list[str]:
    """For people: one line a sweep."""
    lines = []
    for one in found:
        if one.problem is not None:
            lines.append(f"{visible(one.folder)}: {short(visible(one.problem))}")
            continue
        parts = [f"{one.ok} of {one.total} cells scored"]
        parts += [f"{one.failed} failed"] if one.failed else []
        parts += [f"{one.claims} registered claim{'s' * (one.claims > 1)}"] if one.claims else []
        parts += ["a launch runs"] if one.running else []
        parts += [f"last {one.last[:16].replace('T', ' ')} UTC"] if one.last else []
        model = f"; {short(visible(one.model))}" if one.model else ""
        lines.append(f"{visible(one.folder)}: {', '.join(parts)}{model}")
    return lines
