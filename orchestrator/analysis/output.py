"""`results/<sweep>/analysis/`: contrasts, inference and tables as files, written whole."""

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc

from orchestrator.analysis.inference.record import Inference
from orchestrator.analysis.tables.render import arrow, csv
from orchestrator.analysis.tables.view import View
from orchestrator.errors import UserError, writing
from orchestrator.results.files import write_whole
from orchestrator.results.registration import Registration
from orchestrator.results.schema import SCHEMA_VERSION
from tasks.sources.foreign import is_foreign

FOLDER = "analysis"
MARK = "inference.arrow"
UNITS = {
    "n_a": "seed",
    "n_b": "seed",
    "n_pairs": "seed",
    "n_probes": "probe",
    "n_for_80": "seed",
    "ci_level": "1",
    "p": "1",
    "p_adjusted": "1",
    "p_student": "1",
    "p_exact": "1",
    "p_attainable_min": "1",
    "p_noninferior": "1",
    "p_tost": "1",
    "cohens_d": "pooled between-seed sd",
    "hedges_g": "pooled between-seed sd",
    "g_low": "pooled between-seed sd",
    "g_high": "pooled between-seed sd",
    "estimate": "nat/token, proportion, log ratio or rank correlation, by kind and behavior",
    "ci_low": "as estimate",
    "ci_high": "as estimate",
    "se": "as estimate",
    "mde_80": "as estimate",
    "mde_low": "as estimate",
    "mde_high": "as estimate",
    "sesoi": "as estimate",
}
LISTS = ("arms", "notes")
WHOLE = ("n_a", "n_b", "n_pairs", "n_probes", "family_size", "n_for_80")
TEXTS = (
    "contrast_id",
    "which",
    "claim",
    "kind",
    "behavior",
    "split",
    "population",
    "family",
    "alternative",
    "arm_a",
    "arm_b",
    "pairing",
    "pairing_reason",
    "test",
    "adjust",
    "verdict",
    "status",
)
KINDS = {
    **dict.fromkeys(LISTS, pa.list_(pa.string())),
    **dict.fromkeys(WHOLE, pa.int64()),
    **dict.fromkeys(TEXTS, pa.string()),
    "registered": pa.bool_(),
    "imported": pa.bool_(),
}
"""Types of the columns of `inference.arrow`; any other column is a float."""
INFERENCE = pa.schema(
    [
        pa.field(
            f.name,
            KINDS.get(f.name, pa.float64()),
            metadata={"unit": UNITS[f.name]} if f.name in UNITS else None,
        )
        for f in fields(Inference)
    ]
)
CONTRASTS = pa.schema(
    [
        pa.field("contrast_id", pa.string(), nullable=False),
        pa.field("registered_at", pa.string()),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("claim", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("a", pa.string(), nullable=False),
        pa.field("b", pa.string()),
        pa.field("over", pa.string()),
        pa.field("between", pa.string()),
        pa.field("behaviors", pa.list_(pa.string())),
        pa.field("split", pa.string()),
        pa.field("population", pa.string(), nullable=False),
        pa.field("alternative", pa.string(), nullable=False),
        pa.field("sesoi", pa.float64(), metadata={"unit": "nat/token or proportion"}),
        pa.field("alpha", pa.float64(), nullable=False, metadata={"unit": "1"}),
    ]
)


def write_analysis(
    target: Path,
    registration: Registration,
    inference: Sequence[Inference],
    views: Sequence[View],
) -> None:
    """Write everything; what an earlier analysis left is replaced or removed.

    Raises:
        UserError: The folder cannot be written to, or holds files that are no analysis.
    """
    _demand_ours(target)
    contrasts = []
    for row in registration.plain()["contrasts"]:
        arms = {k: json.dumps(row[k], sort_keys=True) for k in ("a", "b", "between") if k in row}
        contrasts.append({**row, **arms, "contrast_id": row["id"], "alpha": registration.alpha})
    files = {  # the mark of an analysis first: one that a full disk ended can be made again there
        MARK: _bytes(inference_table(inference)),
        "contrasts.arrow": _bytes(_table("contrasts", contrasts, CONTRASTS)),
    }
    for view in views:
        files[f"{view.name}.arrow"] = _bytes(arrow(view))
        files[f"{view.name}.csv"] = csv(view).encode()
    for name, content in files.items():
        write_whole(target / name, content)
    for old in [*target.glob("*.arrow"), *target.glob("*.csv")]:
        if old.name not in files and not is_foreign(old.name):
            old.unlink()


def inference_table(inference: Sequence[Inference]) -> pa.Table:
    """Each tested contrast with its verdict, as `inference.arrow` has it."""
    return _table("inference", [asdict(i) for i in inference], INFERENCE)


def _demand_ours(target: Path) -> None:
    """Make the folder; raise if it holds files of others, for an analysis deletes old tables."""
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
        there = [p for p in target.iterdir() if not is_foreign(p.name)]
    others = [p for p in there if p.suffix not in (".arrow", ".csv")]
    if others or (there and not (target / MARK).is_file()):
        raise UserError(f"{target}: holds files that are no analysis", "choose another with -o DIR")


def _table(name: str, rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    marked = schema.with_metadata({"table": name, "schema_version": SCHEMA_VERSION})
    return pa.Table.from_pylist(rows, schema=marked)


def _bytes(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    with pa.ipc.new_file(buffer, table.schema) as writer:
        writer.write_table(table)
    return buffer.getvalue()
