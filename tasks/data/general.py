"""General texts, about no probe: a neutral set of the project's own, and unused SFT texts."""

from collections.abc import Iterable
from typing import Any

from tasks import starter
from tasks.contract.cell import NodeError
from tasks.data.limits import Limits, fits
from tasks.data.rendering import text_ids
from tasks.data.sft import Record
from tasks.data.tokens import Tokens, render
from tasks.sources.jsonl import read_objects

LONGEST = 32
"""Tokens of a text that count; the measurement is to cost little beside a training."""


def neutral_texts(tokenizer: Any, limits: Limits, max_length: int) -> tuple[Tokens, ...]:
    """The project's own set as token ids, cut; without texts that the model cannot be fed."""
    rows = (text_ids(tokenizer, str(row["text"])) for _, row in read_objects(starter.NEUTRAL))
    return _usable(rows, limits, max_length)


def unused_texts(
    tokenizer: Any,
    records: Iterable[Record],
    template: str | None,
    limits: Limits,
    max_length: int,
) -> tuple[Tokens, ...]:
    """SFT texts as token ids, rendered as those of the training, cut.

    One that the template refuses, or that the model cannot be fed, is left out: it is none of the
    cell's texts, and must not end the cell.
    """
    rows: list[Tokens] = []
    for record in records:
        try:
            rows += render(tokenizer, (record,), template)
        except NodeError:
            continue
    return _usable(rows, limits, max_length)


def _usable(rows: Iterable[Tokens], limits: Limits, max_length: int) -> tuple[Tokens, ...]:
    cut = (row[: min(LONGEST, max_length)] for row in rows)
    return tuple(sorted({r for r in cut if fits(r, limits)}, key=lambda r: (len(r), r)))
