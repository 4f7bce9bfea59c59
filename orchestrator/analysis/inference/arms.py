"""Which arms a contrast means. Arms are only compared where their other settings agree."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence, same_settings
from orchestrator.analysis.evidence.frame import Frame
from orchestrator.analysis.evidence.refusals import NO_SEED, Refusals
from orchestrator.config.contrasts import Contrast, describe, matches
from tasks.contract.cell import Condition

Fields = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The arms of one contrast on one behaviour and split.

    Attributes:
        arms: One, two (a, b), or the doses in ascending order.
        doses: Values along the axis, for a trend.
        behavior, split: What was scored.
        problem: Why there is nothing to test; then `arms` may be empty.
    """

    arms: tuple[ArmEvidence, ...] = ()
    doses: tuple[float, ...] = ()
    behavior: str
    split: str
    problem: str | None = None


class Selector:
    """Finds arms among the evidence of some results."""

    def __init__(self, frame: Frame, evidence: Sequence[ArmEvidence]) -> None:
        self._facts = {arm: frame.facts(arm) for arm in {e.arm_id for e in evidence}}
        self._groups: dict[tuple[str, str], list[ArmEvidence]] = defaultdict(list)
        for one in evidence:
            self._groups[one.behavior, one.split].append(one)

        self._heads: dict[str, ArmEvidence] = {}
        for one in evidence:
            self._heads.setdefault(one.arm_id, one)

    def facts(self, arm_id: str) -> Mapping[str, Any]:
        """An arm's settings under the names of a sweep file."""
        return self._facts[arm_id]

    def head(self, arm_id: str) -> ArmEvidence:
        """Any evidence of an arm."""
        return self._heads[arm_id]

    def comparable(self, a: Refusals, b: Refusals) -> bool:
        """Whether two arms have one baseline and differ by condition, weight and margin only."""
        first, second = self._heads[a.arm_id], self._heads[b.arm_id]
        return a.baseline_key == b.baseline_key and same_settings(first, second)

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

    def choose(self, contrast: Contrast) -> Iterator[Chosen]:
        """Every set of arms that the contrast names, on each of its behaviours."""
        split = contrast.split or (self.splits[0] if self.splits else "heldout")
        for behavior in contrast.behaviors or self.behaviors(split):
            if (behavior, split) not in self._groups:
                problem = f"{behavior} was not scored on the {split} split"
                yield Chosen(behavior=behavior, split=split, problem=problem)
            elif contrast.over is not None:
                yield from self._along(contrast, behavior, split)
            else:
                yield from self._pairs(contrast, behavior, split)

    def _named(self, fields: Fields, behavior: str, split: str) -> list[ArmEvidence]:
        group = self._groups.get((behavior, split), [])
        return [e for e in group if matches(fields, self._facts[e.arm_id])]

    def _pairs(self, contrast: Contrast, behavior: str, split: str) -> Iterator[Chosen]:
        firsts = self._named(contrast.a, behavior, split)
        if not firsts:
            problem = f"no scored cell has {describe(contrast.a)}"
            yield Chosen(behavior=behavior, split=split, problem=problem)
        for a in firsts:
            if contrast.b is None:
                yield Chosen(arms=(a,), behavior=behavior, split=split)
                continue
            seconds = [b for b in self._named(contrast.b, behavior, split) if same_settings(a, b)]
            if len(seconds) == 1:
                yield Chosen(arms=(a, seconds[0]), behavior=behavior, split=split)
                continue
            what = "no scored cell has" if not seconds else f"{len(seconds)} arms have"
            problem = f"{what} {describe(contrast.b)}"
            yield Chosen(arms=(a,), behavior=behavior, split=split, problem=problem)

    def _along(self, contrast: Contrast, behavior: str, split: str) -> Iterator[Chosen]:
        """Arms that differ along one axis only; without a hinge the weight is 0."""
        axis = contrast.over
        groups: dict[tuple[Any, ...], dict[float, ArmEvidence]] = defaultdict(dict)
        for one in self._named(contrast.a, behavior, split):
            dose = one.rho_weight if axis == "rho_weight" else one.margin
            other = one.margin if axis == "rho_weight" else one.rho_weight
            if dose is not None:
                groups[one.condition, other, one.differs][dose] = one
        for doses in groups.values():
            if axis == "rho_weight" and 0.0 not in doses:
                first = next(iter(doses.values()))
                zero = [
                    e
                    for e in self._groups[behavior, split]
                    if e.condition is Condition.SFT_ONLY and same_settings(first, e)
                ]
                if len(zero) == 1 and first.condition.has_sft:
                    doses[0.0] = zero[0]
            ordered = sorted(doses)
            few = f"needs 3 doses along {axis}, has {len(ordered)}" if len(ordered) < 3 else None
            arms = tuple(doses[d] for d in ordered)
            yield Chosen(
                arms=arms, doses=tuple(ordered), behavior=behavior, split=split, problem=few
            )
        if not groups:
            problem = f"no scored cell has {describe(contrast.a)}"
            yield Chosen(behavior=behavior, split=split, problem=problem)
