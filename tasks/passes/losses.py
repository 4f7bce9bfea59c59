"""The loss, as plain functions of (model, arrays).

    L = L_SFT + rho_weight * mean over pairs of max(0, CE(x+) - CE(x-) + margin)

A text's CE is the mean over its tokens but the first. L_SFT is the mean over all such tokens of
the batch, as in mlx-lm.
"""

from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from mlx import nn

from tasks.data.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts padded to one length.

    Attributes:
        tokens: (B, T) int32.
        mask: (B, T - 1) float32; 1 where the next token is scored, at least once per row.
    """

    tokens: mx.array
    mask: mx.array


def pad(rows: list[Tokens]) -> Batch:
    """Right-pad texts of at least two tokens each; a causal model never looks at the padding."""
    width = max(len(row) for row in rows)
    tokens = np.zeros((len(rows), width), np.int32)
    mask = np.zeros((len(rows), width - 1), np.float32)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = row
        mask[i, : len(row) - 1] = 1
    return Batch(mx.array(tokens), mx.array(mask))


def token_cross_entropy(model: nn.Module, batch: Batch) -> mx.array:
    """(B, T - 1) float32, nats; 0 at padding."""
    logits = model(batch.tokens[:, :-1]).astype(mx.float32)
    losses: mx.array = nn.losses.cross_entropy(logits, batch.tokens[:, 1:]) * batch.mask
    return losses


def sft_loss(model: nn.Module, batch: Batch) -> mx.array:
    """Mean over the batch's tokens, nats per token; a scalar."""
    return token_cross_entropy(model, batch).sum() / batch.mask.sum()


def text_cross_entropy(model: nn.Module, batch: Batch) -> mx.array:
    """(B,) mean over each text's tokens, nats per token."""
    return token_cross_entropy(model, batch).sum(axis=1) / batch.mask.sum(axis=1)


def hinges(model: nn.Module, batch: Batch, margin: float) -> mx.array:
    """(P,) max(0, CE(x+) - CE(x-) + margin) of P pairs, nats per token.

    Args:
        model: A causal language model.
        batch: 2 P texts, the positives first, then the negatives in the same order.
        margin: Separation asked for, nats per token.
    """
    positive, negative = mx.split(text_cross_entropy(model, batch), 2)
    return mx.maximum(positive - negative + margin, 0.0)


def objective(
    model: nn.Module, sft: Batch | None, pairs: Batch | None, rho_weight: float, margin: float
) -> tuple[mx.array, mx.array, mx.array]:
    """The loss of one micro-step.

    Returns:
        loss: Scalar.
        ce: Scalar L_SFT; 0 without `sft`.
        hinge: (P,) one per pair; empty without `pairs`.
    """
    ce = sft_loss(model, sft) if sft is not None else mx.array(0.0)
    hinge = hinges(model, pairs, margin) if pairs is not None else mx.zeros((0,))
    loss = ce + rho_weight * hinge.mean() if pairs is not None else ce
    return loss, ce, hinge
