"""Training, step by step: the losses, and how much of the contrastive term still acts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.analysis.tables.view import Column, Shape, View
from orchestrator.report.blocks import Figure, Gap, Panel
from orchestrator.report.content import Array, ReportContent, StepCurve
from orchestrator.report.figures.arms import RHO_UNIT
from orchestrator.report.figures.canvas import ink
from orchestrator.report.looks import colour_of
from orchestrator.report.text import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_PANELS = 12
MAX_LINES = 12
MAX_POINTS = 80
"""Of a line; where a training has more steps, a point is the mean of several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """What is drawn over the steps.

    Attributes:
        name: Field of a curve.
        heading: Of the figure.
        axis: Label of the axis, with unit.
        absent: Why there may be none.
        caption: How to read it.
        unit: Of the values; empty for a share.
        share: Whether it lies between 0 and 1.
    """

    name: str
    heading: str
    axis: str
    absent: str
    caption: str = ""
    unit: str = RHO_UNIT
    share: bool = False


ACTIVITY = Quantity(
    name="hinge_active",
    heading="Does the contrastive term go silent?",
    axis="share of pairs that push",
    absent="no training has a contrastive term",
    caption="A pair pushes while its gap is smaller than the margin; at 0, the term adds nothing.",
    unit="",
    share=True,
)
HINGE_LOSS = Quantity(
    name="hinge_loss",
    heading="Contrastive loss",
    axis=f"hinge loss ({RHO_UNIT})",
    absent="no training has a contrastive term",
)
CE_LOSS = Quantity(
    name="ce_loss",
    heading="Cross-entropy of the SFT texts",
    axis=f"CE loss ({RHO_UNIT})",
    absent="no training has SFT texts",
)


def curve_figure(content: ReportContent, quantity: Quantity) -> Figure | Gap:
    """Mean over seeds and every seed; one panel an arm, all with the same axes."""
    title = quantity.heading
    groups: dict[str, list[tuple[StepCurve, Array]]] = {}
    for curve in content.steps:
        values = getattr(curve, quantity.name)
        if len(values) and np.isfinite(values).any():
            groups.setdefault(curve.arm, []).append((curve, values))
    if not groups:
        return Gap(title=title, reason=quantity.absent)
    shown = {arm: lines[:MAX_LINES] for arm, lines in list(groups.items())[:MAX_PANELS]}
    left_out = content.steps_left_out + sum(map(len, groups.values()))
    left_out -= sum(map(len, shown.values()))
    longest = max(len(values) for lines in shown.values() for _, values in lines)
    return Figure(
        title=title,
        caption=" ".join([quantity.caption, *_remarks(longest, left_out)]).strip(),
        panels=tuple(_panel(arm, lines, quantity, shown) for arm, lines in shown.items()),
        numbers=_numbers(title, shown, quantity),
    )


def _remarks(longest: int, left_out: int) -> list[str]:
    found = ["Thin: each seed. Thick: their mean, as far as all of them have a value."]
    if (size := _bin_size(longest)) > 1:
        found.append(f"A point is the mean of up to {size} steps.")
    if left_out:
        found.append(f"{count(left_out, 'training')} more are not drawn.")
    return found


def _bin_size(steps: int) -> int:
    return -(-steps // MAX_POINTS)


def binned(steps: Array, values: Array) -> tuple[Array, Array]:
    """At most MAX_POINTS points, each the mean of equally many steps.

    Args:
        steps: (n,), optimizer steps.
        values: (n,), NaN where nothing was measured.

    Returns:
        Mean step and mean value of each bin; NaN where a bin has no value.
    """
    size = _bin_size(len(values))
    if size <= 1:
        return steps, values
    edges = range(0, len(values), size)
    return (
        np.array([steps[i : i + size].mean() for i in edges]),
        np.array([_mean(values[i : i + size]) for i in edges]),
    )


def _mean(values: Array) -> float:
    """Of what was measured; NaN of nothing."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _seed_mean(lines: Sequence[Array]) -> Array:
    """(n,) up to the shortest line; NaN where a line has no value."""
    shortest = min(map(len, lines))
    return np.asarray(np.mean([values[:shortest] for values in lines], axis=0))


def _ends(values: Array) -> tuple[float, float]:
    """Means of the first and the last tenth, of one step at least."""
    tenth = max(1, len(values) // 10)
    return _mean(values[:tenth]), _mean(values[-tenth:])


def _panel(
    arm: str,
    lines: Sequence[tuple[StepCurve, Array]],
    quantity: Quantity,
    shown: dict[str, list[tuple[StepCurve, Array]]],
) -> Panel:
    first, last = _ends(_seed_mean([v for _, v in lines]))
    silent = f" Silent in {_silent(lines):.0%} of all steps." if quantity.share else ""
    steps = max(len(v) for _, v in lines)
    limits = (0.0, 1.0) if quantity.share else _limits(shown)
    return Panel(
        title=arm,
        description=f"{quantity.axis} over {count(steps, 'step')}, {count(len(lines), 'seed')}: "
        f"mean of the first tenth {_told(first)}, of the last tenth {_told(last)}.{silent}",
        height=190,
        draw=_draw(lines, quantity, limits),
    )


def _silent(lines: Sequence[tuple[StepCurve, Array]]) -> float:
    """Share of measured steps in which no pair pushed."""
    values = np.concatenate([v for _, v in lines])
    return float((values[np.isfinite(values)] == 0).mean())


def _limits(shown: dict[str, list[tuple[StepCurve, Array]]]) -> tuple[float, float]:
    values = np.concatenate([v for lines in shown.values() for _, v in lines])
    return float(np.nanmin(values)), float(np.nanmax(values))


def _draw(
    lines: Sequence[tuple[StepCurve, Array]], quantity: Quantity, limits: tuple[float, float]
) -> "Callable[[Axes], None]":
    def draw(axes: "Axes") -> None:
        colour = ink(colour_of(lines[0][0].condition))
        for curve, values in lines:
            axes.plot(*binned(curve.step, values), color=colour, linewidth=0.8, alpha=0.55)
        mean = _seed_mean([values for _, values in lines])
        axes.plot(*binned(lines[0][0].step[: len(mean)], mean), color=colour, linewidth=2.0)
        pad = 0.04 * ((limits[1] - limits[0]) or 1.0)
        axes.set_ylim(limits[0] - pad, limits[1] + pad)
        axes.set_xlabel("optimizer step")
        axes.set_ylabel(quantity.axis)
        axes.grid(axis="y")

    return draw


def _numbers(
    title: str, shown: dict[str, list[tuple[StepCurve, Array]]], quantity: Quantity
) -> View:
    rows = []
    for arm, lines in shown.items():
        first, last = _ends(_seed_mean([v for _, v in lines]))
        row = {"arm": arm, "n": len(lines), "first": _known(first), "last": _known(last)}
        rows.append(row | ({"silent": 100 * _silent(lines)} if quantity.share else {}))
    columns = [
        Column(label="Arm", fields=("arm",)),
        Column(label="Seeds", fields=("n",), shape=Shape.INTEGER),
        Column(label="First tenth", fields=("first",), shape=Shape.PLAIN, unit=quantity.unit),
        Column(label="Last tenth", fields=("last",), shape=Shape.PLAIN, unit=quantity.unit),
    ]
    if quantity.share:
        silent = Column(label="Silent steps", fields=("silent",), shape=Shape.PERCENT, digits=0)
        columns.append(silent)
    name = f"{quantity.name}_figure"
    return View(key="", name=name, title=title, columns=tuple(columns), rows=tuple(rows))


def _told(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "unknown"


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
