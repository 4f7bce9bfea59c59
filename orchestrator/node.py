"""The one door to the node: runs a unit in this process and turns an error into a failure."""

import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.contract import CellFailure, CellResult, CellSpec, Progress, Spec
from tasks.envelope import NO_SAVING, Saving
from tasks.generation import GenerationResult, GenerationSpec
from tasks.machine import describe
from tasks.phases import Phases, Report

if TYPE_CHECKING:
    from tasks.model import Models

Outcome = CellResult | GenerationResult | CellFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A sign of life on its way to the driver.

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
        from tasks import cell, generate  # MLX loads here, in the worker, never in the driver
        from tasks.model import Models

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
