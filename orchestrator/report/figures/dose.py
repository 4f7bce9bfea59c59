"""The figures of rho along an axis: weight and margin of the contrastive term, and any other."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.tables.view import (
    Column,
    Shape,
    View,
    level_text,
)
from orchestrator.cells.settings import settings
from orchestrator.config.fields import DOSES, STEP
from orchestrator.report.blocks import Figure, Gap, Panel
from orchestrator.report.content import ReportContent
from orchestrator.report.figures.arms import (
    MAX_PANELS,
    NOTHING,
    RHO_UNIT,
    cut,
    mean_interval,
    numbers,
    of_split,
    split_text,
)
from orchestrator.report.figures.canvas import ink
from orchestrator.report.looks import Look, SeriesKey, looks_of
from orchestrator.stats.records import Interval
from tasks.contract.cell import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_SERIES = 8
HEIGHT = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Dose:
    """The setting on the x axis.

    Attributes:
        name: Its field in a sweep file.
        heading: Of the figure.
        axis: Label of the x axis, with unit.
        held: Short name of the other setting of the hinge, which is the same along a series; empty
            for an axis that is none of the hinge's, where all other settings are.
    """

    name: str
    heading: str
    axis: str
    held: str = ""

    def of(self, arm: ArmEvidence) -> float | None:
        """The arm's x value; None where it has none or no scores. SFT alone is at weight 0."""
        if arm.condition is Condition.SFT_ONLY and self.name == "rho_weight":
            return 0.0
        of_the_hinge = {"rho_weight": arm.rho_weight, "margin": arm.margin}
        dose = of_the_hinge.get(self.name, arm.settings.get(self.name))
        return None if dose is None or arm.score is None else float(dose)

    def key(self, arm: ArmEvidence) -> SeriesKey:
        """The series the arm belongs to."""
        if self.held:
            other = arm.margin if self.name == "rho_weight" else arm.rho_weight
            return str(arm.condition), other, arm.differs
        rest = settings(arm.settings, arm.settings.keys() - {self.name})
        same = replace(arm, differs=rest).label.removeprefix(str(arm.condition)).strip()
        return str(arm.condition), None, same

    def label(self, key: SeriesKey) -> str:
        """Name of a series in the legend, e.g. `rho-guided m=0.1`."""
        condition, held, differs = key
        parts = [condition, "" if held is None else f"{self.held}={held:g}", differs]
        return " ".join(p for p in parts if p)


WEIGHT = Dose(
    name="rho_weight", heading="Response to the weight", axis="rho_weight (no unit)", held="m"
)
MARGIN = Dose(
    name="margin", heading="Response to the margin", axis=f"margin ({RHO_UNIT})", held="w"
)

CURVE = Dose(name=STEP, heading="Learning curve", axis="optimizer step")


def curve_of_scores(content: ReportContent) -> Figure | Gap:
    """Rho at every moment of the trainings at which it was scored, the end among them."""
    if not content.moments:
        return Gap(title=CURVE.heading, reason="no training was scored before its end")
    return dose_figure(replace(content, evidence=content.moments), CURVE)


def other_axes(evidence: Iterable[ArmEvidence]) -> list[Dose]:
    """The ordered axes beside weight and margin along which these arms differ."""
    values: dict[str, set[float]] = {}
    for arm in evidence:
        for name, value in arm.settings.items():
            if name in DOSES and value is not None:
                values.setdefault(name, set()).add(value)
    return [
        Dose(name=name, heading=f"Response to {name}", axis=name)
        for name, found in sorted(values.items())
        if len(found) > 1
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One arm of a series: its x value, rho of each seed, their mean, its interval, its seeds."""

    dose: float
    seeds: tuple[float, ...]
    mean: float
    interval: Interval | None
    n: int


Series = Mapping[SeriesKey, Sequence[Point]]


def dose_figure(content: ReportContent, dose: Dose) -> Figure | Gap:
    """Rho of every seed, and the mean over seeds with its interval; one panel a behaviour."""
    title = f"{dose.heading} ({content.split} split)"
    level = 1 - content.alpha
    behaviors = of_split(content.evidence, content.split)
    if not behaviors:
        return Gap(title=title, reason=NOTHING)
    keys = [dose.key(a) for arms in behaviors.values() for a in arms if dose.of(a) is not None]
    looks = looks_of(keys)
    chosen = dict(list(looks.items())[:MAX_SERIES])
    found = {b: _series(arms, dose, chosen, level) for b, arms in behaviors.items()}
    points = [_line(series, key, dose) for series in found.values() for key in series]
    if not any(len({p.dose for p in line}) > 1 for line in points):
        return Gap(title=title, reason=f"no condition has scores at two values of {dose.name}")
    shown = list(found.items())[:MAX_PANELS]
    panels = [_panel(b, series, behaviors[b], dose, chosen) for b, series in shown]
    return Figure(
        title=title,
        caption=f"{split_text(content.split).capitalize()}. "
        f"{'Thin and small' if dose.name == STEP else 'Small'}: each seed. Large: the mean over "
        f"seeds with its {level_text(level)} interval (Student's t over seeds; none below two "
        "seeds). Dotted: the untrained model."
        f"{cut('series', MAX_SERIES, keys and list(looks))}"
        f"{cut('behaviors', MAX_PANELS, list(found))}",
        panels=tuple(panels),
        legend=tuple((dose.label(key), look) for key, look in chosen.items()),
        numbers=_numbers(title, dict(shown), dose, level),
    )


def _series(
    arms: Sequence[ArmEvidence], dose: Dose, looks: Mapping[SeriesKey, Look], level: float
) -> dict[SeriesKey, list[Point]]:
    found: dict[SeriesKey, list[Point]] = {}
    for arm in arms:
        value = dose.of(arm)
        if value is not None and arm.score is not None and dose.key(arm) in looks:
            point = Point(
                dose=value,
                seeds=tuple(arm.scores.values()),
                mean=arm.score.mean,
                interval=mean_interval(arm.score, level),
                n=arm.score.n,
            )
            found.setdefault(dose.key(arm), []).append(point)
    return {key: sorted(points, key=lambda p: p.dose) for key, points in found.items()}


def _line(series: Series, key: SeriesKey, dose: Dose) -> list[Point]:
    """The points a line connects; over the weight, a method's line begins at SFT alone."""
    start = (str(Condition.SFT_ONLY), None, key[2])
    condition = Condition(key[0])
    begins = condition.has_sft and condition.traits.swapped == 0 and dose.name == "rho_weight"
    return [*(series.get(start, ()) if begins else ()), *series[key]]


def _panel(
    behavior: str,
    series: Series,
    arms: Sequence[ArmEvidence],
    dose: Dose,
    looks: Mapping[SeriesKey, Look],
) -> Panel:
    """The panel of one behaviour; a dotted line for each of at most 4 untrained models."""
    zeros = sorted({a.baseline for a in arms if a.baseline is not None})

    def draw(axes: "Axes") -> None:
        doses = sorted({p.dose for points in series.values() for p in points})
        width = (doses[-1] - doses[0]) or 1.0
        for zero in zeros[:4]:
            axes.axhline(zero, color=ink("edge"), linestyle=":", linewidth=1.2)
        for rank, key in enumerate(series):
            # Series stand side by side at each dose; otherwise their intervals would overlap.
            shift = (rank - (len(series) - 1) / 2) * 0.03 * width
            line, look = _line(series, key, dose), looks[key]
            xs, ys = [p.dose + shift for p in line], [p.mean for p in line]
            axes.plot(xs, ys, color=ink(look.colour), linestyle=look.dash, linewidth=1.0, alpha=0.7)
            if dose.name == STEP and len({p.n for p in line}) == 1:  # each seed is one training
                for training in zip(*(p.seeds for p in line), strict=True):
                    axes.plot(xs, training, color=ink(look.colour), linewidth=0.6, alpha=0.35)
            for point in series[key]:
                _draw_point(axes, point, look, point.dose + shift, 0.012 * width)
        axes.set_xticks(doses, [f"{d:g}" for d in doses])
        axes.set_xlabel(dose.axis)
        axes.set_ylabel(f"rho ({RHO_UNIT})")
        axes.grid(axis="y")

    told = [
        f"{dose.label(key)}: "
        + "; ".join(f"at {p.dose:g} {numbers(p.mean, p.interval, p.n)}" for p in points)
        for key, points in series.items()
    ]
    base = f"Untrained model {', '.join(f'{z:+.3f}' for z in zeros[:4])}. " if zeros else ""
    return Panel(
        title=behavior,
        description=f"Mean rho over seeds in {RHO_UNIT} by {dose.name}. {base}{'. '.join(told)}.",
        height=HEIGHT,
        draw=draw,
    )


def _draw_point(axes: "Axes", point: Point, look: Look, x: float, aside: float) -> None:
    """Draw the mean and its interval at `x`, and the seeds `aside` to the right of it."""
    colour, seeds = ink(look.colour), point.seeds
    xs = [x + aside] * len(seeds)
    axes.plot(xs, seeds, look.marker, color=colour, markersize=4.5, alpha=0.7, markeredgewidth=0)
    if point.interval is not None:
        ends = [point.interval.low, point.interval.high]
        axes.plot([x, x], ends, color=colour, linewidth=1.2, alpha=0.8)
    axes.plot([x], [point.mean], look.marker, color=colour, markersize=6.5, markeredgewidth=0)


def _numbers(title: str, found: Mapping[str, Series], dose: Dose, level: float) -> View:
    rows = [
        {
            "behavior": behavior,
            "series": dose.label(key),
            "dose": p.dose,
            "mean": p.mean,
            "low": p.interval.low if p.interval else None,
            "high": p.interval.high if p.interval else None,
            "n": p.n,
        }
        for behavior, series in found.items()
        for key, points in series.items()
        for p in points
    ]
    return View(
        key="",
        name=f"{dose.name}_figure",
        title=title,
        columns=(
            Column(label="Behavior", fields=("behavior",)),
            Column(label="Series", fields=("series",)),
            Column(label=dose.name, fields=("dose",), shape=Shape.SHORT),
            Column(label="Mean", fields=("mean",), shape=Shape.SIGNED, unit=RHO_UNIT),
            Column(
                label=level_text(level),
                fields=("low", "high"),
                shape=Shape.INTERVAL,
                unit=RHO_UNIT,
            ),
            Column(label="n", fields=("n",), shape=Shape.INTEGER),
        ),
        rows=tuple(rows),
    )
