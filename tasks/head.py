"""Cross-entropy over a large vocabulary, a block of rows at a time."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Protocol

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from tasks.trie import Floats

Head = Callable[[mx.array], mx.array]
"""(E, D) hidden states to (E, V) logits."""

CPU_ROWS, GPU_ROWS = 64, 512
"""Rows of a block: enough for a matrix product at full speed, few enough to stay small."""
KEPT_BYTES = 2**27
"""Up to this much is kept from the loss for its gradient; beyond it is computed again."""


class Softmax(Protocol):
    """What must be known of a block of R logits for its losses and, later, their gradient."""

    losses: Floats

    def cotangent(self, weights: NDArray[np.float32]) -> mx.array:
        """(R, V) derivative of sum(weights * losses) with respect to the logits."""


class CpuSoftmax:
    """In numpy, whose exp is several times faster than MLX's on a CPU."""

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
        """As in `Softmax`; may be called once."""
        column = weights[:, None]
        found, self._exponentials = self._exponentials, None  # in place: it serves once
        found *= column / self._sums
        picked = np.take_along_axis(found, self._targets, axis=1)
        np.put_along_axis(found, self._targets, picked - column, axis=1)
        return mx.array(found)


class GpuSoftmax:
    """In MLX."""

    def __init__(self, logits: mx.array, targets: mx.array) -> None:
        self._logits, self._targets = logits, targets
        self._total = mx.logsumexp(logits, axis=-1, keepdims=True)
        picked = mx.take_along_axis(logits, targets[:, None], axis=-1)
        self.losses: Floats = np.asarray((self._total - picked)[:, 0], np.float64)

    def cotangent(self, weights: NDArray[np.float32]) -> mx.array:
        """As in `Softmax`."""
        weight = mx.array(weights)
        found = mx.exp(self._logits - self._total) * weight[:, None]
        return found.at[mx.arange(len(weights)), self._targets].add(-weight)


class HeadLoss:
    """Losses of hidden states against targets, and later their gradient, if it is wanted.

    Attributes:
        losses: (E,) cross-entropies, nats.
    """

    def __init__(self, head: Head, hidden: mx.array, targets: mx.array) -> None:
        self._head: Head = lambda rows: head(rows).astype(mx.float32)
        self._hidden, self._targets = hidden, targets
        on_cpu = mx.default_device() == mx.cpu
        self._kind: Any = CpuSoftmax if on_cpu else GpuSoftmax
        self._parts = -(-len(hidden) // (CPU_ROWS if on_cpu else GPU_ROWS))
        self._keep = 4 * head(hidden[:1]).shape[-1] * len(hidden) <= KEPT_BYTES
        self._kept: dict[int, Softmax] = {}
        self.losses: Floats = np.concatenate([self._losses(rows) for rows in self._blocks()])

    def gradient(self, weights: Floats) -> mx.array:
        """(E, D) derivative of sum(weights * losses) with respect to the hidden states."""
        return mx.concatenate([self._pulled_back(rows, weights[rows]) for rows in self._blocks()])

    def _blocks(self) -> Iterator[slice]:
        stops = [len(self._hidden) * part // self._parts for part in range(self._parts + 1)]
        return (slice(start, stop) for start, stop in pairwise(stops))

    def _softmax(self, rows: slice) -> Softmax:
        found: Softmax = self._kind(self._head(self._hidden[rows]), self._targets[rows])
        return found

    def _losses(self, rows: slice) -> Floats:
        softmax = self._softmax(rows)
        if self._keep:
            self._kept[rows.start] = softmax
        return softmax.losses

    def _pulled_back(self, rows: slice, weights: Floats) -> mx.array:
        hidden = self._hidden[rows]
        if not weights.any():
            return mx.zeros_like(hidden)
        softmax = self._kept.pop(rows.start, None) or self._softmax(rows)
        cotangent = softmax.cotangent(weights.astype(np.float32))
        gradient: mx.array = mx.vjp(self._head, [hidden], [cotangent])[1][0]
        mx.eval(gradient)
        return gradient
