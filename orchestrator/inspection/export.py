"""Every table of a results folder as one Parquet or CSV file."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from orchestrator.errors import writing
from orchestrator.results.files import write_whole
from orchestrator.results.schema import TABLES
from orchestrator.results.store import Store
from orchestrator.visible import inert, visible_lines


def export(store: Store, kind: str, target: Path) -> list[Path]:
    """Write every table as one file each.

    Args:
        store: What to export.
        kind: `parquet` or `csv`; in CSV, maps become JSON texts and units are in the header file.
        target: Folder, made if need be.

    Raises:
        UserError: A table is corrupted, or the folder cannot be written to.
    """
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
    written = []
    for name in TABLES:
        buffer = io.BytesIO()
        if kind == "parquet":
            pa.parquet.write_table(store.read(name), buffer)
        else:
            pa.csv.write_csv(_flat(store.read(name)), buffer)
        written.append(target / f"{name}.{kind}")
        write_whole(written[-1], buffer.getvalue())
    if kind == "csv":
        lines = ["table,column,unit"]
        for name, schema in TABLES.items():
            for column in schema:
                unit = (column.metadata or {}).get(b"unit", b"").decode()
                lines.append(f"{name},{column.name},{unit}")
        written.append(target / "units.csv")
        write_whole(written[-1], ("\n".join(lines) + "\n").encode())
    return written


def _flat(table: pa.Table) -> pa.Table:
    """The table with texts where CSV has no type: lists and maps as JSON, times as ISO 8601.

    Texts that a spreadsheet would run as formulas become inert.
    """
    for i, column in enumerate(table.schema):
        if pa.types.is_nested(column.type):
            values = table.column(i).to_pylist()
            if pa.types.is_map(column.type):  # pyarrow gives a map as a list of pairs
                values = [None if v is None else dict(v) for v in values]
            texts = [None if v is None else json.dumps(v, sort_keys=True) for v in values]
            table = table.set_column(i, column.name, pa.array(texts, pa.string()))
        elif pa.types.is_timestamp(column.type):
            texts = pc.strftime(table.column(i), format="%Y-%m-%dT%H:%M:%SZ")
            table = table.set_column(i, column.name, texts)
        elif pa.types.is_string(column.type) or pa.types.is_dictionary(column.type):
            texts = [
                None if v is None else inert(visible_lines(v)) for v in table.column(i).to_pylist()
            ]
            table = table.set_column(i, column.name, pa.array(texts, pa.string()))
    return table
