"""Forward and backward passes over packed trees."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn

from tasks.passes.budget import Budget
from tasks.passes.hooks import Slots, TreeCache, detached, find_body, hooked
from tasks.passes.layout import Chunk, budget_of
from tasks.passes.trie import Floats
from tasks.passes.vocabulary_loss import HeadLoss, differentiable_losses, lazy_losses

Weigh = Callable[[Floats], Floats]
"""(E,) losses of a chunk to the (E,) weights with which they enter the objective."""

Objective = Callable[[mx.array], tuple[mx.array, mx.array]]

MOST_ROWS = 0.8
"""Gathering rows for the last MLP pays below this share of them."""


class Packed:
    """A model whose passes take chunks; get one from `packed`.

    Attributes:
        lazy: Whether passes are only put in line, not waited for.
        budget: What goes into one pass.
    """

    def __init__(self, model: nn.Module, slots: Slots, *, lazy: bool) -> None:
        self._model, self._slots, self.lazy = model, slots, lazy
        self._body = find_body(model)
        self.budget: Budget = budget_of(model)

    def losses(self, chunk: Chunk) -> Floats | mx.array:
        """(E,) cross-entropy of every scored token, nats; not yet evaluated if lazy."""
        with self._placed(chunk):
            hidden = self._hidden(chunk)
            if self.lazy:
                return lazy_losses(self._head, hidden, chunk.targets)
            return HeadLoss(self._head, hidden, chunk.targets).losses

    def lazy_gradient(self, chunk: Chunk, objective: Objective) -> tuple[mx.array, Any]:
        """What an objective of the losses is, and its gradient: one graph, nobody waits for it.

        Args:
            chunk: What to pass through the model.
            objective: From (E,) losses to a scalar and what else is wanted of them.

        Returns:
            What else is wanted, and a tree like `model.trainable_parameters()`.
        """

        def value() -> tuple[mx.array, mx.array]:
            return objective(differentiable_losses(self._head, self._hidden(chunk), chunk.targets))

        with self._placed(chunk):
            (_, wanted), gradient = nn.value_and_grad(self._model, value)()
        mx.async_eval(wanted, gradient)  # type: ignore[no-untyped-call]  # MLX has no stub
        return wanted, gradient

    def gradient(self, chunk: Chunk, weigh: Weigh) -> Any | None:
        """Gradient of sum(weights * losses) with respect to the trainable parameters.

        For a CPU, where waiting for the losses costs nothing and a backward pass much.

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
            self._slots.at_once = True
            hidden = self._hidden(chunk)
            self._slots.at_once = False
            head = HeadLoss(self._head, detached(hidden), chunk.targets)
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
            self._slots.at_once = False

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
def packed(
    model: nn.Module, *, checkpoint: bool = False, lazy: bool | None = None
) -> Iterator[Packed]:
    """Run a model packed for the time of the block; then it is as it was.

    Args:
        model: As mlx-lm loads it, with or without an adapter.
        checkpoint: Compute each layer twice to keep only its input for the backward pass.
        lazy: Whether passes are only put in line, not waited for; None decides by the device.

    Raises:
        UnfitError: The model cannot run packed.
    """
    on_cpu = mx.default_device() == mx.cpu
    lazy = not on_cpu if lazy is None else lazy
    with hooked(model, checkpoint=checkpoint, lazy=lazy) as slots:
        yield Packed(model, slots, lazy=lazy)
