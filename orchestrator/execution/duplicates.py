"""Compares two results of one unit, which ran as two copies."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from tasks.contract.cell import CellFailure, CellResult, Machine
from tasks.contract.generation import GenerationResult
from tasks.contract.reports import Outcome
from tasks.contract.scoring import ScoringResult
from tasks.model.machine import family


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is compared of two results of one unit.

    Attributes:
        digest: sha256 over status, scores and adapter, or over the answers; None for an error.
        family: Of the machine that ran it; empty where unknown.
    """

    digest: str | None
    family: str

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """The fingerprint of an outcome."""
        facts: dict[str, Any]
        match outcome:
            case CellFailure():
                return cls(None, _family_of(outcome.machine) if outcome.machine else "")
            case GenerationResult():
                facts = {"answers": [asdict(a) for a in outcome.answers]}
            case ScoringResult():
                facts = {
                    "scores": [asdict(s) for s in outcome.scores],
                    "probe_scores": [asdict(s) for s in outcome.probe_scores],
                }
            case CellResult():
                facts = {
                    "status": str(outcome.status),
                    "adapter": outcome.adapter.sha256 if outcome.adapter else None,
                    "scores": [asdict(s) for s in outcome.scores],
                    "probe_scores": [asdict(s) for s in outcome.probe_scores],
                    "points": [
                        asdict(replace(p, adapter=None)) | {"kept": p.adapter and p.adapter.sha256}
                        for p in outcome.points
                    ],
                }
        text = json.dumps(facts, sort_keys=True)
        return cls(hashlib.sha256(text.encode()).hexdigest(), _family_of(outcome.machine))

    def verdict(self, second: "Fingerprint") -> tuple[bool, str]:
        """(whether the results agree or may differ, the finding in words).

        Chips of two families may round differently; those of one family must give the same bits.
        """
        if self.digest == second.digest:
            return True, "a second copy gave the same result"
        if self.family != second.family:
            both = f"{self.family} and {second.family}"
            return True, f"a second copy gave other bits, on another chip family ({both})"
        return False, "a second copy on the same chip family gave another result"


def _family_of(machine: Machine) -> str:
    return f"{family(machine.chip, machine.os)} ({machine.backend})"
