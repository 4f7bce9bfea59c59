"""What is measured of a model beside probes: general texts, and multiple-choice items.

General texts are a neutral set of the project's own, and unused SFT texts. Multiple-choice sets are
files of people, in two forms in which tasks of lm-evaluation-harness have their documents.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from tasks import starter
from tasks.contract.cell import NodeError, digest_of
from tasks.data.limits import Limits, demand_items, fits
from tasks.data.rendering import text_ids
from tasks.data.sft import Record
from tasks.data.tokens import Tokens, render, shared_prefix
from tasks.sources.declared import file_of
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One question with several choices.

    Attributes:
        id: Unique in its set.
        context: What stands before each choice, and a space between them.
        choices: At least two.
        right: Place of the right one.
    """

    id: str
    context: str
    choices: tuple[str, ...]
    right: int

    @property
    def texts(self) -> tuple[str, ...]:
        """Whole texts, one a choice."""
        return tuple(f"{self.context} {choice}" for choice in self.choices)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedItem:
    """An item as tokens.

    Attributes:
        item: Where it came from.
        texts: Token ids of its whole texts.
        shared: Tokens that each of them has of the context alone: what follows is the choice.
    """

    item: Item
    texts: tuple[Tokens, ...]
    shared: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedItems:
    """Items that can be scored, and why the others cannot.

    Attributes:
        kept: In the order given.
        excluded: (item, reason).
    """

    kept: tuple[EncodedItem, ...] = ()
    excluded: tuple[tuple[Item, str], ...] = ()


def items_digest(items: Sequence[Item]) -> str:
    """sha256 over the items, in order."""
    return digest_of([astuple(item) for item in items])


def load_items(name: str, *, download: bool) -> tuple[Item, ...]:
    """All items of a multiple-choice set.

    Args:
        name: As `file_of` takes it.
        download: Likewise.

    Raises:
        NotHereError: As `file_of`.
        NodeError: The file is missing or malformed, or has an id twice.
    """
    path = file_of(name, download=download)
    found = [(number, _item(path, number, row)) for number, row in read_objects(path)]
    first: dict[str, int] = {}
    for number, item in found:
        if first.setdefault(item.id, number) != number:
            where = f"{path}:{number}: id {item.id!r}"
            raise NodeError(f"{where} occurs before, at line {first[item.id]}")
    return tuple(item for _, item in found)


def encode_items(
    tokenizer: Any, items: Iterable[Item], max_length: int, limits: Limits
) -> EncodedItems:
    """Tokenise all texts of every item.

    Raises:
        NodeError: A model cannot be fed a text, or every item is longer than `max_length`.
    """
    kept, excluded = [], []
    for item in items:
        context = text_ids(tokenizer, item.context)
        texts = tuple(text_ids(tokenizer, text) for text in item.texts)
        if max(map(len, texts)) > max_length:
            excluded.append((item, "too_long"))
        elif min(map(len, texts)) < 2:
            excluded.append((item, "too_short"))
        else:
            shared = tuple(shared_prefix(context, ids) for ids in texts)
            kept.append(EncodedItem(item=item, texts=texts, shared=shared))
    demand_items(
        (
            (k.item.id, text, ids)
            for k in kept
            for text, ids in zip(k.item.texts, k.texts, strict=True)
        ),
        limits,
    )
    if not kept:
        raise NodeError(f"none of its items fits into {max_length} tokens; raise train.max_length")
    return EncodedItems(kept=tuple(kept), excluded=tuple(excluded))


def _item(path: Path, number: int, row: Mapping[str, Any]) -> Item:
    where, name = f"{path}:{number}", row.get("id", number)
    if type(name) not in (str, int) or not str(name).strip():
        raise NodeError(f'{where}: "id" must be a text or a whole number, got {name!r}')
    if "query" in row:
        context, choices, right = row["query"], row.get("choices"), row.get("gold")
        said = '"gold" must be the place of the right choice, from 0'
    elif "question" in row:
        context = f"Question: {row['question']}\nAnswer:" if _text(row["question"]) else None
        given = row.get("choices")
        given = given if isinstance(given, Mapping) else {}
        choices, labels, key = given.get("text"), given.get("label"), row.get("answerKey")
        if not isinstance(choices, list) or not isinstance(labels, list):
            raise NodeError(f'{where}: "choices" must hold the lists "text" and "label"')
        if len(labels) != len(choices) or len(set(map(str, labels))) < len(labels):
            raise NodeError(f'{where}: "choices" must have a label of its own for every text')
        names = [str(label) for label in labels]
        right = names.index(str(key)) if str(key) in names else None
        said = f'"answerKey" must be one of the labels {", ".join(map(str, labels))}'
        said += f", got {key!r}"
    else:
        known = "question, choices and answerKey; or query, choices and gold"
        raise NodeError(f"{where}: expected {known}; got {', '.join(sorted(row)) or 'nothing'}")
    if not _text(context):
        raise NodeError(f"{where}: the question must be a non-empty text")
    if not isinstance(choices, list) or len(choices) < 2 or not all(map(_text, choices)):
        raise NodeError(f'{where}: "choices" must be two or more non-empty texts')
    if type(right) is not int or not 0 <= right < len(choices):
        raise NodeError(f"{where}: {said}")
    return Item(id=str(name), context=str(context), choices=tuple(choices), right=right)


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
