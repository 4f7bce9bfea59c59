"""Figures with one row an estimate: changes against the untrained model, and tested contrasts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.analysis.inference.record import Inference
from orchestrator.analysis.tables.view import (
    Column,
    Shape,
    View,
    level_text,
)
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
    mean_interval,
    numbers,
    of_split,
    series_of,
    split_text,
)
from orchestrator.report.figures.canvas import ink
from orchestrator.report.looks import Look, colour_of, looks_of
from orchestrator.stats.records import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of a figure: an estimate in nats per token, with its interval and sample size."""

    label: str
    estimate: float
    interval: Interval | None
    n: str
    look: Look


def delta_figure(content: ReportContent) -> Figure | Gap:
    """Rho of each arm minus rho of the untrained model; one panel a behaviour."""
    title = f"Change against the untrained model ({content.split} split)"
    behaviors = of_split(content.evidence, content.split)
    trained = {b: [a for a in arms if a.condition.trains] for b, arms in behaviors.items()}
    looks = looks_of(series_of(a) for arms in trained.values() for a in arms)
    groups: dict[str, list[Entry]] = {}
    for behavior, arms in trained.items():
        for arm in arms:
            if arm.delta is not None:
                entry = Entry(
                    label=arm.label,
                    estimate=arm.delta.mean,
                    interval=mean_interval(arm.delta, 1 - content.alpha),
                    n=str(arm.delta.n),
                    look=looks[series_of(arm)],
                )
                groups.setdefault(behavior, []).append(entry)
    if not groups:
        reason = "no trained arm has scores beside a baseline's" if behaviors else NOTHING
        return Gap(title=title, reason=reason)
    longest = max(groups.values(), key=len)
    return Figure(
        title=title,
        caption=f"{split_text(content.split).capitalize()}. Mean over seeds with its "
        f"{level_text(1 - content.alpha)} interval (Student's t over seeds). The untrained model "
        "is a constant: its line at 0 has no spread."
        f"{cut('arms', MAX_ARMS, longest)}{cut('behaviors', MAX_PANELS, list(groups))}",
        panels=tuple(
            forest_panel(b, entries[:MAX_ARMS], f"delta ({RHO_UNIT})")
            for b, entries in list(groups.items())[:MAX_PANELS]
        ),
        numbers=_numbers(title, "Behavior", list(groups.items())[:MAX_PANELS]),
    )


def contrast_figure(content: ReportContent) -> Figure | Gap:
    """Tested differences of means on the claims' split; one panel a contrast."""
    title = f"Tested differences ({content.split} split)"
    groups: dict[tuple[str, str], list[Inference]] = {}
    for row in content.inference:
        if row.is_difference and row.split == content.split and row.estimate is not None:
            groups.setdefault((row.name, str(row.population)), []).append(row)
    if not groups:
        return Gap(title=title, reason="no difference of means was tested on this split")
    headings = []
    for row, *_ in groups.values():
        other = row.arm_b or "the untrained model"
        population = str(row.population).replace("_", " ")
        headings.append(f"{row.arm_a} minus {other} ({row.family}, {population})")
    found = [
        (h if headings.count(h) == 1 else f"{rows[0].name}: {h}", _entries(rows))
        for h, rows in zip(headings, groups.values(), strict=True)
    ]
    return Figure(
        title=title,
        caption="Estimate with the interval of its test; the table of claims has p and verdict. "
        f"Left of 0, the first arm is lower.{cut('contrasts', MAX_PANELS, found)}",
        panels=tuple(
            forest_panel(heading, entries[:MAX_ARMS], f"difference ({RHO_UNIT})")
            for heading, entries in found[:MAX_PANELS]
        ),
        numbers=_numbers(title, "Contrast", found[:MAX_PANELS]),
    )


def sample(row: Inference) -> str:
    """Number of seeds behind a row: `5 pairs`, `5/3` (arms a and b), `5`; empty where unknown."""
    if row.n_pairs is not None:
        return f"{row.n_pairs} pairs"
    return "/".join(str(n) for n in (row.n_a, row.n_b) if n is not None)


def _entries(rows: Sequence[Inference]) -> list[Entry]:
    """One entry a behaviour; a row without an estimate is left out."""
    found = []
    for row in rows:
        interval = None
        if row.ci_low is not None and row.ci_high is not None and row.ci_level is not None:
            interval = Interval(low=row.ci_low, high=row.ci_high, level=row.ci_level)
        if row.estimate is not None:
            entry = Entry(
                label=f"{row.behavior}: {row.verdict}",
                estimate=row.estimate,
                interval=interval,
                n=sample(row),
                look=Look(colour=colour_of(row.arm_a.partition(" ")[0])),
            )
            found.append(entry)
    return found


def forest_panel(title: str, entries: Sequence[Entry], axis: str) -> Panel:
    """A panel with one row an entry, and a dotted line at 0."""

    def draw(axes: "Axes") -> None:
        axes.axvline(0.0, color=ink("edge"), linestyle=":", linewidth=1.2)
        for place, entry in enumerate(entries):
            colour = ink(entry.look.colour)
            if entry.interval is not None:
                ends = [entry.interval.low, entry.interval.high]
                axes.plot(ends, [place, place], color=colour, linewidth=1.6)
            axes.plot([entry.estimate], [place], entry.look.marker, color=colour, markersize=6)
        label_rows(axes, [e.label for e in entries], axis)
        axes.locator_params(axis="x", nbins=5)

    told = [f"{e.label}: {numbers(e.estimate, e.interval, e.n)}" for e in entries]
    return Panel(
        title=title,
        description=f"{axis}. {'; '.join(told)}.",
        height=height_of(entries),
        draw=draw,
    )


def _numbers(title: str, heading: str, groups: Sequence[tuple[str, Sequence[Entry]]]) -> View:
    rows = [
        {
            "group": group,
            "label": e.label,
            "estimate": e.estimate,
            "low": e.interval.low if e.interval else None,
            "high": e.interval.high if e.interval else None,
            "n": e.n,
        }
        for group, entries in groups
        for e in entries[:MAX_ARMS]
    ]
    return View(
        key="",
        name="forest_figure",
        title=title,
        columns=(
            Column(label=heading, fields=("group",)),
            Column(label="Row", fields=("label",)),
            Column(label="Estimate", fields=("estimate",), shape=Shape.SIGNED, unit=RHO_UNIT),
            Column(label="Interval", fields=("low", "high"), shape=Shape.INTERVAL, unit=RHO_UNIT),
            Column(label="n", fields=("n",)),
        ),
        rows=tuple(rows),
    )
