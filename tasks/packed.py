"""Forward and backward passes over packed trees."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn

from tasks.head import HeadLoss
from tasks.hooks import Slots, TreeCache, find_body, hooked
from tasks.pack import CPU, GPU, Budget, Chunk
from tasks.trie import Floats

Weigh = Callable[[Floats], Floats]
"""(E,) losses of a chunk to the (E,) weights with which they enter the objective."""

MOST_ROWS = 0.8
"""Gathering rows for the last MLP pays below this share of them."""


class Packed:
    """A model whose passes take chunks; get one from `packed`."""

    def __init__(self, model: nn.Module, slots: Slots) -> None:
        self._model, self._slots = model, slots
        self._body = find_body(model)

    def losses(self, chunk: Chunk) -> Floats:
        """(E,) cross-entropy of every scored token, nats."""
        with self._placed(chunk):
            return HeadLoss(self._head, self._hidden(chunk), chunk.targets).losses

    def gradient(self, chunk: Chunk, weigh: Weigh) -> Any | None:
        """Gradient of sum(weights * losses) with respect to the trainable parameters.

        Args:
            chunk: What to pass through the model.
            weigh: Sees the losses, says what they weigh; where it says 0 for all of them, there
                is no backward pass.

        Returns:
            A tree like `model.trainable_parameters()`; None where all weights are 0.
        """
        idle = False

        def objective() -> mx.array:
            nonlocal idle
            hidden = self._hidden(chunk)
            head = HeadLoss(self._head, _detached(hidden), chunk.targets)
            weights = weigh(head.losses)
            idle = not weights.any()
            if idle:
                return mx.array(0.0)
            # its derivative by `hidden` is the head's gradient, which is known already
            return (hidden * head.gradient(weights)).sum()

        with self._placed(chunk):  # to the end: checkpointed layers run again in the backward pass
            _, gradient = nn.value_and_grad(self._model, objective)()
        if idle:
            return None
        mx.async_eval(gradient)  # type: ignore[no-untyped-call]  # MLX has no stub
        return gradient

    @contextmanager
    def _placed(self, chunk: Chunk) -> Iterator[None]:
        needed = np.unique(chunk.rows)
        few = len(needed) < MOST_ROWS * chunk.tokens.size
        self._slots.positions = chunk.positions
        self._slots.last_rows = mx.array(needed) if few else None
        try:
            yield
        finally:
            self._slots.positions = self._slots.last_rows = None

    def _hidden(self, chunk: Chunk) -> mx.array:
        """(E, D) final hidden states at the places that predict a scored token."""
        cache = [TreeCache(chunk.ends)] * len(self._model.layers)
        states = self._body(chunk.tokens, cache=cache)
        flat: mx.array = states.reshape(-1, states.shape[-1])
        return flat[mx.array(chunk.rows)]

    def _head(self, hidden: mx.array) -> mx.array:
        """(E, V) logits, by whatever the model does after its body."""
        self._slots.hidden = hidden[None]
        try:
            logits: mx.array = self._model(mx.zeros((1, 1), mx.int32)).squeeze(0)
        finally:
            self._slots.hidden = None
        return logits


@contextmanager
def packed(model: nn.Module, *, checkpoint: bool = False) -> Iterator[Packed]:
    """Run a model packed for the time of the block; then it is as it was.

    Args:
        model: As mlx-lm loads it, with or without an adapter.
        checkpoint: Compute each layer twice to keep only its input for the backward pass.

    Raises:
        UnfitError: The model cannot run packed.
    """
    with hooked(model, checkpoint=checkpoint) as slots:
        yield Packed(model, slots)


def budget() -> Budget:
    """What goes into one pass on this machine's device."""
    return CPU if mx.default_device() == mx.cpu else GPU


def _detached(values: mx.array) -> mx.array:
    """The same numbers, evaluated, outside any trace."""
    return mx.array(np.array(values.astype(mx.float32))).astype(values.dtype)
