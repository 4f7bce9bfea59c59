"""What values may stand in a table, beside their types: a file may come from anybody."""

import json
import re
from typing import Any

import pyarrow as pa

from tasks.contract.cell import Status, digest_of
from tasks.contract.prompts import Intent, Part

LARGEST = 1e100
"""No measured number reaches it; sums of squares of smaller ones are finite."""
ID = re.compile("[0-9a-f]{16}")
WORDS: dict[tuple[str, str], frozenset[str]] = {
    ("cells", "status"): frozenset(Status),
    ("generations", "status"): frozenset(Status),
    ("generations", "set"): frozenset(Part),
    ("generations", "intent"): frozenset(Intent),
}
"""(table, column) -> the words that it may hold."""
OF_UNIT = ("generation_id", "prompts_digest", "decoding", "status", "adapter_sha256")
"""Columns that are the same in all rows of one unit of answers."""
OF_PROMPT = ("set", "intent", "category", "frame", "pair")
OF_ANSWER = ("response", "response_sha256", "n_tokens", "n_prompt_tokens", "finish_reason")
"""Columns that every answer has, and a failure has not."""


def wrong(found: pa.Table, table: str) -> str | None:
    """What is wrong with the values of a file; None if nothing is.

    Args:
        found: Its rows, or some columns of them.
        table: Their table.
    """
    for field in found.schema:
        name, chunks = field.name, found[field.name].chunks
        if pa.types.is_floating(field.type):
            if any(x is not None and not abs(x) < LARGEST for c in chunks for x in c.to_pylist()):
                return f"its {name} is no number that was measured"
        elif pa.types.is_list(field.type):
            if any(map(_has_gap, chunks)):
                return f"its {name} lacks a value"
        elif words := WORDS.get((table, name)):
            others = {x for c in chunks for x in c.to_pylist()} - words - {None}
            if others:
                return f"{name} {min(others)!r} is unknown"
    return _wrong_unit(found) if table == "generations" else None


def _has_gap(chunk: pa.ListArray) -> bool:
    """Whether an entry of a list, or a part of one, is null."""
    entries = chunk.flatten()
    parts = entries.flatten() if pa.types.is_struct(entries.type) else []
    return any(part.null_count for part in (entries, *parts))


def _wrong_unit(found: pa.Table) -> str | None:
    """What is wrong with the rows of a unit: they answer all of a set of prompts, each as often.

    The digest of the set is over all that the rows say of its prompts, in order.
    """
    if not found.num_rows:
        return "it holds no rows"
    rows = found.select([*OF_UNIT, *OF_PROMPT, "prompt_id", "sample_index", "prompt"]).to_pylist()
    first = rows[0]
    if any(row[name] != first[name] for row in rows for name in OF_UNIT):
        return "holds rows of several units"
    if not ID.fullmatch(first["generation_id"]):
        return f"generation_id {first['generation_id']!r} is none"
    samples = _samples(first["decoding"])
    if samples is None:
        return f"decoding {first['decoding']!r} is none"
    asked = [_prompt_of(row) for row in rows]
    places = [(prompt, index) for prompt in asked[::samples] for index in range(samples)]
    whole = places == [(p, row["sample_index"]) for p, row in zip(asked, rows, strict=True)]
    if not whole or digest_of(asked[::samples]) != first["prompts_digest"]:
        return "its answers are not all those of its set of prompts, or to other prompts"
    if first["status"] == Status.OK:
        lacks = next((name for name in OF_ANSWER if found[name].null_count), None)
        return f"an answer lacks its {lacks}" if lacks else None
    return None


def _prompt_of(row: dict[str, Any]) -> dict[str, Any]:
    """As `asdict` of a `Prompt`."""
    return {"id": row["prompt_id"], "text": row["prompt"]} | {k: row[k] for k in OF_PROMPT}


def _samples(decoding: str) -> int | None:
    """Answers to each prompt, by a decoding's text; None where that is none."""
    try:
        samples = json.loads(decoding)["samples"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return samples if type(samples) is int and 0 < samples < 1 << 31 else None
