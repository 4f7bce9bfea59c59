"""Two results of one cell: are they the same?"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Self

from orchestrator.node import Outcome
from tasks.contract import CellResult
from tasks.machine import family


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a second result of a cell is compared with.

    Attributes:
        digest: sha256 over status, scores and adapter; None of a cell that raised an error.
        chip: What computed it.
    """

    digest: str | None
    chip: str

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """The fingerprint of what a cell brought home."""
        digest = _digest(outcome) if isinstance(outcome, CellResult) else None
        return cls(digest, outcome.machine.chip)

    def verdict(self, second: "Fingerprint") -> tuple[bool, str]:
        """(whether all is as it should be, the finding in words)."""
        if self.digest == second.digest:
            return True, "a second copy gave the same result"
        if family(self.chip) != family(second.chip):
            chips = f"{self.chip} and {second.chip}"
            return True, f"a second copy gave other bits, on another chip family ({chips})"
        return False, "a second copy on the same chip family gave another result"


def _digest(result: CellResult) -> str:
    facts = {
        "status": str(result.status),
        "adapter": result.adapter.sha256 if result.adapter else None,
        "scores": [asdict(s) for s in result.scores],
        "probe_scores": [asdict(s) for s in result.probe_scores],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
