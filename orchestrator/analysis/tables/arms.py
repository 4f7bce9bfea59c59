"""The arms of one split: their order, their names, and which of them may be compared."""

from collections.abc import Iterable, Sequence
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence, same_settings
from orchestrator.analysis.evidence.comparison import Comparison, compare
from orchestrator.analysis.tables.columns import data, short, words
from orchestrator.analysis.tables.view import (
    Column,
    level_text,
)
from orchestrator.stats.records import (
    ALPHA,
    Summary,
)
from tasks.contract.cell import Condition

NOTES_ORDER = ("factual", "toxicity", "sycophancy", "bias")
HELDOUT = "heldout"
SPLITS = {
    "train": "train split (pairs that training could see)",
    HELDOUT: "heldout split (pairs that no training text touched)",
}


class Arms:
    """Evidence of one split.

    Attributes:
        split: The split of the evidence, e.g. `heldout`.
        alpha: Level of the tests.
        heads: One record an arm, of any behaviour, by condition, weight, margin and settings.
        behaviors: All that were evaluated, those of the notes first.
    """

    def __init__(self, evidence: Iterable[ArmEvidence], split: str, alpha: float = ALPHA) -> None:
        self.split, self.alpha = split, alpha
        mine = [e for e in evidence if e.split == split]
        mine.sort(key=lambda e: (*arm_order(e), e.behavior))
        self._by_key = {(e.arm_id, e.behavior): e for e in mine}
        self.heads = tuple({e.arm_id: e for e in mine}.values())
        self.behaviors = in_order({e.behavior for e in mine})
        self._compared: dict[tuple[str, str, str], Comparison] = {}

    @property
    def level(self) -> float:
        """Level of the intervals, 1 - alpha."""
        return 1 - self.alpha

    @property
    def ci(self) -> str:
        """Heading of an interval, e.g. `95% CI`."""
        return f"{level_text(self.level)} CI"

    @property
    def trained(self) -> tuple[ArmEvidence, ...]:
        """Arms other than the baseline."""
        return tuple(h for h in self.heads if h.condition.trains)

    def get(self, arm: ArmEvidence, behavior: str) -> ArmEvidence | None:
        """The same arm on a behaviour; None if it was not scored there."""
        return self._by_key.get((arm.arm_id, behavior))

    def by_id(self, arm_id: str) -> ArmEvidence | None:
        """An arm by its id."""
        return next((h for h in self.heads if h.arm_id == arm_id), None)

    def on(self, behavior: str) -> list[ArmEvidence]:
        """Trained arms that were scored on a behaviour, in order."""
        return [e for h in self.trained if (e := self.get(h, behavior)) is not None]

    def reference(self, arm: ArmEvidence) -> ArmEvidence | None:
        """The one sft-only arm with this arm's settings; None where there is none, or several."""
        found = [h for h in self.heads if h.condition is Condition.SFT_ONLY and agree(h, arm)]
        return self.get(found[0], arm.behavior) if len(found) == 1 else None

    def compare(self, a: ArmEvidence, b: ArmEvidence) -> Comparison:
        """Two-sided test of a - b; computed once for each pair of arms and behaviour."""
        key = a.arm_id, b.arm_id, a.behavior
        if key not in self._compared:
            self._compared[key] = compare(a, b, alpha=self.alpha)
        return self._compared[key]

    def label(self, arm: ArmEvidence) -> str:
        """The condition where it has one arm only, else with weight, margin and settings."""
        same = [h for h in self.heads if h.condition is arm.condition]
        return arm.label if len(same) > 1 else str(arm.condition)

    def identity(self, arm: ArmEvidence) -> dict[str, Any]:
        """Fields that name an arm in a row."""
        return {
            "condition": str(arm.condition),
            "arm": self.label(arm),
            "rho_weight": arm.rho_weight,
            "margin": arm.margin,
            "settings": arm.differs or None,
        }

    def title(self, what: str, ns: Iterable[int | None]) -> str:
        """Title of a table: what it shows, on which probe pairs, with how many seeds."""
        return f"{what}, {SPLITS.get(self.split, self.split)}, {seeds_text(ns)}"


CONDITION: Column = words("Condition", "condition", instead="arm")
SETTINGS: tuple[Column, ...] = data(
    short("rho_weight", "rho_weight"),
    short("margin", "margin", "nat/token"),
    words("settings", "settings"),
)


def default_split(evidence: Sequence[ArmEvidence]) -> str:
    """`heldout` if it was evaluated, or if nothing was; else the first split by name."""
    found = {e.split for e in evidence}
    return HELDOUT if HELDOUT in found or not found else min(found)


def agree(a: ArmEvidence, b: ArmEvidence) -> bool:
    """Whether two arms have one baseline, and the same value of each setting both have."""
    return a.baseline_key == b.baseline_key and same_settings(a, b)


def arm_order(arm: ArmEvidence) -> tuple[int, float, float, str, str]:
    """Sort key: condition as in `Condition`, weight, margin, settings, id; None as 0."""
    rank = list(Condition).index(arm.condition)
    return rank, arm.rho_weight or 0.0, arm.margin or 0.0, arm.differs, arm.arm_id


def in_order(behaviors: Iterable[str]) -> tuple[str, ...]:
    """The notes' behaviours in their order, then the others by name."""
    known = set(behaviors)
    return (*(b for b in NOTES_ORDER if b in known), *sorted(known - set(NOTES_ORDER)))


def seeds_text(ns: Iterable[int | None]) -> str:
    """`n = 5`, or `n varies`."""
    found = {n for n in ns if n is not None}
    return f"n = {found.pop()}" if len(found) == 1 else "n varies"


def fewest(evidence: Iterable[ArmEvidence | None]) -> int | None:
    """The smallest number of seeds of the arms that are not None; None without any."""
    return min((e.n for e in evidence if e is not None), default=None)


def sample(arm: ArmEvidence | None) -> Summary | None:
    """Summary of an arm's deltas over seeds; None without an arm or deltas."""
    return None if arm is None else arm.delta
