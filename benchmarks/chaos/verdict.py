"""A round's results against those of an undisturbed twin: nothing lost, nothing doubled."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.inspection.compare_results import compare
from orchestrator.results.adapters import FILES
from orchestrator.results.store import SETTLED, Store, read_file

Finished = dict[str, tuple[int, datetime]]
"""Cell -> (attempts, when it ended), of cells that need not run again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is wrong with results.

    Attributes:
        lost: Cells whose scores or adapter are missing or differ from the twin's.
        doubled: Cells that were finished and undamaged, and yet ran again.
        problems: These and all other contradictions, in words.
    """

    lost: frozenset[str]
    doubled: frozenset[str]
    problems: tuple[str, ...]


def finished(results: Path) -> Finished:
    """The finished cells whose row can be read."""
    found = {}
    for path in (results / "cells").glob("[!.]*.arrow"):
        with suppress(UserError):
            row = read_file(path, "cells").to_pylist()[0]
            if row["status"] in SETTLED:
                found[row["cell_id"]] = (row["attempts"], row["finished_at"])
    return found


def judge(
    results: Path, twin: Path, history: Iterable[Finished], touched: Iterable[str]
) -> Verdict:
    """Compare results with the twin's.

    Args:
        results: Results folder of the round.
        twin: Results folder of the same sweep without a fault.
        history: Finished cells at several times, in order.
        touched: Cells that were damaged or deleted by hand, and so may have run again.
    """
    now, problems = finished(results), []
    spared = set(touched)
    changed = {
        cell
        for before in history
        for cell, mark in before.items()
        if cell not in spared and now.get(cell) != mark
    }
    doubled = changed & now.keys()
    lost = (finished(twin).keys() - now.keys()) | _other_adapters(results, twin)
    try:
        found = compare(Store(twin), Store(results))
    except UserError as error:
        problems.append(str(error))
    else:
        lost |= found.differing.keys()
        problems += [f"{cell}: other {', '.join(p)}" for cell, p in found.differing.items()]
        if found.only_right:
            problems.append(f"{found.only_right} cells that the twin has not")
    try:
        again, odd = _journal(Store(results), spared)
    except UserError as error:
        problems.append(str(error))
    else:
        doubled |= again
        problems += odd
    problems += [f"{cell}: lost" for cell in sorted(lost)]
    problems += [f"{cell}: doubled" for cell in sorted(doubled)]
    return Verdict(lost=frozenset(lost), doubled=frozenset(doubled), problems=tuple(problems))


def _other_adapters(results: Path, twin: Path) -> set[str]:
    """Cells whose adapter's bytes on the disk are not the twin's."""
    found = set()
    for path in (p for name in FILES for p in twin.glob(f"adapters/*/{name}")):
        here = results / path.relative_to(twin)
        if not here.is_file() or here.read_bytes() != path.read_bytes():
            found.add(path.parent.name)
    return found


def _journal(store: Store, spared: set[str]) -> tuple[set[str], list[str]]:
    """Cells that ended well twice, and contradictions between the journal and the cells' rows."""
    attempts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in store.rows("attempts"):
        attempts[row["cell_id"]].append(row)
    doubled, odd = set(), []
    for row in store.rows("cells"):
        cell = row["cell_id"]
        if cell in spared:
            continue
        tried = sorted(attempts[cell], key=lambda a: a["attempt"])
        ended = Counter(a["outcome"] for a in tried)
        if ended[row["status"]] > 1:
            doubled.add(cell)
        if ended["running"]:
            odd.append(f"{cell}: the journal has a running attempt after the end")
        if [a["attempt"] for a in tried] != list(range(1, len(tried) + 1)):
            odd.append(f"{cell}: attempts {[a['attempt'] for a in tried]}")
        kept = [a["attempt"] for a in tried if a["outcome"] == row["status"]]
        if row["attempts"] not in kept:
            odd.append(f"{cell}: its row says attempt {row['attempts']}, the journal {dict(ended)}")
    return doubled, odd
