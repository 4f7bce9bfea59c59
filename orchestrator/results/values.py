"""What values may stand in a table, beside their types: a file may come from anybody."""

import json
import re
from collections.abc import Callable
from functools import cache, partial

import pyarrow as pa

from orchestrator.results.schema import TABLES
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
    checks = _checks(table)
    for place, name in enumerate(found.column_names):
        if name in checks:
            column = found.column(place)
            values = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
            if problem := checks[name](values):
                return f"its {name} {problem}"
    return _wrong_unit(found) if table == "generations" else None


@cache
def _checks(table: str) -> dict[str, Callable[[pa.Array], str | None]]:
    """Column -> what is wrong with its values, where not all of its type may stand."""
    found: dict[str, Callable[[pa.Array], str | None]] = {}
    for field in TABLES[table]:
        if pa.types.is_floating(field.type):
            found[field.name] = _no_number
        elif pa.types.is_list(field.type):
            found[field.name] = _gap
        elif words := WORDS.get((table, field.name)):
            found[field.name] = partial(_no_word, words)
    return found


def _no_number(values: pa.Array) -> str | None:
    odd = any(x is not None and not abs(x) < LARGEST for x in values.to_pylist())
    return "is no number that was measured" if odd else None


def _no_word(words: frozenset[str], values: pa.Array) -> str | None:
    others = set(values.to_pylist()) - words - {None}
    return f"{min(others)!r} is unknown" if others else None


def _gap(lists: pa.ListArray) -> str | None:
    """Whether an entry of a list, or a part of one, is null."""
    entries = lists.values  # `flatten` loads pyarrow.compute
    parts = entries.flatten() if pa.types.is_struct(entries.type) else []
    return "lacks a value" if any(part.null_count for part in (entries, *parts)) else None


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
    asked = [  # as `asdict` of a `Prompt`
        {"id": row["prompt_id"], "text": row["prompt"]} | {k: row[k] for k in OF_PROMPT}
        for row in rows
    ]
    places = [(prompt, index) for prompt in asked[::samples] for index in range(samples)]
    whole = places == [(p, row["sample_index"]) for p, row in zip(asked, rows, strict=True)]
    if not whole or digest_of(asked[::samples]) != first["prompts_digest"]:
        return "its answers are not all those of its set of prompts, or to other prompts"
    if first["status"] == Status.OK:
        lacks = next((name for name in OF_ANSWER if found[name].null_count), None)
        return f"an answer lacks its {lacks}" if lacks else None
    return None


def _samples(decoding: str) -> int | None:
    """Answers to each prompt, by a decoding's text; None where that is none."""
    try:
        samples = json.loads(decoding)["samples"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return samples if type(samples) is int and 0 < samples < 1 << 31 else None
