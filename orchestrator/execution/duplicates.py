"""Two results of one unit: are they the same?"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from tasks.contract.cell import CellFailure, CellResult
from tasks.contract.generation import GenerationResult
from tasks.contract.reports import Outcome
from tasks.model.machine import family


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a second result of a unit is compared with.

    Attributes:
        digest: sha256 over status, scores and adapter, or over the answers; None of an error.
        chip: What computed it.
    """

    digest: str | None
    chip: str

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """The fingerprint of what a unit brought home."""
        digest = None if isinstance(outcome, CellFailure) else _digest(outcome)
        return cls(digest, outcome.machine.chip)

    def verdict(self, second: "Fingerprint") -> tuple[bool, str]:
        """(whether all is as it should be, the finding in words)."""
        if self.digest == second.digest:
            return True, "a second copy gave the same result"
        if family(self.chip) != family(second.chip):
            chips = f"{self.chip} and {second.chip}"
            return True, f"a second copy gave other bits, on another chip family ({chips})"
        return False, "a second copy on the same chip family gave another result"


def _digest(result: CellResult | GenerationResult) -> str:
    text = json.dumps(_facts(result), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _facts(result: CellResult | GenerationResult) -> dict[str, Any]:
    if isinstance(result, GenerationResult):
        return {"answers": [asdict(a) for a in result.answers]}
    return {
        "status": str(result.status),
        "adapter": result.adapter.sha256 if result.adapter else None,
        "scores": [asdict(s) for s in result.scores],
        "probe_scores": [asdict(s) for s in result.probe_scores],
    }
