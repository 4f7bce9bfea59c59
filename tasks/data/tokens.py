"""Texts to tokens, once per cell, with special tokens as mlx-lm adds them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mlx_lm.tuner.datasets import ChatDataset, CompletionsDataset, TextDataset

from tasks.contract.cell import NodeError
from tasks.data.lengths import shared_prefix
from tasks.data.probe_packs import Pair
from tasks.data.sft import Record, plain_text

Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """A pair as tokens.

    Attributes:
        pair: Where it came from.
        positive, negative: Token ids, both at most max_length long.
    """

    pair: Pair
    positive: Tokens
    negative: Tokens

    @property
    def shared(self) -> int:
        """Tokens of the common prefix."""
        return shared_prefix(self.positive, self.negative)


@dataclass(frozen=True, slots=True)
class EncodedPairs:
    """Pairs that can be scored, and why the others cannot.

    Attributes:
        kept: In the order given.
        excluded: (pair, reason); a cut-off answer is no answer.
    """

    kept: tuple[EncodedPair, ...]
    excluded: tuple[tuple[Pair, str], ...]

    @property
    def reasons(self) -> dict[str, int]:
        """Reason -> pairs."""
        return dict(Counter(reason for _, reason in self.excluded))


def encode_pairs(tokenizer: Any, pairs: Iterable[Pair], max_length: int) -> EncodedPairs:
    """Tokenise both texts of every pair."""
    kept: list[EncodedPair] = []
    excluded: list[tuple[Pair, str]] = []
    for pair in pairs:
        positive = tuple(tokenizer.encode(pair.positive))
        negative = tuple(tokenizer.encode(pair.negative))
        if reason := _unfit(positive, negative, max_length):
            excluded.append((pair, reason))
        else:
            kept.append(EncodedPair(pair, positive, negative))
    return EncodedPairs(tuple(kept), tuple(excluded))


def _unfit(positive: Tokens, negative: Tokens, max_length: int) -> str | None:
    if max(len(positive), len(negative)) > max_length:
        return "too_long"
    if min(len(positive), len(negative)) < 2:
        return "too_short"
    return "degenerate" if positive == negative else None


def encode_records(
    tokenizer: Any, records: Iterable[Record], template: str | None, max_length: int
) -> tuple[list[Tokens], int]:
    """Tokens of every record cut at `max_length`, and how many were cut.

    Raises:
        NodeError: The template is `chat` and the model has none.
    """
    rows = [tuple(_encode(tokenizer, record, template)) for record in records]
    return [row[:max_length] for row in rows], sum(len(row) > max_length for row in rows)


def _encode(tokenizer: Any, record: Record, template: str | None) -> list[int]:
    content = record.content
    if "text" in content:
        data = TextDataset([], tokenizer)
    elif template == "plain":
        data, content = TextDataset([], tokenizer), {"text": plain_text(content)}
    elif not getattr(tokenizer, "chat_template", None):
        raise NodeError(
            "the model has no chat template; launch with --set data.template=plain, "
            "or use records with `text`"
        )
    elif "messages" in content:
        data = ChatDataset([], tokenizer)
    else:
        data = CompletionsDataset([], tokenizer, "prompt", "completion", mask_prompt=False)
    tokens: list[int] = data.process(content)[0]
    return tokens
