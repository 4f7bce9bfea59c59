"""Runs one unit, a cell or work with a saved adapter, here; its errors become `CellFailure`.

"Node" is the package `tasks` here, not a node of Ray. Through Ray this runs in a worker process. It
is the only module that starts such units; the parts of `tasks` that need no MLX (files, tokens,
records) are used everywhere in the driver.
"""

import hashlib
import os
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from tasks.contract.cell import CellFailure, CellResult, CellSpec, Progress, SavedSpec, Spec
from tasks.contract.checkpoint_envelope import NO_SAVING, Saving
from tasks.contract.generation import GenerationSpec
from tasks.contract.phases import Phases
from tasks.contract.reports import Beat, Outcome
from tasks.contract.scoring import ScoringSpec
from tasks.model import children
from tasks.model.machine import describe

if TYPE_CHECKING:
    from tasks.model.model import Models


class Node:
    """Runs units one after the other; the base model stays loaded between them.

    Args:
        wired, cache: As of `Models`.
    """

    def __init__(self, wired: float = 1.0, cache: float = 0.1) -> None:
        self._wired, self._cache = wired, cache
        self._models: Models | None = None

    def free(self) -> None:
        """Give the memory of the model back, before the process ends."""
        if self._models is not None:
            self._models.free()

    def execute(
        self, spec: Spec, beat: Callable[[Beat], None], saving: Saving = NO_SAVING
    ) -> Outcome:
        """Run a unit; an error it raises is returned as a `CellFailure`."""
        phases = Phases()
        key = spec.key

        def report(progress: Progress) -> None:
            beat(Beat(cell_id=key, pid=os.getpid(), host=describe().host, progress=progress))

        try:
            from tasks import cell
            from tasks.generation import generate  # MLX loads here, in the worker only
            from tasks.model.model import Models
            from tasks.scoring import saved

            self._models = self._models or Models(self._wired, self._cache)
            with children.withheld():  # MLX starts a compiler
                if isinstance(spec, CellSpec):
                    return cell.run(spec, self._models, report, phases, saving)
                if isinstance(spec, GenerationSpec):
                    return generate.run(spec, self._models, report, phases, saving)
                if isinstance(spec, ScoringSpec):
                    return saved.run(spec, self._models, report, phases)
            raise TypeError(f"no kind of work: {type(spec).__name__}")
        except Exception as error:  # noqa: BLE001 - the one place where a cell's failure becomes a row
            lines = str(error).strip().splitlines()
            text = lines[0] if lines else "no message"
            kind = type(error).__name__
            return CellFailure(
                spec=spec.bare() if isinstance(spec, SavedSpec) else spec,
                stage=phases.current,
                message=text if kind == "NodeError" else f"{kind}: {text}",
                trace=traceback.format_exc(),
                machine=describe(),  # again, for the BLAS is loaded by now
            )


def trained_here(cell: CellSpec) -> tuple[CellResult, str]:
    """The result of a trained cell, run in this process, and sha256 of its adapter's weights.

    Raises:
        RuntimeError: It fails or diverges.
    """
    outcome = Node().execute(cell, lambda _: None)
    if isinstance(outcome, CellFailure):
        raise RuntimeError(outcome.message)
    if not isinstance(outcome, CellResult) or outcome.adapter is None:
        raise RuntimeError("the cell has no adapter")
    return outcome, hashlib.sha256(outcome.adapter.weights).hexdigest()
