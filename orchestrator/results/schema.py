"""The Arrow tables: columns, types and units, kept in every file."""

import json
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from orchestrator import __version__
from orchestrator.results.provenance import git_revision
from tasks.contract.cell import CellFailure, CellResult, CellSpec, Status

SCHEMA_VERSION = "1"

_COUNTS = pa.map_(pa.string(), pa.int64())
_VALUES = pa.map_(pa.string(), pa.float64())
_TIME = pa.timestamp("us", tz="UTC")


def _column(name: str, kind: pa.DataType, unit: str = "", *, required: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=not required, metadata={"unit": unit} if unit else None)


def _text(name: str, *, required: bool = False) -> pa.Field:
    return _column(name, pa.string(), required=required)


def _number(name: str, unit: str = "") -> pa.Field:
    return _column(name, pa.float64(), unit)


def _count(name: str, unit: str, *, required: bool = False) -> pa.Field:
    return _column(name, pa.int64(), unit, required=required)


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
        _text("base_precision"),
        _text("path"),
        _text("backend", required=True),
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
        _text("pairing_key"),
        _text("init_hash"),
        _text("sft_order_hash"),
        _text("contrast_order_hash"),
        _text("adapter_sha256"),
        _count("train_steps", "optimizer step"),
        _count("resumed_steps", "optimizer step"),
        _count("trainable_parameters", "parameter"),
        _count("n_pairs_degenerate", "pair"),
        _count("n_pairs_train", "pair"),
        _column("n_pairs_train_excluded", _COUNTS, "pair"),
        _count("n_sft_records", "text"),
        _count("n_sft_truncated", "text"),
        _count("n_sft_leaks", "text"),
        _number("ce_loss", "nat/token"),
        _number("hinge_loss", "nat/token"),
        _number("hinge_active", "1"),
        _number("pairs_skipped", "1"),
        _number("matmul_peak", "flop/s"),
        _number("train_mfu", "1"),
        _number("score_mfu", "1"),
        _count("memory_peak", "byte"),
        _number("load_s", "s"),
        _number("prepare_s", "s"),
        _number("train_s", "s"),
        _number("score_s", "s"),
        _number("wall_s", "s"),
        _count("attempts", "attempt", required=True),
        _text("host", required=True),
        _text("chip", required=True),
        _text("os", required=True),
        _text("python", required=True),
        _text("mlx", required=True),
        _text("mlx_lm", required=True),
        _text("ray"),
        _column("finished_at", _TIME, required=True),
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
        _count("step", "optimizer step", required=True),
        _number("ce_loss", "nat/token"),
        _number("hinge_loss", "nat/token"),
        _number("hinge_active", "1"),
        _column("hinge_loss_by_behavior", _VALUES, "nat/token"),
        _column("hinge_active_by_behavior", _VALUES, "1"),
        _count("pairs_skipped", "pair"),
        _number("grad_norm", "1"),
        _number("learning_rate", "1"),
        _count("tokens", "token"),
        _number("flops", "flop"),
        _number("wall_s", "s"),
    ]
)

SCORES = pa.schema(
    [
        _text("cell_id", required=True),
        _text("behavior", required=True),
        _text("split", required=True),
        _count("n_pairs", "pair", required=True),
        _count("n_valid", "pair", required=True),
        _column("n_excluded", _COUNTS, "pair"),
        _number("rho", "nat/token"),
        _number("rho_sd", "nat/token"),
        _number("rho_completion", "nat/token"),
        _count("n_completion", "pair", required=True),
        _number("accuracy", "1"),
        _number("auc", "1"),
        _number("spearman", "1"),
        _number("ece", "1"),
        _number("brier", "1"),
        _text("status", required=True),
    ]
)

PROBE_SCORES = pa.schema(
    [
        _text("cell_id", required=True),
        _text("behavior", required=True),
        _text("split", required=True),
        _text("probe_id", required=True),
        _text("status", required=True),
        _number("logprob_positive_sum", "nat"),
        _number("logprob_negative_sum", "nat"),
        _number("logprob_positive_mean", "nat/token"),
        _number("logprob_negative_mean", "nat/token"),
        _count("n_tokens_positive", "token"),
        _count("n_tokens_negative", "token"),
        _number("gap", "nat/token"),
        _count("n_completion_positive", "token"),
        _count("n_completion_negative", "token"),
        _number("gap_completion", "nat/token"),
    ]
)

GENERATIONS = pa.schema(
    [
        _text("cell_id", required=True),
        _text("generation_id", required=True),
        _text("prompt_set", required=True),
        _text("prompts_digest", required=True),
        _text("decoding", required=True),
        _text("prompt_id", required=True),
        _count("sample_index", "sample", required=True),
        _text("set", required=True),
        _text("intent", required=True),
        _text("category", required=True),
        _text("frame"),
        _text("pair"),
        _text("prompt", required=True),
        _text("response"),
        _count("n_prompt_tokens", "token"),
        _count("n_tokens", "token"),
        _text("finish_reason"),
        _text("response_sha256"),
        _text("tokens_sha256"),
        _number("least_lead", "nat"),
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
        _text("host", required=True),
        _text("chip", required=True),
        _text("backend", required=True),
        _text("mlx", required=True),
        _text("mlx_lm", required=True),
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

TABLES: dict[str, pa.Schema] = {
    "cells": CELLS,
    "attempts": ATTEMPTS,
    "steps": STEPS,
    "scores": SCORES,
    "probe_scores": PROBE_SCORES,
    "generations": GENERATIONS,
    "judgements": JUDGEMENTS,
}
KEYS: dict[str, tuple[str, ...]] = {
    "cells": ("cell_id",),
    "attempts": ("cell_id", "attempt"),
    "steps": ("cell_id", "step"),
    "scores": ("cell_id", "behavior", "split"),
    "probe_scores": ("cell_id", "behavior", "split", "probe_id"),
    "generations": ("cell_id", "prompts_digest", "decoding", "prompt_id", "sample_index"),
    "judgements": ("generation_id", "prompt_id", "sample_index", "judge"),
}
OWNERS = {"judgements": "generation_id"}
"""Column that a file's name begins with; `cell_id` elsewhere."""


def versioned(table: str) -> pa.Schema:
    """A table's schema with its name and version in the file's metadata."""
    return TABLES[table].with_metadata({"table": table, "schema_version": SCHEMA_VERSION})


def to_arrow(table: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a table of that schema; a column that a row lacks is null."""
    plain = [
        {k: list(v.items()) if isinstance(v, dict) else v for k, v in row.items()} for row in rows
    ]
    return pa.Table.from_pylist(plain, schema=versioned(table))


def result_rows(result: CellResult) -> dict[str, list[dict[str, Any]]]:
    """Rows of the child tables of a finished cell."""
    mark = {"cell_id": result.spec.cell_id}
    return {
        "steps": [mark | asdict(r) for r in result.steps],
        "scores": [mark | asdict(r) for r in result.scores],
        "probe_scores": [mark | asdict(r) for r in result.probe_scores],
    }


def result_row(result: CellResult) -> dict[str, Any]:
    """The `cells` row of a finished cell, without what only the driver knows."""
    measured = asdict(result.measurements)
    phases = [measured[k] for k in ("load_s", "prepare_s", "train_s", "score_s")]
    return (
        spec_row(result.spec)
        | measured
        | asdict(result.machine)
        | {
            "memory_peak": measured["memory_peak_bytes"],
            "wall_s": sum(phases),
            "status": str(result.status),
            "message": result.message,
            "adapter_sha256": result.adapter.sha256 if result.adapter else None,
        }
    )


def failure_row(failure: CellFailure) -> dict[str, Any]:
    """The `cells` row of a cell that raised an error; nothing is measured, so nothing is 0."""
    if not isinstance(failure.spec, CellSpec):
        raise TypeError(f"{failure.spec.label} is no cell")
    return (
        spec_row(failure.spec)
        | asdict(failure.machine)
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
