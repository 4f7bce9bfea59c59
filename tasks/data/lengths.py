"""How long the texts of a cell are, for estimates. Never loads MLX.

The token ids are those of the cell. Where model or texts are not on this machine, None stands for
them, and every text counts as long as it may be.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from tasks.data.general import EncodedItems
from tasks.data.tokens import EncodedPairs, Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Tokens of one kind of work.

    Attributes:
        mean: Of all texts, or pairs with what their two texts share counted once.
        longest: The largest of them.
        total: Of all together; None where that is not known.
    """

    mean: float
    longest: int
    total: int | None = None


def of_rows(rows: Sequence[Tokens] | None, max_length: int) -> Lengths:
    """SFT texts, cut at `max_length`."""
    if rows is None:
        return Lengths(mean=max_length, longest=max_length)
    return _lengths(min(len(ids), max_length) for ids in rows)


def of_pairs(pairs: EncodedPairs | None, max_length: int) -> Lengths:
    """Pairs as one tree each: all tokens but the last of each, the common prefix once."""
    if pairs is None:
        return Lengths(mean=max_length, longest=2 * max_length)
    return _lengths(len(k.positive) + len(k.negative) - k.shared - 2 for k in pairs.kept)


def of_texts(pairs: EncodedPairs | None, max_length: int) -> Lengths:
    """The texts of pairs one by one, as they are scored."""
    if pairs is None:
        return Lengths(mean=max_length, longest=max_length)
    return _lengths(len(ids) for k in pairs.kept for ids in (k.positive, k.negative))


def of_items(items: EncodedItems | None, max_length: int) -> Lengths:
    """Items of a multiple-choice set as one tree each, as they are scored; the longest is a text.

    The context of an item is counted once.
    """
    if items is None:
        return Lengths(mean=max_length, longest=max_length)
    trees = _lengths(
        sum(map(len, one.texts)) - (len(one.texts) - 1) * min(one.shared) for one in items.kept
    )
    longest = max((len(ids) for one in items.kept for ids in one.texts), default=0)
    return replace(trees, longest=longest)


def of_prompts(rows: Sequence[Sequence[Any]]) -> Lengths:
    """Prompts as a unit asks them."""
    return _lengths(map(len, rows))


def _lengths(values: Iterable[int]) -> Lengths:
    found = list(values) or [0]
    return Lengths(mean=fmean(found), longest=max(found), total=sum(found))
