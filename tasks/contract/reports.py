"""What a process that runs units sends back: signs of life, and how a unit ended."""

from dataclasses import dataclass

from tasks.contract.cell import CellFailure, CellResult, Progress
from tasks.contract.generation import GenerationResult
from tasks.contract.scoring import ScoringResult

Outcome = CellResult | GenerationResult | ScoringResult | CellFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """Progress with the unit and the process that it is from; the engine adds the attempt (`Sign`).

    Attributes:
        cell_id: Which cell, or the key of which other unit.
        pid: Process that runs it.
        host: Machine that process is on.
        progress: How far it is.
    """

    cell_id: str
    pid: int
    host: str
    progress: Progress
