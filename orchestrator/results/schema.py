"""The Arrow tables: columns, types and units, kept in every file."""

import json
from collections import Counter
from dataclasses import asdict
from types import UnionType
from typing import Any, get_args

import pyarrow as pa

from orchestrator import __version__
from orchestrator.cells.provenance import git_revision
from tasks.contract.cell import (
    CellFailure,
    CellResult,
    CellSpec,
    Machine,
    Measurements,
    ProbeScoreRow,
    ScoreRow,
    Status,
    StepRow,
)
from tasks.contract.columns import Column, as_row, columns_of
from tasks.contract.generation import Answer
from tasks.contract.scoring import ScoringResult

SCHEMA_VERSION = "1"
STEP = "step"
"""Column of `scores` and `probe_scores`: the optimizer step after which a row was scored, of points
within a training; null for the end of training and for the untrained model."""
PACK, PACK_DIGEST = "pack", "pack_digest"
"""Columns of `scores` and `probe_scores`: the pack of a row that `rho-sweep score` made, and digest
of its pairs and their splits; null for what the sweep itself scored."""
IMPORTED_TABLE = "imported"
"""The table of numbers that other tools measured of a cell, one file for each of their files."""

_TIME = pa.timestamp("us", tz="UTC")
_FILE = pa.struct([("name", pa.string()), ("bytes", pa.int64()), ("sha256", pa.string())])


def _column(name: str, kind: pa.DataType, unit: str = "", *, required: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=not required, metadata={"unit": unit} if unit else None)


def _text(name: str, *, required: bool = False) -> pa.Field:
    return _column(name, pa.string(), required=required)


def _number(name: str, unit: str = "") -> pa.Field:
    return _column(name, pa.float64(), unit)


def _count(name: str, unit: str, *, required: bool = False) -> pa.Field:
    return _column(name, pa.int64(), unit, required=required)


_TYPES: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    dict[str, int]: pa.map_(pa.string(), pa.int64()),
    dict[str, float]: pa.map_(pa.string(), pa.float64()),
}
"""Type of a record's field, `| None` aside -> type of its column."""


def _columns(record: type, *, first: str | None = None, until: str | None = None) -> list[pa.Field]:
    """Columns of a record's fields, from `first` to the one before `until`, in their order.

    A table may take a record in several runs, so that files keep the order of their columns; the
    runs follow each other without a gap, and a new field falls into one of them.

    Raises:
        TypeError: A field does not say what column it is, or no column has its type.
    """
    declared = columns_of(record)
    names = list(declared)
    start = names.index(first) if first else 0
    stop = names.index(until) if until else len(names)
    return [_declared(record, name, *declared[name]) for name in names[start:stop]]


def _declared(record: type, field: str, hint: Any, column: Column) -> pa.Field:
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    kind = next((_TYPES[t] for t in kinds if t in _TYPES), None)
    if kind is None:
        raise TypeError(f"{record.__name__}.{field}: no column has the type {hint}")
    return _column(column.name or field, kind, column.unit, required=column.required)


CELLS = pa.schema(
    [
        _text("cell_id", required=True),
        _text("arm_id", required=True),
        _text("condition", required=True),
        _number("rho_weight", "1"),
        _number("margin", "nat/token"),
        _column("seed", pa.int64()),
        _text("model", required=True),
        _text("model_revision"),
        _text("model_digest"),
        *_columns(Measurements, until="pairing_key"),
        *_columns(Machine, first="backend"),
        _text("pack", required=True),
        _column("contrast_behaviors", pa.list_(pa.string()), required=True),
        _text("status", required=True),
        _text("message"),
        _text("stage"),
        _text("trace"),
        _text("spec", required=True),
        _text("data_version"),
        _text("probes_version", required=True),
        _text("code_version", required=True),
        _text("git_revision"),
        *_columns(Measurements, first="pairing_key", until="train_steps"),
        _text("adapter_sha256"),
        *_columns(Measurements, first="train_steps", until="n_sft_truncated"),
        _count("n_sft_records", "text"),
        *_columns(Measurements, first="n_sft_truncated"),
        _number("wall_s", "s"),
        _count("attempts", "attempt", required=True),
        *_columns(Machine, until="backend"),
        _text("ray"),
        _column("finished_at", _TIME, required=True),
        _column("files", pa.list_(_FILE)),
    ]
)

ATTEMPTS = pa.schema(
    [
        _text("cell_id", required=True),
        _count("attempt", "attempt", required=True),
        _text("host"),
        _column("started_at", _TIME, required=True),
        _column("ended_at", _TIME),
        _text("outcome", required=True),
        _text("message"),
    ]
)

STEPS = pa.schema(
    [
        _text("cell_id", required=True),
        *_columns(StepRow),
    ]
)

SCORES = pa.schema(
    [
        _text("cell_id", required=True),
        *_columns(ScoreRow),
        _count(STEP, "optimizer step"),
        _text(PACK),
        _text(PACK_DIGEST),
    ]
)

PROBE_SCORES = pa.schema(
    [
        _text("cell_id", required=True),
        *_columns(ProbeScoreRow),
        _count(STEP, "optimizer step"),
        _text(PACK),
        _text(PACK_DIGEST),
    ]
)

GENERATIONS = pa.schema(
    [
        _text("cell_id", required=True),
        _text("generation_id", required=True),
        _text("prompt_set", required=True),
        _text("prompts_digest", required=True),
        _text("decoding", required=True),
        *_columns(Answer, until="response"),
        _text("set", required=True),
        _text("intent", required=True),
        _text("category", required=True),
        _text("frame"),
        _text("pair"),
        _text("prompt", required=True),
        *_columns(Answer, first="response", until="tokens_sha256"),
        _text("response_sha256"),
        *_columns(Answer, first="tokens_sha256"),
        _text("model", required=True),
        _text("model_digest"),
        _text("adapter_sha256"),
        _column("seed", pa.int64()),
        _text("status", required=True),
        _text("stage"),
        _text("message"),
        _text("trace"),
        _count("attempts", "attempt", required=True),
        _count("memory_peak", "byte"),
        _number("load_s", "s"),
        _number("wall_s", "s"),
        _text("host"),
        _text("chip"),
        _text("backend"),
        _text("mlx"),
        _text("mlx_lm"),
        _text("ray"),
        _text("code_version", required=True),
        _column("finished_at", _TIME, required=True),
    ]
)

JUDGEMENTS = pa.schema(
    [
        _text("generation_id", required=True),
        _text("prompt_id", required=True),
        _count("sample_index", "sample", required=True),
        _text("judge", required=True),
        _text("response_sha256", required=True),
        _text("label", required=True),
        _text("reason"),
        _number("score", "1"),
        _column("judged_at", _TIME, required=True),
    ]
)

IMPORTED = pa.schema(
    [
        _text("cell_id", required=True),
        _text("measurement", required=True),
        _column("value", pa.float64(), "as the tool has it", required=True),
        _number("stderr", "as the tool has it"),
        _count("n", "item"),
        _column("higher_is_better", pa.bool_()),
        _text("task_version"),
        _text("tool", required=True),
        _text("tool_version"),
        _text("file", required=True),
        _text("file_sha256", required=True),
        _column("imported_at", _TIME, required=True),
    ]
)

TABLES: dict[str, pa.Schema] = {
    "cells": CELLS,
    "attempts": ATTEMPTS,
    "steps": STEPS,
    "scores": SCORES,
    "probe_scores": PROBE_SCORES,
    "generations": GENERATIONS,
    "judgements": JUDGEMENTS,
    IMPORTED_TABLE: IMPORTED,
}
for _name, _table in TABLES.items():
    if twice := [column for column, n in Counter(_table.names).items() if n > 1]:
        raise TypeError(f"the table {_name} has the column {twice[0]} twice")
KEYS: dict[str, tuple[str, ...]] = {
    "cells": ("cell_id",),
    "attempts": ("cell_id", "attempt"),
    "steps": ("cell_id", "step"),
    "scores": ("cell_id", "behavior", "split", STEP, PACK, PACK_DIGEST),
    "probe_scores": ("cell_id", "behavior", "split", "probe_id", STEP, PACK, PACK_DIGEST),
    "generations": ("cell_id", "prompts_digest", "decoding", "prompt_id", "sample_index"),
    "judgements": ("generation_id", "prompt_id", "sample_index", "judge"),
    IMPORTED_TABLE: ("cell_id", "measurement"),
}
OWNERS = {"judgements": "generation_id"}
"""Column that a file's name begins with; `cell_id` elsewhere."""


def versioned(table: str) -> pa.Schema:
    """A table's schema with its name and version in the file's metadata."""
    return TABLES[table].with_metadata({"table": table, "schema_version": SCHEMA_VERSION})


def fitted(found: pa.Table, table: str) -> pa.Table | None:
    """Rows of a file with all columns of their table; None if they are of another schema.

    A file of an older version may lack columns that may be null: what it lacks is null. It may also
    have no null in a column that may be null today.
    """
    wanted = TABLES[table]
    present = pa.schema([column for column in wanted if column.name in found.schema.names])
    if len(present) != len(found.schema):
        return None
    pairs = zip(found.schema, present, strict=True)
    theirs = pa.schema([old.with_nullable(old.nullable or now.nullable) for old, now in pairs])
    if not theirs.equals(present):
        return None
    found = found.cast(present)
    for place, column in enumerate(wanted):
        if column.name not in present.names:
            if not column.nullable:
                return None
            found = found.add_column(place, column, pa.nulls(found.num_rows, column.type))
    return found


def to_arrow(table: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a table of that schema; a column that a row lacks is null.

    Raises:
        ValueError: A row has a value for which the table has no column.
    """
    known = set(TABLES[table].names)
    for row in rows:
        if unknown := row.keys() - known:
            raise ValueError(f"{table} has no column for {', '.join(sorted(unknown))}")
    plain = [
        {k: list(v.items()) if isinstance(v, dict) else v for k, v in row.items()} for row in rows
    ]
    return pa.Table.from_pylist(plain, schema=versioned(table))


def result_rows(result: CellResult) -> dict[str, list[dict[str, Any]]]:
    """Rows of the child tables of a finished cell."""
    mark = {"cell_id": result.spec.cell_id}
    return {
        "steps": [mark | as_row(r) for r in result.steps],
        "scores": [
            *(mark | as_row(r) for r in result.scores),
            *(mark | as_row(r) | {STEP: p.step} for p in result.points for r in p.scores),
        ],
        "probe_scores": [
            *(mark | as_row(r) for r in (*result.probe_scores, *result.items)),
            *(mark | as_row(r) | {STEP: p.step} for p in result.points for r in p.probe_scores),
        ],
    }


def scored_rows(result: ScoringResult) -> dict[str, list[dict[str, Any]]]:
    """Rows of what a saved adapter scored, by table."""
    spec = result.spec
    mark = {
        "cell_id": spec.cell_id,
        STEP: spec.step,
        PACK: spec.pairs.name,
        PACK_DIGEST: spec.pairs.digest,
    }
    return {
        "probe_scores": [mark | as_row(r) for r in result.probe_scores],
        "scores": [mark | as_row(r) for r in result.scores],
    }


def result_row(result: CellResult) -> dict[str, Any]:
    """The `cells` row of a finished cell, without what only the driver knows."""
    measured = as_row(result.measurements)
    phases = [measured[k] for k in ("load_s", "prepare_s", "train_s", "score_s")]
    return (
        spec_row(result.spec)
        | measured
        | as_row(result.machine)
        | {
            "wall_s": sum(phases),
            "status": str(result.status),
            "message": result.message,
            "adapter_sha256": result.adapter.sha256 if result.adapter else None,
        }
    )


def failure_row(failure: CellFailure) -> dict[str, Any]:
    """The `cells` row of a cell that failed or was given up; what was not measured is null."""
    if not isinstance(failure.spec, CellSpec):
        raise TypeError(f"{failure.spec.label} is no cell")
    return (
        spec_row(failure.spec)
        | (as_row(failure.machine) if failure.machine else {"host": failure.host})
        | {
            "status": str(Status.FAILED),
            "stage": failure.stage,
            "message": failure.message,
            "trace": failure.trace,
        }
    )


def spec_row(spec: CellSpec) -> dict[str, Any]:
    """The columns that follow from a spec."""
    hinge, data = spec.hinge, spec.data
    return {
        "cell_id": spec.cell_id,
        "arm_id": spec.arm_id,
        "condition": str(spec.condition),
        "rho_weight": hinge.rho_weight if hinge else None,
        "margin": hinge.margin if hinge else None,
        "seed": spec.seed,
        "model": spec.model.name,
        "model_revision": spec.model.revision,
        "model_digest": spec.model.digest,
        "pack": spec.probes.pack,
        "contrast_behaviors": list(hinge.behaviors) if hinge else [],
        "spec": json.dumps(asdict(spec), sort_keys=True),
        "data_version": data.digest if data else None,
        "probes_version": spec.probes.digest,
        "n_sft_records": spec.sft_records if data else None,
        "code_version": __version__,
        "git_revision": git_revision(),
    }
