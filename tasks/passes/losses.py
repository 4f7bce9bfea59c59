"""The loss, and the hinge that every way of computing it calls.

    L = L_SFT + rho_weight * mean over pairs of max(0, CE(x+) - CE(x-) + margin)

CE of a text is the mean cross-entropy of its tokens but the first, in nats per token. L_SFT is the
mean over all such tokens of a micro-step's texts, as in mlx-lm.

`objective` is L of one micro-step, computed plainly: texts padded into batches. `Goal` is the mean
of L over the micro-steps of one optimizer step, in the form that packed passes need.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from numpy.typing import NDArray

from tasks.data.tokens import Tokens
from tasks.passes.vocabulary_loss import cross_entropy


def hinge(gaps: Any, margin: float) -> Any:
    """max(0, CE(x+) - CE(x-) + margin) of each pair, nats per token.

    Args:
        gaps: (P,) CE(x+) - CE(x-); an MLX array where a gradient is wanted, else a numpy array.
        margin: Separation asked for, nats per token.

    Returns:
        (P,) of the same kind.
    """
    return _library_of(gaps).maximum(gaps + margin, 0.0)


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
    """(B, T - 1) float32 cross-entropy of every token but the first, nats; 0 at padding."""
    losses, _ = cross_entropy(model(batch.tokens[:, :-1]), batch.tokens[:, 1:])
    return losses * batch.mask


def sft_loss(model: nn.Module, batch: Batch) -> mx.array:
    """Scalar mean over the batch's tokens, nats per token."""
    return token_cross_entropy(model, batch).sum() / batch.mask.sum()


def text_cross_entropy(model: nn.Module, batch: Batch) -> mx.array:
    """(B,) CE of each text, nats per token."""
    return token_cross_entropy(model, batch).sum(axis=1) / batch.mask.sum(axis=1)


def objective(
    model: nn.Module, sft: Batch | None, pairs: Batch | None, rho_weight: float, margin: float
) -> tuple[mx.array, mx.array, mx.array]:
    """L of one micro-step, differentiable in the model's trainable parameters.

    Args:
        model: A causal language model.
        sft: SFT texts; None without an SFT loss.
        pairs: 2 P texts, the positives first, then the negatives in the same order; None without
            a contrastive term.
        rho_weight: Multiplies the mean hinge.
        margin: Separation asked for, nats per token.

    Returns:
        loss: Scalar.
        ce: Scalar L_SFT; 0 without `sft`.
        hinges: (P,) one per pair; empty without `pairs`.
    """
    ce = sft_loss(model, sft) if sft is not None else mx.array(0.0)
    if pairs is None:
        return ce, ce, mx.zeros((0,))
    positive, negative = mx.split(text_cross_entropy(model, pairs), 2)
    hinges = hinge(positive - negative, margin)
    return ce + rho_weight * hinges.mean(), ce, hinges


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Goal:
    """The mean of L over the M micro-steps of one optimizer step, with P pairs in all.

    It is a function of M + P numbers that are linear in the tokens' cross-entropies: first the SFT
    loss of each micro-step, then the gap CE(x+) - CE(x-) of each pair in order. Trees refer to
    them by position (`Tree.functionals`).

    Attributes:
        shares: (M + P,) what an SFT loss, or a pair's hinge, is multiplied by in the mean.
        micro_steps: M.
        margin: Separation asked for, nats per token.
    """

    shares: NDArray[np.float64]
    micro_steps: int
    margin: float

    @classmethod
    def of(cls, pairs: Sequence[int], rho_weight: float, margin: float) -> "Goal":
        """The goal of micro-steps with so many pairs each; `rho_weight` as in `objective`."""
        m = len(pairs)
        of_pairs = [rho_weight / (m * n) for n in pairs for _ in range(n)]
        return cls(shares=np.array([1 / m] * m + of_pairs), micro_steps=m, margin=margin)

    def slopes(self, functionals: NDArray[np.int64], values: Any) -> Any:
        """Derivative of the goal by each of its numbers: its share, or 0 where a hinge is 0.

        Args:
            functionals: (F,) which of the M + P numbers.
            values: (F,) what they are, nats per token; a numpy or an MLX array.

        Returns:
            (F,) float64 numpy or float32 MLX array, like `values`.
        """
        xp = _library_of(values)
        of_pair = xp.array(functionals >= self.micro_steps)
        silent = of_pair & (hinge(values, self.margin) <= 0)
        shares = xp.array(self.shares[functionals]).astype(values.dtype)
        return xp.where(silent, 0.0, shares)


def _library_of(values: Any) -> Any:
    """MLX inside a gradient; numpy elsewhere, in float64."""
    return np if isinstance(values, np.ndarray) else mx
