"""How far a trained model has moved from its base on texts that no probe is about."""

import math
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn

from tasks.contract.cell import General
from tasks.data.tokens import Tokens
from tasks.model.model import adapter_off
from tasks.passes.losses import Batch, pad
from tasks.scoring.score import in_batches

COPIES = 8
"""Arrays of the logits' size that are in memory at once, with some to spare."""


def moved(model: nn.Module, texts: Sequence[Tokens], vocabulary: int) -> General:
    """Cross-entropy with and without the adapter, and the divergence of the two, over all tokens.

    Plain passes, for the divergence needs the whole distribution. A number that is not finite is
    None, as is every number without texts.

    Args:
        model: In eval mode, with or without an adapter.
        texts: Distinct, each at least two tokens, ordered by length.
        vocabulary: Tokens the model knows.
    """
    sums, tokens = np.zeros(3), 0
    for together in in_batches(texts, COPIES * vocabulary):
        batch = pad(together)
        with adapter_off(model):
            base = _log_probabilities(model, batch)
        mine = _log_probabilities(model, batch)
        targets = batch.tokens[:, 1:, None]
        ce, ce_base = (-mx.take_along_axis(p, targets, 2)[..., 0] for p in (mine, base))
        kl = (mx.exp(mine) * (mine - base)).sum(-1)
        sums += [float((x * batch.mask).sum()) for x in (ce, ce_base, kl)]
        tokens += sum(map(len, together)) - len(together)
        mx.clear_cache()  # the next batch has another shape
    means = [s / tokens if tokens and math.isfinite(s) else None for s in sums.tolist()]
    return General(ce=means[0], ce_base=means[1], kl=means[2])


def _log_probabilities(model: nn.Module, batch: Batch) -> Any:
    """(B, T - 1, V) log-probabilities of every next token, nats, float32."""
    logits = model(batch.tokens[:, :-1]).astype(mx.float32)
    return logits - mx.logsumexp(logits, axis=-1, keepdims=True)
