"""Training curves of cells that still run, from the lines of their logs."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from pathlib import Path

import numpy as np

from orchestrator.report.content import MAX_CURVE_ARMS, MAX_CURVE_SEEDS
from orchestrator.report.figures.curves import binned
from orchestrator.report.looks import colour_of

TAIL = 1 << 18
"""Bytes of the end of a log that are read; more than 3,000 steps."""
LEFT, RIGHT, TOP, BOTTOM = 44, 352, 8, 128
"""The box of a curve in the drawing of the page, pixels."""
_LOSS = re.compile(rb" step ([0-9]{1,9})/[0-9]{1,9} loss (-?[0-9]{1,12}\.[0-9]{1,6})\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmLosses:
    """The losses of one arm, as they are drawn.

    Attributes:
        arm: Its label.
        colour: Of its condition.
        low, high: Ends of the y axis, nats per token.
        first, last: Ends of the x axis, optimizer steps.
        lines: One a seed: the points of a polyline, and whether its cell runs.
        text: The same in words.
    """

    arm: str
    colour: str
    low: str
    high: str
    first: int
    last: int
    lines: tuple[tuple[str, bool], ...]
    text: str


def losses(folder: Path, labels: Mapping[str, str], running: Collection[str]) -> list[ArmLosses]:
    """Losses by arm of all cells whose logs have some; arms that run come first."""
    arms: dict[str, list[str]] = {}
    for cell in sorted(labels, key=lambda c: c not in running):
        arms.setdefault(labels[cell].rpartition(" seed=")[0] or labels[cell], []).append(cell)
    drawn = (_arm(folder, arm, cells, running) for arm, cells in arms.items())
    return [arm for arm, _ in zip((a for a in drawn if a), range(MAX_CURVE_ARMS), strict=False)]


def _arm(
    folder: Path, arm: str, cells: Collection[str], running: Collection[str]
) -> ArmLosses | None:
    found = {}
    for cell in list(cells)[:MAX_CURVE_SEEDS]:
        path = folder / "logs" / f"{cell}.log"
        if path.is_file() and not path.is_symlink():
            state = path.stat()
            if points := logged(path, state.st_mtime_ns, state.st_size):
                found[cell] = points
    if not found:
        return None
    every = [point for points in found.values() for point in points]
    steps, values = zip(*every, strict=True)
    low, high, first, last = min(values), max(values), min(steps), max(steps)
    lines = []
    for cell, points in found.items():
        xs, ys = binned(*np.array(points, dtype=np.float64).T)
        xs = LEFT + (xs - first) / ((last - first) or 1) * (RIGHT - LEFT)
        ys = BOTTOM - (ys - low) / ((high - low) or 1) * (BOTTOM - TOP)
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
        lines.append((line, cell in running))
    return ArmLosses(
        arm=arm,
        colour=colour_of(arm.partition(" ")[0]),
        low=f"{low:.3g}",
        high=f"{high:.3g}",
        first=first,
        last=last,
        lines=tuple(lines),
        text=f"loss of {arm}, seeds: {len(found)}, from {low:.3f} to {high:.3f} nat/token, "
        f"steps {first} to {last}",
    )


@lru_cache(maxsize=1024)
def logged(path: Path, changed_ns: int, size: int) -> tuple[tuple[int, float], ...]:  # noqa: ARG001 - the cache's key
    """(step, loss) from the end of a log; a later attempt replaces the steps it repeats."""
    with path.open("rb") as file:
        file.seek(max(0, size - TAIL))
        text = file.read(TAIL)
    return tuple(_latest(text))


def _latest(text: bytes) -> Iterator[tuple[int, float]]:
    points: list[tuple[int, float]] = []
    for match in _LOSS.finditer(text):
        step, loss = int(match[1]), float(match[2])
        while points and points[-1][0] >= step:
            points.pop()
        if isfinite(loss):
            points.append((step, loss))
    yield from points
