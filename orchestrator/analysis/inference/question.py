"""A question on its way to a test, and the row that comes of it."""

from dataclasses import dataclass, replace

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.evidence.frame import Frame
from orchestrator.analysis.inference.arms import Chosen
from orchestrator.analysis.inference.record import Inference
from orchestrator.config.contrasts import Contrast
from orchestrator.stats.records import Alternative


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """A row, and what only the verdict needs.

    Attributes:
        row: Without adjustment and verdict.
        p_opposite: One-sided p of the opposite direction; None for a two-sided question.
    """

    row: Inference
    p_opposite: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A contrast, its arms, and the level of its interval."""

    contrast: Contrast
    chosen: Chosen
    frame: Frame
    level: float
    row: Inference

    @property
    def a(self) -> ArmEvidence:
        """The first arm."""
        return self.chosen.arms[0]

    @property
    def b(self) -> ArmEvidence:
        """The arm it is compared with."""
        return self.chosen.arms[1]


def emptied(row: Inference, status: str, reason: str) -> Inference:
    """Numbers of another population must not stand where this one's are missing."""
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
