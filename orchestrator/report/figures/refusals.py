"""The figure of refusals, from table T7; there is one after `rho-sweep stress`."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.analysis.tables.view import Column, Shape, View
from orchestrator.report.blocks import Figure, Gap, Panel
from orchestrator.report.content import ReportContent
from orchestrator.report.figures.arms import MAX_ARMS, cut, height_of, label_rows
from orchestrator.report.figures.canvas import ink
from orchestrator.report.looks import colour_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KEY = "T7"
TITLE = "Refusals by condition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One kind of prompt: the fields of T7 with its share of refusals, interval and counts."""

    title: str
    share: str
    low: str
    high: str
    refused: str
    prompts: str


QUESTIONS = (
    Question(
        title="Harmful requests refused",
        share="jailbreak_pct",
        low="jb_low",
        high="jb_high",
        refused="jailbreak_k",
        prompts="jailbreak_n",
    ),
    Question(
        title="Harmless twins of them refused",
        share="matched_pct",
        low="matched_low",
        high="matched_high",
        refused="matched_k",
        prompts="matched_n",
    ),
    Question(
        title="Benign requests refused",
        share="benign_pct",
        low="benign_low",
        high="benign_upper",
        refused="benign_k",
        prompts="benign_n",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How often one arm refuses one kind of prompt.

    Attributes:
        condition, label: Of the arm.
        share: Prompts refused, percent.
        low, high: Bounds of the interval, percent; None where the table has none.
        of: The counts as text, e.g. ` (18/25)`; empty where unknown.
    """

    condition: str
    label: str
    share: float
    low: float | None
    high: float | None
    of: str

    @property
    def text(self) -> str:
        """The rate as text, e.g. `sft-only 72% (18/25), up to 86%`."""
        low = "" if self.low is None else f", from {self.low:.0f}%"
        high = "" if self.high is None else f", up to {self.high:.0f}%"
        return f"{self.label} {self.share:.0f}%{self.of}{low}{high}"


def refusal_figure(content: ReportContent) -> Figure | Gap:
    """Percent of prompts refused, with its interval; one panel a kind of prompt."""
    view = next((v for v in content.views if v.key == KEY), None)
    if view is None:
        return Gap(title=TITLE, reason="no generation test was run: rho-sweep stress RESULTS")
    groups = [(q, rates) for q in QUESTIONS if (rates := _rates(view, q))]
    if not groups:
        return Gap(title=TITLE, reason=f"table {KEY} has no shares of refusals")
    return Figure(
        title=TITLE,
        caption=f"{view.title}. Bars: the interval of the table, where it has one."
        f"{cut('arms', MAX_ARMS, view.rows)}",
        panels=tuple(
            Panel(
                title=q.title,
                description=f"Percent of prompts: {'; '.join(r.text for r in rates)}.",
                height=height_of(rates),
                draw=partial(_draw, rates),
            )
            for q, rates in groups
        ),
        numbers=View(
            key="",
            name="refusal_figure",
            title=TITLE,
            columns=(
                Column(label="Prompts", fields=("prompts",)),
                Column(label="Arm", fields=("arm",)),
                Column(label="Refused", fields=("share",), shape=Shape.PERCENT, digits=0),
                Column(label="From", fields=("low",), shape=Shape.PERCENT, digits=0),
                Column(label="To", fields=("high",), shape=Shape.PERCENT, digits=0),
            ),
            rows=tuple(
                {"prompts": q.title, "arm": r.label, "share": r.share, "low": r.low, "high": r.high}
                for q, rates in groups
                for r in rates
            ),
        ),
    )


def _rates(view: View, question: Question) -> list[Rate]:
    """The rate of each arm that has a share; a bound in a column without `%` is a proportion."""
    percent = any(question.high in c.fields and c.unit == "%" for c in view.columns)
    scale = 1.0 if percent else 100.0
    found = []
    for row in view.rows[:MAX_ARMS]:
        if row.get(question.share) is None:
            continue
        low, high = row.get(question.low), row.get(question.high)
        refused, prompts = row.get(question.refused), row.get(question.prompts)
        rate = Rate(
            condition=str(row.get("condition", "")),
            label=str(row.get("arm") or row.get("condition", "")),
            share=float(row[question.share]),
            low=None if low is None else scale * float(low),
            high=None if high is None else scale * float(high),
            of="" if refused is None or prompts is None else f" ({refused}/{prompts})",
        )
        found.append(rate)
    return found


def _draw(rates: Sequence[Rate], axes: "Axes") -> None:
    """Draw one row an arm: the share, and a bar to each bound that the table has."""
    for place, rate in enumerate(rates):
        colour = ink(colour_of(rate.condition))
        low = rate.share if rate.low is None else rate.low
        high = rate.share if rate.high is None else rate.high
        axes.plot([low, high], [place, place], color=colour, linewidth=1.6)
        axes.plot([rate.share], [place], "o", color=colour, markersize=6)
    axes.set_xlim(-3, 103)  # markers at 0 % and 100 % stay whole
    label_rows(axes, [f"{r.label}{r.of}" for r in rates], "refused (% of prompts)")
