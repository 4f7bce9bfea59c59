"""Log-probabilities of probe texts, batched; identical texts are scored once."""

import hashlib
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from numpy.typing import NDArray

from tasks.contract.cell import ProbeScoreRow, ScoreRow
from tasks.data.probe_packs import Pair
from tasks.data.tokens import EncodedPair, EncodedPairs, Tokens
from tasks.model.keeper import Pieces
from tasks.passes.budget import LOGITS_PER_BATCH, TOKENS_PER_BATCH
from tasks.passes.costs import Load, load_of_text, load_of_trees
from tasks.passes.layout import Chunk, pack
from tasks.passes.losses import pad, token_cross_entropy
from tasks.passes.packed import Packed
from tasks.passes.trie import Floats, Term, group, grow
from tasks.scoring.metrics import summarise


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """An evaluation.

    Attributes:
        scores, probe_scores: Rows of the tables of those names.
        load: What went through the model.
        resumed: Passes that an earlier attempt had made.
        passes: All passes.
        items: Rows of the items of a multiple-choice set.
    """

    scores: tuple[ScoreRow, ...]
    probe_scores: tuple[ProbeScoreRow, ...]
    load: Load
    resumed: int
    passes: int
    items: tuple[ProbeScoreRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Passes:
    """The passes of one scoring, so that none of them runs twice.

    Attributes:
        owner: Names what passes are of: an adapter, a path and a precision.
        pieces: Name of a pass -> its losses, float64.
    """

    owner: str = ""
    pieces: Pieces[Floats] = field(default_factory=Pieces)

    def name(self, *content: Any) -> str:
        """Digest of the owner and of the arrays that go through the model."""
        digest = hashlib.sha256(self.owner.encode())
        for array in map(np.asarray, content):
            digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
        return digest.hexdigest()

    def add(self, name: str, losses: Any) -> Floats:
        """Losses of a pass, computed or from an earlier attempt, as float64."""
        values = np.ascontiguousarray(losses, np.float64)
        self.pieces.add(name, values)
        return values


def score(
    model: nn.Module,
    pairs: EncodedPairs,
    split: dict[str, str],
    vocabulary: int,
    packed: Packed | None = None,
    kept: Passes | None = None,
) -> Scored:
    """Score pairs and summarise them by behaviour and split.

    Args:
        model: With or without an adapter, in eval mode.
        pairs: Encoded pairs, and those excluded with a reason.
        split: Pair id -> `train` or `heldout`.
        vocabulary: Tokens the model knows.
        packed: The same model, ready for packed passes; None for plain ones.
        kept: Passes that need not run, and what is told of those that do.
    """
    kept = kept or Passes()
    distinct = {t for p in pairs.kept for t in (p.positive, p.negative)}
    logprobs, load = logprobs_of(model, distinct, vocabulary, packed, kept)
    rows = [pair_row(p, split[p.pair.id], logprobs) for p in pairs.kept]
    rows += [excluded_row(pair, split[pair.id], reason) for pair, reason in pairs.excluded]
    rows.sort(key=lambda r: (r.behavior, r.split, r.probe_id))
    groups: dict[tuple[str, str], list[ProbeScoreRow]] = {}
    for row in rows:
        groups.setdefault((row.behavior, row.split), []).append(row)
    scores = (summarise(behavior, part, group) for (behavior, part), group in groups.items())
    return Scored(
        scores=tuple(scores),
        probe_scores=tuple(rows),
        load=load,
        resumed=kept.pieces.taken,
        passes=len(kept.pieces.done),
    )


def logprobs_of(
    model: nn.Module,
    distinct: Collection[Tokens],
    vocabulary: int,
    packed: Packed | None,
    kept: Passes,
) -> tuple[dict[Tokens, Floats], Load]:
    """Log-probability of every token but the first, by text, nats; and what that took.

    The arguments are as in `score`; texts that are given together share passes.
    """
    texts = sorted(distinct, key=lambda text: (len(text), text))
    if packed:
        return packed_logprobs(packed, texts, kept)
    load = sum(map(load_of_text, texts), Load())
    return token_logprobs(model, texts, vocabulary, kept), load


def token_logprobs(
    model: nn.Module, texts: list[Tokens], vocabulary: int, kept: Passes
) -> dict[Tokens, NDArray[np.float64]]:
    """Log-probability of every token but the first, by text, nats.

    Args:
        model: A causal language model.
        texts: Distinct, each at least two tokens, ordered by length to spare padding.
        vocabulary: Tokens the model knows; bounds the batch.
        kept: As in `score`.
    """
    found: dict[Tokens, NDArray[np.float64]] = {}
    for together in in_batches(texts, vocabulary):
        batch = pad(together)
        name = kept.name(batch.tokens, batch.mask)
        losses = kept.pieces.earlier.get(name)
        values = kept.add(name, token_cross_entropy(model, batch) if losses is None else losses)
        mx.clear_cache()  # the next batch has another shape, for which its buffers are no use
        for text, row in zip(together, values, strict=True):
            found[text] = -row[: len(text) - 1]
    return found


def in_batches(texts: Sequence[Tokens], logits: int) -> list[list[Tokens]]:
    """Texts in their order, padded to as many tokens at once as memory allows.

    Args:
        texts: Ordered by length to spare padding.
        logits: Numbers that a pass keeps for each token.
    """
    limit = min(TOKENS_PER_BATCH, max(1, LOGITS_PER_BATCH // logits))
    batches: list[list[Tokens]] = []
    for text in texts:
        if batches and (len(batches[-1]) + 1) * len(text) <= limit:
            batches[-1].append(text)
        else:
            batches.append([text])
    return batches


def packed_logprobs(
    packed: Packed, texts: list[Tokens], kept: Passes
) -> tuple[dict[Tokens, NDArray[np.float64]], Load]:
    """As `token_logprobs`, with shared beginnings computed once; and the tokens that took."""
    number = {text: i for i, text in enumerate(texts)}
    trees = [
        grow(Term(text, number[text], 1.0) for text in together)
        for together in group(texts, packed.budget)
    ]
    found: dict[Tokens, NDArray[np.float64]] = {}
    for chunk, values in _one_behind(packed, pack(trees, packed.budget), kept):
        for tree, losses in chunk.by_tree(values):
            for i, weights in zip(tree.functionals, tree.weights, strict=True):
                found[texts[i]] = -losses[weights > 0]
    return found, load_of_trees(trees)


def _one_behind(
    packed: Packed, chunks: list[Chunk], kept: Passes
) -> Iterator[tuple[Chunk, Floats]]:
    """Losses of each chunk, read while the next one is under way."""
    waiting: tuple[Chunk, str, Any] | None = None
    for chunk in chunks:
        name = kept.name(chunk.tokens, chunk.positions, chunk.ends, chunk.rows, chunk.targets)
        losses: Any = kept.pieces.earlier.get(name)
        if losses is None:
            losses = packed.losses(chunk)
            if isinstance(losses, mx.array):
                mx.async_eval(losses)  # type: ignore[no-untyped-call]  # MLX has no stub
        if waiting:
            yield waiting[0], kept.add(*waiting[1:])
            mx.clear_cache()  # as in `token_logprobs`
        waiting = chunk, name, losses
    if waiting:
        yield waiting[0], kept.add(*waiting[1:])


def pair_row(
    pair: EncodedPair, split: str, logprobs: dict[Tokens, NDArray[np.float64]]
) -> ProbeScoreRow:
    """The row of a pair of which both texts were scored."""
    positive, negative = logprobs[pair.positive], logprobs[pair.negative]
    if not (np.isfinite(positive).all() and np.isfinite(negative).all()):
        return excluded_row(pair.pair, split, "nonfinite")
    start = max(pair.shared - 1, 0)  # entry i scores token i + 1
    tail_positive, tail_negative = positive[start:], negative[start:]
    both = len(tail_positive) > 0 and len(tail_negative) > 0
    return ProbeScoreRow(
        behavior=pair.pair.behavior,
        split=split,
        probe_id=pair.pair.id,
        cluster=pair.pair.cluster or None,
        status="ok",
        logprob_positive_sum=math.fsum(positive),
        logprob_negative_sum=math.fsum(negative),
        logprob_positive_mean=_mean(positive),
        logprob_negative_mean=_mean(negative),
        n_tokens_positive=len(positive),
        n_tokens_negative=len(negative),
        gap=_mean(positive) - _mean(negative),
        n_completion_positive=len(tail_positive),
        n_completion_negative=len(tail_negative),
        gap_completion=_mean(tail_positive) - _mean(tail_negative) if both else None,
    )


def excluded_row(pair: Pair, split: str, reason: str) -> ProbeScoreRow:
    """The row of a pair without numbers."""
    return ProbeScoreRow(
        behavior=pair.behavior,
        split=split,
        probe_id=pair.id,
        status=reason,
        cluster=pair.cluster or None,
    )


def _mean(values: NDArray[np.float64]) -> float:
    return math.fsum(values) / len(values)
