"""What a model can be fed: token ids that it has rows for, and texts within its learned positions.

MLX reads past the end of a table without an error and returns whatever memory holds there, so that
a text beyond a limit would be scored with other numbers each time. Driver and cell both ask here.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tasks.contract.cell import NodeError
from tasks.data.sft import Record
from tasks.data.tokens import EncodedPairs, Tokens

_POSITIONS = re.compile(r"(^|\.)(wpe|\w*position\w*)\.weight$")
TOKENS = re.compile(r"(^|\.)(wte|\w*embed\w*)\.weight$")
_OTHER_SENSES = re.compile(r"vision|visual|image|audio|patch")
SHOWN = 60
"""Characters of a text in a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes of a model's tables; None where it has none that is known.

    Attributes:
        vocabulary: Rows of the token embedding.
        positions: Rows of the table of learned positions; None for rotary positions, too.
    """

    vocabulary: int | None
    positions: int | None


def limits_of(shapes: Mapping[str, Sequence[int]]) -> Limits:
    """The limits of a model from its tensors, of its files or as loaded: name -> shape."""
    own = {k: v[0] for k, v in shapes.items() if len(v) > 1 and not _OTHER_SENSES.search(k)}
    positions = [rows for name, rows in own.items() if _POSITIONS.search(name)]
    tokens = [r for n, r in own.items() if TOKENS.search(n) and not _POSITIONS.search(n)]
    return Limits(vocabulary=max(tokens, default=None), positions=min(positions, default=None))


def demand_records(
    records: Sequence[Record], rows: Sequence[Tokens], limits: Limits, max_length: int
) -> None:
    """Every SFT text, cut at `max_length`, is within the limits and has a token to predict.

    Raises:
        NodeError: Some are not; it names the first of them and how many there are.
    """
    cut = (row[:max_length] for row in rows)
    texts = ((r.where or "an SFT text", r.text, ids) for r, ids in zip(records, cut, strict=True))
    _demand(texts, limits)


def demand_pairs(pairs: EncodedPairs, limits: Limits) -> None:
    """Every text of pairs that are kept is within the limits.

    Raises:
        NodeError: Some are not.
    """
    texts = (
        (f"probe {k.pair.id}", text, ids)
        for k in pairs.kept
        for text, ids in ((k.pair.positive, k.positive), (k.pair.negative, k.negative))
    )
    _demand(texts, limits)


def demand_items(texts: Iterable[tuple[str, str, Tokens]], limits: Limits) -> None:
    """Every text of a multiple-choice set is within the limits.

    Args:
        texts: Id of an item, a text of it and that text's token ids.
        limits: Of the model.

    Raises:
        NodeError: Some are not.
    """
    _demand(((f"item {name}", text, ids) for name, text, ids in texts), limits)


def fits(ids: Tokens, limits: Limits) -> bool:
    """Whether a model can be fed a text, which has a token to predict."""
    return bool(ids) and _complaint(ids, limits, None) is None


def demand_prompts(
    prompts: Iterable[tuple[str, str, Tokens]], limits: Limits, max_tokens: int
) -> None:
    """Every prompt and the answer to it are within the limits.

    Args:
        prompts: Id, text and token ids of each.
        limits: Of the model.
        max_tokens: Tokens of an answer.

    Raises:
        NodeError: Some are not.
    """
    _demand(((f"prompt {name}", text, ids) for name, text, ids in prompts), limits, max_tokens)


def _demand(
    texts: Iterable[tuple[str, str, Tokens]], limits: Limits, answer: int | None = None
) -> None:
    found: list[str] = []
    for where, text, ids in texts:
        complaint = _complaint(ids, limits, answer)
        if complaint:
            shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
            found.append(f"{where}: {complaint}; the text: {shown!r}")
    if found:
        more = f" (and {len(found) - 1} more like it)" if len(found) > 1 else ""
        raise NodeError(found[0] + more)


def _complaint(ids: Tokens, limits: Limits, answer: int | None) -> str | None:
    if answer is None and len(ids) < 2:
        return f"{len(ids)} token, so that there is none to predict; lengthen or remove it"
    if limits.vocabulary is not None and max(ids) >= limits.vocabulary:
        return (
            f"token id {max(ids)} has no row in the model's embedding, which has "
            f"{limits.vocabulary} rows; the tokenizer has tokens that the model does not know"
        )
    if limits.positions is None or len(ids) + (answer or 0) <= limits.positions:
        return None
    if answer is None:
        return (
            f"{len(ids)} tokens, the model has {limits.positions} learned positions; set "
            f"train.max_length to at most {limits.positions}"
        )
    return (
        f"{len(ids)} tokens and an answer of up to {answer}, the model has {limits.positions} "
        "learned positions; lower stress.max_tokens or shorten the prompt"
    )
