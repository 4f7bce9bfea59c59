"""The figure of the variance across seeds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.tables.view import Column, Shape, View
from orchestrator.report.blocks import Figure, Gap, Panel
from orchestrator.report.content import ReportContent
from orchestrator.report.figures.arms import (
    MAX_ARMS,
    MAX_PANELS,
    NOTHING,
    RHO_UNIT,
    cut,
    height_of,
    label_rows,
    of_split,
    series_of,
    split_text,
)
from orchestrator.report.figures.canvas import ink
from orchestrator.report.looks import Look, looks_of
from orchestrator.stats.records import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AXIS = f"rho minus the arm's mean ({RHO_UNIT})"
Line = tuple[ArmEvidence, Summary, float, Look]
"""An arm, its scores over seeds, their sd, its look."""


def spread_figure(content: ReportContent) -> Figure | Gap:
    """Distance of each seed from the mean of its arm, and the sd; one panel a behaviour."""
    title = f"Variance across seeds ({content.split} split)"
    behaviors = of_split(content.evidence, content.split)
    trained = {b: [a for a in arms if a.condition.trains] for b, arms in behaviors.items()}
    looks = looks_of(series_of(a) for arms in trained.values() for a in arms)
    groups: dict[str, list[Line]] = {}
    for behavior, arms in trained.items():
        for arm in arms:
            if arm.score is not None and arm.score.sd is not None:
                line = (arm, arm.score, arm.score.sd, looks[series_of(arm)])
                groups.setdefault(behavior, []).append(line)
    if not groups:
        reason = "no trained arm has scores of two seeds" if behaviors else NOTHING
        return Gap(title=title, reason=reason)
    longest = max(groups.values(), key=len)
    shown = {b: lines[:MAX_ARMS] for b, lines in list(groups.items())[:MAX_PANELS]}
    return Figure(
        title=title,
        caption=f"{split_text(content.split).capitalize()}. Each mark is a seed, the bar reaches "
        "one sd (n - 1) to both sides of the mean; the number is the sd. With few seeds an sd is "
        "itself uncertain: of 3 normal values, the true one may be half of it, or six times it."
        f"{cut('arms', MAX_ARMS, longest)}{cut('behaviors', MAX_PANELS, list(groups))}",
        panels=tuple(_panel(b, lines) for b, lines in shown.items()),
        numbers=View(
            key="",
            name="spread_figure",
            title=title,
            columns=(
                Column(label="Behavior", fields=("behavior",)),
                Column(label="Arm", fields=("arm",)),
                Column(label="Sd over seeds", fields=("sd",), shape=Shape.PLAIN, unit=RHO_UNIT),
                Column(label="n", fields=("n",), shape=Shape.INTEGER),
            ),
            rows=tuple(
                {"behavior": b, "arm": a.label, "sd": sd, "n": a.n}
                for b, lines in shown.items()
                for a, _, sd, _ in lines
            ),
        ),
    )


def _panel(behavior: str, lines: Sequence[Line]) -> Panel:
    """One row an arm: its seeds around the mean at 0, a bar of one sd to both sides, the sd."""

    def draw(axes: "Axes") -> None:
        axes.axvline(0.0, color=ink("edge"), linestyle=":", linewidth=1.2)
        # x in units of the axes (1 is the right border), y in rows: a column of numbers at the side
        right = axes.get_yaxis_transform()
        for place, (arm, score, sd, look) in enumerate(lines):
            off = [rho - score.mean for rho in arm.scores.values()]
            colour = ink(look.colour)
            axes.plot([-sd, sd], [place, place], color=colour, linewidth=5, alpha=0.25)
            axes.plot(off, [place] * len(off), look.marker, color=colour, markersize=5, alpha=0.8)
            axes.text(1.02, place, f"{sd:.3f}", transform=right, va="center")
        axes.text(1.02, -0.75, "sd", transform=right, va="center", color=ink("muted"))
        label_rows(axes, [arm.label for arm, *_ in lines], AXIS)
        axes.locator_params(axis="x", nbins=5)

    told = "; ".join(f"{a.label} {sd:.3f}, n {a.n}" for a, _, sd, _ in lines)
    return Panel(
        title=behavior,
        description=f"Sd over seeds in {RHO_UNIT}. {told}.",
        height=height_of(lines),
        draw=draw,
    )
