"""A contrast on its way to a test, the row that comes of it, and what a kind of contrast takes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.evidence.frame import Frame
from orchestrator.analysis.evidence.refusals import JAILBREAK, Stressed
from orchestrator.analysis.inference.arms import Selector
from orchestrator.analysis.inference.record import Inference
from orchestrator.cells.choose import Arm
from orchestrator.config.contrasts import Contrast
from orchestrator.stats.beside.designs import Outlook
from orchestrator.stats.records import Alternative, Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A contrast, and the results that it is asked of.

    Attributes:
        contrast: The question.
        selector: Finds arms by their settings.
        frame: Gives probe scores where the population asks for them.
        answers: Judged answers of a stress test, by arm.
        alpha: Level of the test; intervals are two-sided at 1 - alpha.
        places: Arm id -> its seeds in the order in which they were planned, for a test that may be
            looked at after each of them; None for the usual test.
    """

    contrast: Contrast
    selector: Selector
    frame: Frame
    answers: Sequence[Stressed]
    alpha: float
    places: Mapping[str, Sequence[int]] | None = None

    @property
    def level(self) -> float:
        """Of intervals, e.g. 0.95."""
        return 1 - self.alpha

    @property
    def prompts(self) -> str:
        """Set of prompts that a contrast on answers is about."""
        return self.contrast.prompts or JAILBREAK

    def arm(self, arm_id: str, steps: Iterable[int] = ()) -> Arm:
        """An arm as far as choosing needs it."""
        return Arm(arm_id=arm_id, facts=self.selector.facts(arm_id), steps=tuple(steps))


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Arms that a contrast compares, on one behaviour and split.

    Attributes:
        arms: One, two (a, b), or the doses in ascending order; empty for contrasts on answers.
        doses: Values along the axis, for a trend.
        answers: Likewise for contrasts on answers: two (a, b), or all.
        behavior, split: What was scored; the set of prompts and `answers` for answers.
        which: Settings that tell it from the contrast's other choices; empty where there is one.
        problem: Why there is nothing to test; then arms may be missing.
        notes: What people should know of the comparison.
    """

    arms: tuple[ArmEvidence, ...] = ()
    doses: tuple[float, ...] = ()
    answers: tuple[Stressed, ...] = ()
    behavior: str
    split: str
    which: str = ""
    problem: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A contrast, the arms it compares, and their row, filled but for the numbers."""

    study: Study
    chosen: Chosen
    row: Inference

    @property
    def contrast(self) -> Contrast:
        """The question."""
        return self.study.contrast

    @property
    def level(self) -> float:
        """Of the interval."""
        return self.study.level

    @property
    def a(self) -> ArmEvidence:
        """The first arm."""
        return self.chosen.arms[0]

    @property
    def b(self) -> ArmEvidence:
        """The arm it is compared with."""
        return self.chosen.arms[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """A row, and what only the verdict needs.

    Attributes:
        row: Without adjustment and verdict.
        p_opposite: One-sided p of the opposite direction, or of lying beyond the margin on a side
            that the claim excludes; None for a two-sided question.
        outlook: The design, for what it can find; None where no formula is known.
        interim: Why the row is not the last word, e.g. planned cells without a result.
        group: Registered contrasts of one group are adjusted together; empty for explored ones.
        asked: ISO time of the launch that registered it. Later members of its group change nothing
            of the row; those before it count.
        looked: Whether p is of all looks so far, so that it may decide before the last one.
        floor: Differences of up to this are rounding, nats per token.
        spread: Largest difference between doses within a paired seed; None where nothing is paired
            or the row compares no doses.
    """

    row: Inference
    p_opposite: float | None = None
    outlook: Outlook | None = None
    interim: str | None = None
    group: str = ""
    asked: str = ""
    looked: bool = False
    floor: float = 0.0
    spread: float | None = None


Procedure = Callable[[Ask], Tested]
"""How one kind of contrast is computed: the numbers of a row."""


def interval_fields(found: Interval | None) -> dict[str, Any]:
    """The columns of an interval and its level."""
    return {
        "ci_low": found.low if found else None,
        "ci_high": found.high if found else None,
        "ci_level": found.level if found else None,
    }


def emptied(row: Inference, status: str, reason: str) -> Inference:
    """The row without numbers: those of another population must not stand in their place."""
    return replace(
        row,
        status=status,
        notes=(*row.notes, reason),
        p=None,
        estimate=None,
        ci_low=None,
        ci_high=None,
        se=None,
        df=None,
        statistic=None,
        test=None,
    )


def opposite(p: float | None, alternative: Alternative) -> float | None:
    """A continuous test's p in the other direction; None for a two-sided question."""
    return None if p is None or alternative is Alternative.TWO_SIDED else 1 - p


def claimed(estimate: float, alternative: Alternative) -> float:
    """An effect, positive where it points as claimed."""
    match alternative:
        case Alternative.GREATER:
            return estimate
        case Alternative.LESS:
            return -estimate
        case Alternative.TWO_SIDED:
            return abs(estimate)
