"""Figures over the training steps: both losses, and the share of pairs whose loss is above 0."""

from collections.abc import Mapping, Sequence
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
"""Of a line; in a longer training, each point is the mean of several steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """What is on the y axis.

    Attributes:
        name: Its field in `StepCurve`.
        heading: Of the figure.
        axis: Label of the y axis, with unit.
        absent: The reason shown where no training has it.
        caption: How to read the figure.
        unit: Of the values; empty for a share.
        share: Whether it is a share, so that the y axis reaches from 0 to 1.
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
    caption="A pair pushes while its gap is smaller than the margin; at 0, the term adds nothing. "
    "Losses without a margin always push.",
    unit="",
    share=True,
)
HINGE_LOSS = Quantity(
    name="hinge_loss",
    heading="Contrastive loss",
    axis="mean loss of the pairs",
    caption="The hinge is in nats per token. Losses of other kinds are of another size.",
    absent="no training has a contrastive term",
)
CE_LOSS = Quantity(
    name="ce_loss",
    heading="Cross-entropy of the SFT texts",
    axis=f"CE loss ({RHO_UNIT})",
    absent="no training has SFT texts",
)


Lines = Sequence[tuple[StepCurve, Array]]
"""The trainings of one arm, each with its values of the quantity, (steps,)."""


def curve_figure(content: ReportContent, quantity: Quantity) -> Figure | Gap:
    """Every seed and the mean over seeds; one panel an arm, all with the same axes."""
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
    drawn = [values for lines in shown.values() for _, values in lines]
    remarks = ["Thin: each seed. Thick: their mean, as far as all of them have a value."]
    if (size := _bin_size(max(map(len, drawn)))) > 1:
        remarks.append(f"A point is the mean of up to {size} steps.")
    if left_out:
        remarks.append(f"{count(left_out, 'training')} more are not drawn.")
    together = np.concatenate(drawn)
    limits = (float(np.nanmin(together)), float(np.nanmax(together)))
    if quantity.share:
        limits = (0.0, 1.0)
    return Figure(
        title=title,
        caption=" ".join([quantity.caption, *remarks]).strip(),
        panels=tuple(_panel(arm, lines, quantity, limits) for arm, lines in shown.items()),
        numbers=_numbers(title, shown, quantity),
    )


def _bin_size(steps: int) -> int:
    """Steps a point, so that a line of `steps` has at most MAX_POINTS points."""
    return -(-steps // MAX_POINTS)


def binned(steps: Array, values: Array) -> tuple[Array, Array]:
    """A line as at most MAX_POINTS points: the means of bins of equally many steps.

    Args:
        steps: (n,), numbers of the optimizer steps.
        values: (n,), NaN where a value was not measured.

    Returns:
        Mean step and mean value of each bin; the value is NaN where a bin has none.
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
    """Mean of the values that were measured; NaN where there is none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _seed_mean(lines: Sequence[Array]) -> Array:
    """Mean over seeds, (n,) for the n steps of the shortest line; NaN where a line has no value."""
    shortest = min(map(len, lines))
    return np.asarray(np.mean([values[:shortest] for values in lines], axis=0))


def _ends(values: Array) -> tuple[float, float]:
    """Mean of the first and of the last tenth of the steps, at least one step each."""
    tenth = max(1, len(values) // 10)
    return _mean(values[:tenth]), _mean(values[-tenth:])


def _panel(arm: str, lines: Lines, quantity: Quantity, limits: tuple[float, float]) -> Panel:
    """The panel of one arm; `limits` are the smallest and largest y value of the whole figure."""
    mean = _seed_mean([values for _, values in lines])

    def draw(axes: "Axes") -> None:
        from matplotlib.ticker import MaxNLocator

        colour = ink(colour_of(lines[0][0].condition))
        mark = "o" if len(mean) == 1 else ""  # a line of one point is not drawn
        for curve, values in lines:
            axes.plot(*binned(curve.step, values), mark, color=colour, linewidth=0.8, alpha=0.55)
        axes.plot(*binned(lines[0][0].step[: len(mean)], mean), mark, color=colour, linewidth=2.0)
        pad = 0.04 * ((limits[1] - limits[0]) or 1.0)
        axes.set_ylim(limits[0] - pad, limits[1] + pad)
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes.set_xlabel("optimizer step")
        axes.set_ylabel(quantity.axis)
        axes.grid(axis="y")

    first, last = (f"{v:.3f}" if np.isfinite(v) else "unknown" for v in _ends(mean))
    silent = f" Silent in {_silent(lines):.0%} of all steps." if quantity.share else ""
    steps = max(len(v) for _, v in lines)
    return Panel(
        title=arm,
        description=f"{quantity.axis} over {count(steps, 'step')}, {count(len(lines), 'seed')}: "
        f"mean of the first tenth {first}, of the last tenth {last}.{silent}",
        height=190,
        draw=draw,
    )


def _silent(lines: Lines) -> float:
    """Share of the measured steps in which every pair's loss was 0."""
    values = np.concatenate([v for _, v in lines])
    return float((values[np.isfinite(values)] == 0).mean())


def _numbers(title: str, shown: Mapping[str, Lines], quantity: Quantity) -> View:
    """The table below the figure; the mean of a tenth without a value is missing, not 0."""
    rows = []
    for arm, lines in shown.items():
        ends = _ends(_seed_mean([v for _, v in lines]))
        first, last = (v if np.isfinite(v) else None for v in ends)
        row = {"arm": arm, "n": len(lines), "first": first, "last": last}
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
