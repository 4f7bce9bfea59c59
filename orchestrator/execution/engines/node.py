"""The one door to the node: runs a unit in this process and turns an error into a failure."""

import os
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from tasks.contract.cell import CellFailure, CellSpec, Progress, Spec
from tasks.contract.checkpoint_envelope import NO_SAVING, Saving
from tasks.contract.generation import GenerationSpec
from tasks.contract.phases import Phases, Report
from tasks.contract.reports import Beat, Outcome
from tasks.model.machine import describe

if TYPE_CHECKING:
    from tasks.model.model import Models


class Node:
    """Executes units one after the other; the base model stays loaded between them."""

    def __init__(self) -> None:
        self._models: Models | None = None

    def execute(
        self, spec: Spec, beat: Callable[[Beat], None], saving: Saving = NO_SAVING
    ) -> Outcome:
        """Run a cell or a generation; whatever it raises comes back as a failure."""
        machine = describe()
        phases = Phases()
        key = spec.key

        def report(progress: Progress) -> None:
            beat(Beat(cell_id=key, pid=os.getpid(), host=machine.host, progress=progress))

        try:
            return self._run(spec, report, phases, saving)
        except Exception as error:  # noqa: BLE001 - the one place where a cell's failure becomes a row
            return CellFailure(
                spec=spec.bare() if isinstance(spec, GenerationSpec) else spec,
                stage=phases.current,
                message=_message(error),
                trace=traceback.format_exc(),
                machine=machine,
            )

    def _run(self, spec: Spec, report: Report, phases: Phases, saving: Saving) -> Outcome:
        from tasks import cell
        from tasks.generation import generate  # MLX loads here, in the worker, never in the driver
        from tasks.model.model import Models

        self._models = self._models or Models()
        match spec:
            case CellSpec():
                return cell.run(spec, self._models, report, phases, saving)
            case GenerationSpec():
                return generate.run(spec, self._models, report, phases)
        raise TypeError(f"no kind of work: {type(spec).__name__}")


def _message(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    kind = type(error).__name__
    text = lines[0] if lines else "no message"
    return text if kind == "NodeError" else f"{kind}: {text}"
