"""Generated answers on disk: one file per cell, set of prompts and decoding, whole or absent.

A file is named after the cell and what was asked, so that an answer to the same question from
another adapter, or after another recipe, takes the place of the earlier one. It also keeps which
unit of work it came from, the `generation_id`: answers of an equal adapter are copied, not
generated again.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from orchestrator import __version__
from orchestrator.errors import UserError
from orchestrator.results.folder import ours
from orchestrator.results.store import Store, advice, read_file, siblings, unread_note
from tasks.contract.cell import CellFailure, Status, digest_of
from tasks.contract.columns import as_row
from tasks.contract.generation import GenerationResult, GenerationSpec
from tasks.contract.prompts import Prompt

TABLE = "generations"
Row = dict[str, Any]


def question_of(spec: GenerationSpec) -> str:
    """16 hex digits naming what is asked, whoever answers."""
    return digest_of([spec.prompts.digest, spec.decoding.facts])[:16]


def file_key(spec: GenerationSpec) -> str:
    """Name of a unit's file; begins with the cell that owns it."""
    return f"{spec.cell_id}.{question_of(spec)}"


def result_rows(result: GenerationResult) -> list[Row]:
    """One row for each answer, without what only the driver knows."""
    asked = {p.id: p for p in result.spec.prompts.prompts}
    common = _common(result.spec, as_row(result.machine)) | {
        "status": str(Status.OK),
        "memory_peak": result.memory_peak_bytes,
        "load_s": result.load_s,
        "wall_s": result.generate_s,
    }
    return [
        common
        | _asked(asked[a.prompt_id])
        | as_row(a)
        | {"response_sha256": response_digest(a.response)}
        for a in result.answers
    ]


def failure_rows(failure: CellFailure, spec: GenerationSpec) -> list[Row]:
    """One row for each answer that there is not; nothing is measured, so nothing is 0."""
    where = as_row(failure.machine) if failure.machine else {"host": failure.host}
    common = _common(spec, where) | {
        "status": str(Status.FAILED),
        "stage": failure.stage,
        "message": failure.message,
        "trace": failure.trace,
    }
    return [
        common | _asked(prompt) | {"sample_index": index}
        for prompt in spec.prompts.prompts
        for index in range(spec.decoding.samples)
    ]


def _rows(outcome: GenerationResult | CellFailure, spec: GenerationSpec) -> list[Row]:
    if isinstance(outcome, CellFailure):
        return failure_rows(outcome, spec)
    return result_rows(outcome)


def _common(spec: GenerationSpec, machine: Row) -> Row:
    of_machine = ("host", "chip", "backend", "mlx", "mlx_lm")
    return {name: machine.get(name) for name in of_machine} | {
        "cell_id": spec.cell_id,
        "generation_id": spec.generation_id,
        "prompt_set": spec.prompts.name,
        "prompts_digest": spec.prompts.digest,
        "decoding": spec.decoding.text,
        "model": spec.model.name,
        "model_digest": spec.model.digest,
        "adapter_sha256": spec.adapter_sha256,
        "seed": spec.seed,
        "code_version": __version__,
    }


def _asked(prompt: Prompt) -> Row:
    row = asdict(prompt)
    return {k: row[k] for k in ("set", "intent", "category", "frame", "pair")} | {
        "prompt_id": prompt.id,
        "prompt": prompt.text,
    }


def response_digest(response: str) -> str:
    """sha256 of a response's text."""
    return hashlib.sha256(response.encode()).hexdigest()


def commit(
    store: Store,
    outcome: GenerationResult | CellFailure,
    spec: GenerationSpec,
    *,
    attempts: int,
    ray: str | None,
    finished_at: datetime | None = None,
) -> None:
    """Keep a finished unit, or the fact that it failed.

    Args:
        store: Where to.
        outcome: What came of it.
        spec: What was asked for.
        attempts: Made at it so far.
        ray: Version that ran it; None without Ray.
        finished_at: When it ended; None is now.
    """
    rows = _rows(outcome, spec)
    ended = finished_at or datetime.now(UTC)
    driver = {"attempts": attempts, "ray": ray, "finished_at": ended}
    store.write(TABLE, file_key(spec), [row | driver for row in rows])


def statuses(store: Store) -> dict[tuple[str, str], Status]:
    """(cell id, generation id) -> how it ended, of every unit of committed cells."""
    table = store.read(TABLE).select(["cell_id", "generation_id", "status"])
    return {(r["cell_id"], r["generation_id"]): Status(r["status"]) for r in table.to_pylist()}


def adopt(store: Store, units: Iterable[GenerationSpec]) -> tuple[int, list[str]]:
    """Take over answers that an equal adapter gave, here or in other sweeps' results.

    Args:
        store: Where to.
        units: Units without answers here.

    Returns:
        How many of them have answers now, and notes on what cannot be read of other sweeps.

    Raises:
        UserError: A file of this store is damaged.
    """
    wanted: dict[str, list[GenerationSpec]] = {}
    for unit in units:
        wanted.setdefault(unit.generation_id, []).append(unit)
    found, notes = 0, list[str]()
    for other in (store, *siblings(store.folder)):
        problems = []
        for rows in _whole_units(other, wanted):
            if isinstance(rows, UserError):
                if other is store:
                    raise rows
                problems.append(rows.reason)
                continue
            for unit in wanted.pop(rows[0]["generation_id"], []):
                own = {"cell_id": unit.cell_id, "seed": unit.seed, "prompt_set": unit.prompts.name}
                store.write(TABLE, file_key(unit), [row | own for row in rows])
                found += 1
        notes += unread_note(problems)
    return found, notes


def _answers(rows: list[Row], unit: GenerationSpec) -> bool:
    """Whether the rows of a file are the answers to a unit's prompts, by its adapter."""
    first = rows[0]
    said = first["prompts_digest"], first["decoding"], first["adapter_sha256"]
    asked = unit.prompts.digest, unit.decoding.text, unit.adapter_sha256
    return said == asked and all(
        row["response_sha256"] == response_digest(row["response"]) for row in rows
    )


def _whole_units(
    store: Store, wanted: Mapping[str, list[GenerationSpec]]
) -> Iterator[list[Row] | UserError]:
    """Rows of the wanted units that ended well in a store; errors of files that are unreadable."""
    try:
        names = ours(store.folder, TABLE)
    except UserError as error:
        yield error
        return
    for name in names:
        try:
            rows = read_file(store.folder / TABLE / name, TABLE).to_pylist()
        except UserError as error:
            yield error
            continue
        units = wanted.get(rows[0]["generation_id"], ())
        if not units or rows[0]["status"] != Status.OK:
            continue
        if all(_answers(rows, unit) for unit in units):
            yield rows
        else:
            text = f"{store.folder / TABLE / name}: holds other answers than its generation_id says"
            yield UserError(text, advice(TABLE))
