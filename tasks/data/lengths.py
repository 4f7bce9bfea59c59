"""How long the texts of a cell are, for estimates. Never loads MLX."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean

from tokenizers import Tokenizer

from tasks.data.probe_packs import Pair
from tasks.data.sft import Record, plain_text
from tasks.data.tokens import shared_prefix

TEMPLATE = 64
"""Tokens that a chat template adds, at most, as a rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Tokens of one kind of work.

    Attributes:
        mean: Of all texts, or pairs with what their two texts share counted once.
        longest: The largest of them.
    """

    mean: float
    longest: int


def of_records(folder: Path, records: Iterable[Record], max_length: int) -> Lengths:
    """SFT texts, cut at `max_length`; headings stand for whatever template there is."""
    texts = [plain_text(r.content) if "text" not in r.content else r.text for r in records]
    found = _ids(folder, texts)
    if found is None:
        return Lengths(mean=max_length, longest=max_length)
    return _lengths(min(len(ids), max_length) for ids in found)


def of_pairs(folder: Path, pairs: Iterable[Pair], max_length: int) -> Lengths:
    """Pairs as one tree each; those that do not fit are left out, as in a cell."""
    kept = list(pairs)
    positive = _ids(folder, [p.positive for p in kept])
    negative = _ids(folder, [p.negative for p in kept])
    if positive is None or negative is None:
        return Lengths(mean=max_length, longest=2 * max_length)
    return _lengths(
        _together(a, b)
        for a, b in zip(positive, negative, strict=True)
        if max(len(a), len(b)) <= max_length
    )


def of_texts(folder: Path, pairs: Iterable[Pair], max_length: int) -> Lengths:
    """The texts of pairs one by one, as they are scored."""
    texts = [t for p in pairs for t in (p.positive, p.negative)]
    found = _ids(folder, texts)
    if found is None:
        return Lengths(mean=max_length, longest=max_length)
    return _lengths(len(ids) for ids in found if len(ids) <= max_length)


def of_prompts(folder: Path, texts: Iterable[str]) -> Lengths:
    """Prompts, with what a chat template adds, roughly; letters where nobody can count tokens."""
    kept = list(texts)
    found = _ids(folder, kept)
    sizes = [len(t) for t in kept] if found is None else [len(ids) for ids in found]
    return _lengths(size + TEMPLATE for size in sizes)


def _lengths(values: Iterable[int]) -> Lengths:
    found = list(values) or [0]
    return Lengths(mean=fmean(found), longest=max(found))


def _together(first: list[int], second: list[int]) -> int:
    """Tokens that a model must be fed: all but the last of each, the common prefix once."""
    return len(first) + len(second) - shared_prefix(first, second) - 2


def _ids(folder: Path, texts: list[str]) -> list[list[int]] | None:
    """Token ids; None where the model's tokenizer is in another format."""
    tokenizer = _tokenizer(folder)
    if tokenizer is None:
        return None
    return [e.ids for e in tokenizer.encode_batch(texts)]


@cache
def _tokenizer(folder: Path) -> Tokenizer | None:
    path = folder / "tokenizer.json"
    return Tokenizer.from_file(str(path)) if path.is_file() else None
