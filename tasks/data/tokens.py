"""Texts to tokens, once per cell, with special tokens as mlx-lm adds them. Never loads MLX."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.contract.cell import NodeError
from tasks.data.probe_packs import Pair
from tasks.data.rendering import chat_ids, has_template, text_ids
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
        positive = text_ids(tokenizer, pair.positive)
        negative = text_ids(tokenizer, pair.negative)
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


def render(tokenizer: Any, records: Iterable[Record], template: str | None) -> list[Tokens]:
    """Tokens of every record, whole.

    Args:
        tokenizer: From `rendering.load_tokenizer`, or mlx-lm's wrapper of one.
        records: SFT texts.
        template: `chat` or `plain`; None where all records are plain text.

    Raises:
        NodeError: The template is `chat` and the model has none, or it refuses a record.
    """
    rows = []
    for record in records:
        try:
            rows.append(_encode(tokenizer, record, template))
        except NodeError as error:
            where = f"{record.where}: " if record.where else ""
            raise NodeError(f"{where}{error}; the text: {record.text[:60]!r}") from error
    return rows


def _encode(tokenizer: Any, record: Record, template: str | None) -> Tokens:
    content = record.content
    if "text" in content or template == "plain":
        ids = text_ids(tokenizer, content.get("text") or plain_text(content))
        begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
        if begin is not None and ids[:2] == (begin, begin):
            raise _twice("begins", tokenizer.bos_token)
        if end is not None and ids[-2:] == (end, end):
            raise _twice("ends", tokenizer.eos_token)
        return ids if end is None or ids[-1:] == (end,) else (*ids, end)
    if not has_template(tokenizer):
        raise NodeError(
            "the model has no chat template; launch with --set data.template=plain, "
            "or use records with `text`"
        )
    messages = content.get("messages") or [
        {"role": "user", "content": content["prompt"]},
        {"role": "assistant", "content": content["completion"]},
    ]
    return chat_ids(tokenizer, messages, tools=content.get("tools"))


def _twice(where: str, token: str) -> NodeError:
    return NodeError(f"{where} with {token}, which the tokenizer adds by itself; remove it")


def shared_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """Tokens of the common prefix."""
    limit = min(len(first), len(second))
    if first[:limit] == second[:limit]:
        return limit
    return next(i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
