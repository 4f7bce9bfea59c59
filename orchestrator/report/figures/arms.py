"""What the figures of arms share: which ones, in which order, and their numbers as text."""

import textwrap
from collections.abc import Iterable, Sequence
from math import sqrt

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.report.text import line
from orchestrator.stats.means import t_interval, variance_of_mean
from orchestrator.stats.records import Interval, State, Summary, state_of

MAX_PANELS = 12
MAX_ARMS = 16
LEVEL = 0.95
NOTHING = "the analysis has no arm on this split"
RHO_UNIT = "nat/token"
SPLITS = {
    "train": "pairs that training could see",
    "heldout": "pairs that no training text touched",
}


def of_split(evidence: Iterable[ArmEvidence], split: str) -> dict[str, list[ArmEvidence]]:
    """Behaviour -> its arms, both in order of the evidence."""
    found: dict[str, list[ArmEvidence]] = {}
    for arm in evidence:
        if arm.split == split:
            found.setdefault(arm.behavior, []).append(arm)
    return found


def split_text(split: str) -> str:
    """e.g. `heldout split: pairs that no training text touched`."""
    meaning = SPLITS.get(split)
    return f"{split} split: {meaning}" if meaning else f"{split} split"


def mean_interval(sample: Summary | None) -> Interval | None:
    """Of the mean over seeds, by Student's t; None where there is no spread to go by."""
    if sample is None or state_of(sample) is not State.OK:
        return None
    return t_interval(sample.mean, sqrt(variance_of_mean(sample)), sample.n - 1, LEVEL)


def numbers(mean: float, interval: Interval | None, n: int | str) -> str:
    """e.g. `+0.152 [+0.100, +0.204], n 5`."""
    return f"{mean:+.3f}{bounds(interval)}" + (f", n {n}" if n else "")


def bounds(interval: Interval | None) -> str:
    """e.g. ` [+0.100, +0.204]`; empty without one."""
    return "" if interval is None else f" [{interval.low:+.3f}, {interval.high:+.3f}]"


def wrapped(label: str, width: int = 22) -> str:
    """A label for an axis: at most two lines."""
    return "\n".join(
        textwrap.wrap(line(label), width, max_lines=2, placeholder="…", break_on_hyphens=False)
    )


def cut(what: str, shown: int, items: Sequence[object]) -> str:
    """A sentence where more exists than is drawn."""
    return "" if len(items) <= shown else f" The first {shown} of {len(items)} {what} are drawn."
