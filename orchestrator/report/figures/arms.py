"""Helpers of the figures that compare arms: selection, intervals, labels and axes."""

import textwrap
from collections.abc import Iterable, Sequence
from math import sqrt
from typing import TYPE_CHECKING

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.report.looks import SeriesKey
from orchestrator.report.text import line
from orchestrator.stats.means import t_interval, variance_of_mean
from orchestrator.stats.records import Interval, State, Summary, state_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_PANELS = 12
MAX_ARMS = 16
NOTHING = "the analysis has no arm on this split"
RHO_UNIT = "nat/token"
SPLITS = {
    "train": "pairs that training could see",
    "heldout": "pairs that no training text touched",
}


def of_split(evidence: Iterable[ArmEvidence], split: str) -> dict[str, list[ArmEvidence]]:
    """Behaviour -> its arms on a split, both in the order of the evidence."""
    found: dict[str, list[ArmEvidence]] = {}
    for arm in evidence:
        if arm.split == split:
            found.setdefault(arm.behavior, []).append(arm)
    return found


def series_of(arm: ArmEvidence) -> SeriesKey:
    """The key that gives arms of one condition, margin and further settings the same look."""
    return str(arm.condition), arm.margin, arm.differs


def split_text(split: str) -> str:
    """A split with its meaning, e.g. `heldout split: pairs that no training text touched`."""
    meaning = SPLITS.get(split)
    return f"{split} split: {meaning}" if meaning else f"{split} split"


def mean_interval(sample: Summary | None, level: float) -> Interval | None:
    """Interval of the mean over seeds, by Student's t; None where the seeds have no variance."""
    if sample is None or state_of(sample) is not State.OK:
        return None
    return t_interval(sample.mean, sqrt(variance_of_mean(sample)), sample.n - 1, level)


def numbers(mean: float, interval: Interval | None, n: int | str) -> str:
    """An estimate as text, e.g. `+0.152 [+0.100, +0.204], n 5`."""
    bounds = "" if interval is None else f" [{interval.low:+.3f}, {interval.high:+.3f}]"
    return f"{mean:+.3f}{bounds}" + (f", n {n}" if n else "")


def height_of(rows: Sequence[object]) -> int:
    """Height of a panel that `label_rows` labels, in pixels."""
    return 64 + 30 * len(rows)


def label_rows(axes: "Axes", labels: Sequence[str], axis: str) -> None:
    """Label the y axis with one row a label, the first on top, and the x axis with `axis`.

    A label is cut after two lines of 22 characters.
    """
    wrapped = [
        textwrap.wrap(line(label), 22, max_lines=2, placeholder="…", break_on_hyphens=False)
        for label in labels
    ]
    axes.set_yticks(range(len(labels)), ["\n".join(lines) for lines in wrapped])
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(axis)
    axes.grid(axis="x")


def cut(what: str, shown: int, items: Sequence[object]) -> str:
    """A sentence for a caption where some items are not drawn; empty where all are."""
    return "" if len(items) <= shown else f" The first {shown} of {len(items)} {what} are drawn."
