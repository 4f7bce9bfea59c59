"""Cross-entropy over a large vocabulary, a block of rows at a time."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from tasks.passes.budget import CPU_HEAD_ROWS, GPU_HEAD_ROWS
from tasks.passes.trie import Floats

Head = Callable[[mx.array], mx.array]
"""(E, D) hidden states to (E, V) logits."""

KEPT_BYTES = 2**27
"""Up to this much is kept from the loss for its gradient; beyond it is computed again."""


BLOCK = 256
"""Logits that are summed before their sums are. On a CPU, MLX adds a whole vocabulary in a few
float32 sums, where small terms vanish: over 49,152 logits that is 1e-4 nats off on average."""


def cross_entropy(logits: mx.array, targets: mx.array) -> tuple[mx.array, mx.array]:
    """Losses of any number of positions, exact to float32 rounding whatever the vocabulary.

    Args:
        logits: (..., V), of any precision.
        targets: (...) the scored tokens.

    Returns:
        losses: (...) float32 cross-entropies, nats.
        totals: (...) float32 logsumexp of the logits.
    """
    logits = logits.astype(mx.float32)
    blocks = logits
    if missing := -logits.shape[-1] % BLOCK:
        widths = [(0, 0)] * (logits.ndim - 1) + [(0, missing)]
        blocks = mx.pad(logits, widths, constant_values=-1e30)
    blocks = blocks.reshape(*logits.shape[:-1], -1, BLOCK)
    totals = mx.logsumexp(mx.logsumexp(blocks, axis=-1), axis=-1)
    picked = mx.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return totals - picked, totals


def lazy_losses(head: Head, hidden: mx.array, targets: mx.array) -> mx.array:
    """(E,) cross-entropies, nats, not yet evaluated; one block's logits live at a time."""
    blocks = _blocks(len(hidden), GPU_HEAD_ROWS)
    return mx.concatenate([_losses(head, hidden[b], targets[b])[0] for b in blocks])


def differentiable_losses(head: Head, hidden: mx.array, targets: mx.array) -> mx.array:
    """As `lazy_losses`, and differentiable in `hidden` without keeping any logits.

    A loss depends on its own row alone, so the gradient for weights w is w times the rows'
    gradients, which come from the same logits as the losses.
    """
    blocks = _blocks(len(hidden), GPU_HEAD_ROWS)
    return mx.concatenate([_with_gradient(head, hidden[b], targets[b]) for b in blocks])


def _with_gradient(head: Head, hidden: mx.array, targets: mx.array) -> mx.array:
    def in_float32(rows: mx.array) -> mx.array:
        return head(rows).astype(mx.float32)

    @mx.custom_function
    def both(rows: mx.array) -> tuple[mx.array, mx.array]:
        losses, probabilities = _losses(head, rows, targets)
        cotangent = probabilities.at[mx.arange(len(targets)), targets].add(-1.0)
        return losses, mx.vjp(in_float32, [rows], [cotangent])[1][0]

    @both.vjp
    def both_vjp(_: Any, cotangents: Any, outputs: Any) -> Any:
        gradient = outputs[1]
        return (cotangents[0][:, None] * gradient).astype(gradient.dtype)

    found: Any = both(hidden)
    losses: mx.array = found[0]
    return losses


def _losses(head: Head, hidden: mx.array, targets: mx.array) -> tuple[mx.array, mx.array]:
    """(R,) losses and (R, V) probabilities."""
    logits = head(hidden).astype(mx.float32)
    losses, totals = cross_entropy(logits, targets)
    return losses, mx.exp(logits - totals[:, None])


def _blocks(rows: int, size: int) -> list[slice]:
    parts = -(-rows // size)
    stops = [rows * part // parts for part in range(parts + 1)]
    return [slice(start, stop) for start, stop in pairwise(stops)]


class _Softmax:
    """Softmax of the logits of R rows: their losses, and later the gradient of those.

    In numpy, whose exp is several times faster than MLX's on a CPU.
    """

    def __init__(self, logits: mx.array, targets: mx.array) -> None:
        values = np.asarray(logits)
        self._targets = np.asarray(targets)[:, None]
        picked = np.take_along_axis(values, self._targets, axis=1)
        largest = values.max(axis=1, keepdims=True)
        self._exponentials = values - largest
        np.exp(self._exponentials, out=self._exponentials)
        self._sums = self._exponentials.sum(axis=1, keepdims=True)
        self.losses: Floats = (np.log(self._sums) + largest - picked)[:, 0].astype(np.float64)

    def cotangent(self, weights: NDArray[np.float32]) -> mx.array:
        """(R, V) derivative of sum(weights * losses) by the logits; may be called once."""
        column = weights[:, None]
        found, self._exponentials = self._exponentials, None  # in place: it serves once
        found *= column / self._sums
        picked = np.take_along_axis(found, self._targets, axis=1)
        np.put_along_axis(found, self._targets, picked - column, axis=1)
        return mx.array(found)


class HeadLoss:
    """Losses of E rows, evaluated, and later their gradient if it is wanted; for a CPU.

    Attributes:
        losses: (E,) cross-entropies, nats.
    """

    def __init__(self, head: Head, hidden: mx.array, targets: mx.array) -> None:
        self._head: Head = lambda rows: head(rows).astype(mx.float32)
        self._hidden, self._targets = hidden, targets
        self._blocks = _blocks(len(hidden), CPU_HEAD_ROWS)
        keep = 4 * head(hidden[:1]).shape[-1] * len(hidden) <= KEPT_BYTES
        self._kept: dict[int, _Softmax] = {}
        losses = []
        for rows in self._blocks:
            softmax = self._softmax(rows)
            losses.append(softmax.losses)
            if keep:
                self._kept[rows.start] = softmax
        self.losses: Floats = np.concatenate(losses)

    def gradient(self, weights: Floats) -> mx.array:
        """(E, D) derivative of sum(weights * losses) with respect to the hidden states."""
        found: list[mx.array] = []
        for rows in self._blocks:
            hidden = self._hidden[rows]
            if not weights[rows].any():
                found.append(mx.zeros_like(hidden))
                continue
            softmax = self._kept.pop(rows.start, None) or self._softmax(rows)
            cotangent = softmax.cotangent(weights[rows].astype(np.float32))
            found.append(mx.vjp(self._head, [hidden], [cotangent])[1][0])
            mx.eval(found[-1])  # block by block, so that one block's logits live at a time
        return mx.concatenate(found)

    def _softmax(self, rows: slice) -> _Softmax:
        return _Softmax(self._head(self._hidden[rows]), self._targets[rows])
