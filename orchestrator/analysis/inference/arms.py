"""The arms of some results, found by their settings."""

from collections import defaultdict
from collections.abc import Sequence

from orchestrator.analysis.evidence.arms import ArmEvidence, relative
from orchestrator.analysis.evidence.frame import Frame
from orchestrator.analysis.evidence.refusals import NO_SEED
from orchestrator.cells.facts import Facts


class Selector:
    """Finds arms among the evidence of some results."""

    def __init__(self, frame: Frame, evidence: Sequence[ArmEvidence]) -> None:
        self._facts = {arm: frame.facts(arm) for arm in {e.arm_id for e in evidence}}
        self._groups: dict[tuple[str, str], list[ArmEvidence]] = defaultdict(list)
        for one in evidence:
            self._groups[one.behavior, one.split].append(one)
        self._moments: dict[tuple[str, str], list[ArmEvidence]] = defaultdict(list)
        for one in frame.moments():
            self._moments[one.behavior, one.split].append(one)
        # texts differ with the SFT source, so that arms are compared by what they changed
        self._general = {
            (e.arm_id, e.behavior): e if e.baseline is None else relative(e)
            for e in frame.general()
        }
        self._heads: dict[str, ArmEvidence] = {}
        for one in evidence:
            self._heads.setdefault(one.arm_id, one)

    def facts(self, arm_id: str) -> Facts:
        """An arm's settings under the names of a sweep file."""
        return self._facts[arm_id]

    def head(self, arm_id: str) -> ArmEvidence:
        """Any evidence of an arm."""
        return self._heads[arm_id]

    def scores(self, behavior: str, split: str) -> dict[str, dict[int, float]]:
        """Arm id -> seed -> rho; the untrained model's seed is `NO_SEED`."""
        return {
            e.arm_id: dict(e.scores) or ({NO_SEED: e.score.mean} if e.score else {})
            for e in self._groups.get((behavior, split), [])
        }

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits that were scored, the held-out one first."""
        return tuple(sorted({split for _, split in self._groups}))

    def behaviors(self, split: str) -> tuple[str, ...]:
        """Behaviours scored on a split, by name."""
        return tuple(sorted(b for b, s in self._groups if s == split))

    def trained(self, behavior: str, split: str) -> list[ArmEvidence]:
        """Arms other than the baseline."""
        return [e for e in self._groups[behavior, split] if e.condition.trains]

    def scored(self, behavior: str, split: str) -> list[ArmEvidence]:
        """Arms with scores of a behaviour on a split, or with a measurement of that name."""
        measured = [e for (_, name), e in self._general.items() if name == behavior]
        return self._groups.get((behavior, split)) or measured

    def moments(self, behavior: str, split: str) -> list[ArmEvidence]:
        """Arms that were scored within their training, at every moment."""
        return self._moments.get((behavior, split), [])
