"""How far seeds of one arm lie apart."""

from collections.abc import Callable, Mapping, Sequence
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
    of_split,
    split_text,
    wrapped,
)
from orchestrator.report.figures.canvas import ink
from orchestrator.report.looks import Look, SeriesKey, looks_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AXIS = f"rho minus the arm's mean ({RHO_UNIT})"
Line = tuple[ArmEvidence, float, Look]
"""An arm, its sd over seeds, its look."""


def spread_figure(content: ReportContent) -> Figure | Gap:
    """Seeds about the mean of their arm, and the sd; one panel a behaviour."""
    title = f"Variance across seeds ({content.split} split)"
    behaviors = of_split(content.evidence, content.split)
    looks = looks_of(_key(a) for arms in behaviors.values() for a in arms if a.condition.trains)
    found = {b: [_line(a, looks) for a in arms if _varies(a)] for b, arms in behaviors.items()}
    groups = {b: lines for b, lines in found.items() if lines}
    if not groups:
        reason = "no trained arm has scores of two seeds" if behaviors else NOTHING
        return Gap(title=title, reason=reason)
    longest = max(groups.values(), key=len)
    return Figure(
        title=title,
        caption=f"{split_text(content.split).capitalize()}. Each mark is a seed, the bar reaches "
        "one sd (n - 1) to both sides of the mean; the number is the sd. With few seeds an sd is "
        "itself uncertain: of 3 normal values, its 95% interval reaches from half to six times it."
        f"{cut('arms', MAX_ARMS, longest)}{cut('behaviours', MAX_PANELS, list(groups))}",
        panels=tuple(_panel(b, lines[:MAX_ARMS]) for b, lines in list(groups.items())[:MAX_PANELS]),
        numbers=_numbers(title, dict(list(groups.items())[:MAX_PANELS])),
    )


def _varies(arm: ArmEvidence) -> bool:
    return arm.condition.trains and arm.score is not None and arm.score.sd is not None


def _key(arm: ArmEvidence) -> tuple[str, float | None, str]:
    return str(arm.condition), arm.margin, arm.differs


def _line(arm: ArmEvidence, looks: Mapping[SeriesKey, Look]) -> Line:
    if arm.score is None or arm.score.sd is None:
        raise ValueError(f"{arm.label}: has no sd on {arm.behavior}")
    return arm, arm.score.sd, looks[_key(arm)]


def _panel(behavior: str, lines: Sequence[Line]) -> Panel:
    told = "; ".join(f"{a.label} {sd:.3f}, n {a.n}" for a, sd, _ in lines)
    return Panel(
        title=behavior,
        description=f"Sd over seeds in {RHO_UNIT}. {told}.",
        height=64 + 30 * len(lines),
        draw=_draw(lines),
    )


def _draw(lines: Sequence[Line]) -> "Callable[[Axes], None]":
    def draw(axes: "Axes") -> None:
        axes.axvline(0.0, color=ink("edge"), linestyle=":", linewidth=1.2)
        right = axes.get_yaxis_transform()
        for place, (arm, sd, look) in enumerate(lines):
            mean = arm.score.mean if arm.score else 0.0
            off = [rho - mean for rho in arm.scores.values()]
            colour = ink(look.colour)
            axes.plot([-sd, sd], [place, place], color=colour, linewidth=5, alpha=0.25)
            axes.plot(off, [place] * len(off), look.marker, color=colour, markersize=5, alpha=0.8)
            axes.text(1.02, place, f"{sd:.3f}", transform=right, va="center")
        axes.text(1.02, -0.75, "sd", transform=right, va="center", color=ink("muted"))
        axes.set_yticks(range(len(lines)), [wrapped(a.label) for a, _, _ in lines])
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(AXIS)
        axes.locator_params(axis="x", nbins=5)
        axes.grid(axis="x")

    return draw


def _numbers(title: str, groups: dict[str, list[Line]]) -> View:
    rows = [
        {"behavior": b, "arm": a.label, "sd": sd, "n": a.n}
        for b, lines in groups.items()
        for a, sd, _ in lines[:MAX_ARMS]
    ]
    return View(
        key="",
        name="spread_figure",
        title=title,
        columns=(
            Column(label="Behaviour", fields=("behavior",)),
            Column(label="Arm", fields=("arm",)),
            Column(label="Sd over seeds", fields=("sd",), shape=Shape.PLAIN, unit=RHO_UNIT),
            Column(label="n", fields=("n",), shape=Shape.INTEGER),
        ),
        rows=tuple(rows),
    )
