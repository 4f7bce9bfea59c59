"""What is known of one arm on one behaviour: from cells of one's own, or from printed figures."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.stats.records import Summary
from tasks.contract.cell import Condition

OWN_ZERO = "each arm by its change from its own untrained model"
"""Baseline key of arms that are compared by their deltas, and what a row says of that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What must agree before two arms may be paired.

    Attributes:
        code_version: Of the program that ran the cells.
        data_version: Digest of the SFT mix; None where the condition has none.
        base_precision: e.g. `float32`, `q4`.
    """

    code_version: str
    data_version: str | None
    base_precision: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmEvidence:
    """One arm on one behaviour and split. All rho in nats per token.

    Attributes:
        arm_id: Names the arm; made from the figures where these are printed ones.
        condition, rho_weight, margin: Which arm; weight and margin None where they do not exist.
        differs: Further settings in which the arms of these results differ, as text.
        behavior, split: What was scored.
        scores: Seed -> rho, of seeds with a score; empty when only a summary is known.
        score: Summary of rho over seeds; None when not known.
        delta: Summary of rho minus the baseline's; None without a baseline.
        baseline: Rho of the untrained model on the same pairs.
        baseline_key: What the baseline is of; arms with different ones have no common zero.
        keys: Seed -> pairing key; a seed without one is absent.
        batch: Of the arm's cells; None for printed figures.
        accuracy: Mean share of pairs with a positive gap.
        settings: Values of the settings in which the arms of these results differ, by name; those
            that an arm does not have are absent. Arms are compared where they agree.
        printed_range: Smallest and largest delta of printed figures; None where not printed.
        step: The optimizer step after which it was scored; None: at the end of training.
    """

    arm_id: str
    condition: Condition
    rho_weight: float | None
    margin: float | None
    differs: str = ""
    behavior: str
    split: str
    scores: Mapping[int, float] = field(default_factory=dict)
    score: Summary | None
    delta: Summary | None
    baseline: float | None
    baseline_key: str
    keys: Mapping[int, str] = field(default_factory=dict)
    batch: Batch | None = None
    accuracy: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    printed_range: tuple[float, float] | None = None
    step: int | None = None

    @property
    def n(self) -> int:
        """Seeds with a score."""
        known = self.delta or self.score
        return known.n if known else 0

    @property
    def deltas(self) -> dict[int, float]:
        """Seed -> rho minus the baseline's; empty without a baseline or without seeds."""
        if self.baseline is None:
            return {}
        return {seed: rho - self.baseline for seed, rho in self.scores.items()}

    @property
    def delta_range(self) -> tuple[float, float] | None:
        """Smallest and largest delta over seeds; None where not known."""
        found = self.deltas.values()
        return (min(found), max(found)) if found else self.printed_range

    @property
    def label(self) -> str:
        """e.g. `rho-guided w=0.2 m=0.1`."""
        return label_of(self.condition, self.rho_weight, self.margin, self.differs)


def label_of(
    condition: str, rho_weight: float | None, margin: float | None, differs: str = ""
) -> str:
    """An arm in words; weight and margin are None where they do not exist."""
    weight = "" if rho_weight is None else f"w={rho_weight:g}"
    hinge = "" if margin is None else f"m={margin:g}"
    return " ".join(part for part in (str(condition), weight, hinge, differs) if part)


FLOORS = {"float32": 1e-5}
COARSE = 2e-3


def floor_of(precision: str) -> float:
    """Differences of rho up to this are rounding, nats per token, by the precision of the base.

    It is the most by which two ways to compute the same training differed, rounded up:
    docs/performance.md has the figures for float32 and 16 bits. Bases of fewer bits compute in 16.
    """
    return FLOORS.get(precision, COARSE)


def same_settings(a: ArmEvidence, b: ArmEvidence) -> bool:
    """Whether the settings that both arms have, beside those of the hinge, are the same."""
    return all(a.settings[k] == b.settings[k] for k in a.settings.keys() & b.settings.keys())


def relative(arm: ArmEvidence) -> ArmEvidence:
    """The arm with its deltas for scores: what arms of different untrained models share."""
    return replace(arm, scores=arm.deltas, score=arm.delta, baseline=0.0, baseline_key=OWN_ZERO)
