"""Passes over packed trees: token losses of a chunk, and the gradient of a goal.

chunk -> hidden states -> token losses -> values -> slopes -> weights -> backward pass
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from numpy.typing import NDArray

from tasks.passes.budget import CPU, Budget, on_gpu
from tasks.passes.flops import linear_layers, sides
from tasks.passes.hooks import Slots, TreeCache, detached, find_body, hooked
from tasks.passes.layout import Chunk
from tasks.passes.losses import Goal
from tasks.passes.trie import Floats
from tasks.passes.vocabulary_loss import HeadLoss, differentiable_losses, lazy_losses

WORTH_ALL = 0.5
"""A backward pass for a chunk of which a smaller share of the tokens is active costs more than
another forward pass for the active trees alone."""
MOST_ROWS = 0.8
"""Gathering rows for the last MLP pays below this share of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What one pass over a chunk found.

    Attributes:
        chunk: What went through the model.
        values: (F,) the chunk's functionals in the order of `Chunk.functionals`, nats per token;
            an unevaluated MLX array where passes are lazy.
        gradient: Of the goal, as far as this chunk is a part of it; a tree like
            `model.trainable_parameters()`. None where there was no backward pass.
    """

    chunk: Chunk
    values: Floats | mx.array
    gradient: Any | None


class Packed:
    """A model whose passes take chunks; get one from `packed`.

    Attributes:
        lazy: Whether passes return unevaluated MLX arrays, as on a GPU, so that the next one can
            be built meanwhile.
        budget: How much goes into one pass.
    """

    def __init__(self, model: nn.Module, slots: Slots, *, lazy: bool) -> None:
        self._model, self._slots, self.lazy = model, slots, lazy
        self._body = find_body(model)
        self.budget: Budget = CPU
        if mx.default_device() != mx.cpu:
            self.budget = on_gpu(sum(sum(sides(m)) for m in linear_layers(model).values()))

    def losses(self, chunk: Chunk) -> Floats | mx.array:
        """(E,) cross-entropy of every scored token, nats; not yet evaluated if lazy."""
        with self._placed(chunk):
            hidden = self._hidden(chunk)
            if self.lazy:
                return lazy_losses(self._head, hidden, chunk.targets)
            return HeadLoss(self._head, hidden, chunk.targets).losses

    def look(self, chunk: Chunk, goal: Goal) -> Pass:
        """The chunk's functionals, without a backward pass."""
        values = chunk.values(goal.tokens(chunk.owners, self.losses(chunk))[0])
        if self.lazy:
            mx.async_eval(values)  # type: ignore[no-untyped-call]  # MLX has no stub
        return Pass(chunk=chunk, values=values, gradient=None)

    def gradient(self, chunk: Chunk, goal: Goal, slopes: Floats | None = None) -> Pass:
        """The chunk's functionals, and the gradient of the goal.

        Args:
            chunk: What to pass through the model.
            goal: What is to be minimised.
            slopes: (M + P,) derivative of the goal by each of its numbers, where an earlier pass
                has found them; None takes them from this pass's own values.

        Returns:
            A pass, without a gradient where too little of the chunk is active to be worth it. If
            lazy, that is not known in time: there is always a gradient.
        """
        half = self._forward_lazily if self.lazy else self._forward_at_once
        with self._placed(chunk):  # to the end: checkpointed layers run again in the backward pass
            both = nn.value_and_grad(self._model, lambda: half(chunk, goal, slopes))
            (_, values, worth), gradient = both()
        if not worth:
            return Pass(chunk=chunk, values=values, gradient=None)
        mx.async_eval(values, gradient)  # type: ignore[no-untyped-call]  # MLX has no stub
        return Pass(chunk=chunk, values=values, gradient=gradient)

    def _forward_at_once(
        self, chunk: Chunk, goal: Goal, slopes: Floats | None
    ) -> tuple[mx.array, Floats, bool]:
        """The forward half of a pass, evaluated before its backward half begins, as on a CPU.

        Returns:
            A scalar with the gradient of the goal, but another value; the chunk's functionals;
            whether a backward pass is worth it.
        """
        self._slots.at_once = True
        hidden = self._hidden(chunk)
        self._slots.at_once = False
        head = HeadLoss(self._head, detached(hidden), chunk.targets)
        tokens, of_tokens = goal.tokens(chunk.owners, head.losses)
        values = chunk.values(tokens)
        some = (
            slopes[chunk.functionals]
            if slopes is not None
            else goal.slopes(chunk.functionals, values)
        )
        if chunk.active_share(some) < WORTH_ALL:
            return mx.array(0.0), values, False
        # the derivative of this by `hidden` is the head's gradient, which is known already
        return (hidden * head.gradient(chunk.weights(some) * of_tokens)).sum(), values, True

    def _forward_lazily(
        self, chunk: Chunk, goal: Goal, slopes: Floats | None
    ) -> tuple[mx.array, mx.array, bool]:
        """As `_forward_at_once`, as one graph with the backward half: nothing is evaluated."""
        losses = differentiable_losses(self._head, self._hidden(chunk), chunk.targets)
        values = chunk.values(goal.tokens(chunk.owners, losses)[0])
        if slopes is not None:
            some = mx.array(slopes[chunk.functionals].astype(np.float32))
        else:
            some = mx.stop_gradient(goal.slopes(chunk.functionals, values))
        return (some * values).sum(), values, True

    @contextmanager
    def _placed(self, chunk: Chunk) -> Iterator[None]:
        """Tell the hooked modules where the chunk's tokens stand, for the time of the block."""
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
        return gathered(states.reshape(-1, states.shape[-1]), chunk.rows, chunk.targets)

    def _head(self, hidden: mx.array) -> mx.array:
        """(E, V) logits, by whatever the model does after its body."""
        self._slots.hidden = hidden[None]
        try:
            logits: mx.array = self._model(mx.zeros((1, 1), mx.int32)).squeeze(0)
        finally:
            self._slots.hidden = None
        return logits


def gathered(flat: mx.array, rows: NDArray[np.int32], targets: mx.array) -> mx.array:
    """`flat[rows]`, whose derivative adds the repeats of a row in order of their targets.

    The derivative of one gather is one scatter, and a GPU adds what a scatter has for one row in an
    order that changes from run to run: from three repeats on, the bits change. So no gather here
    holds a row twice. One has every row, another one those that come again, and so on.

    Args:
        flat: (N, D) hidden states.
        rows: (E,) which of the N.
        targets: (E,) the token that each predicts; no two are equal where the rows are.
    """
    order = np.lexsort((np.asarray(targets), rows))
    _, first, counts = np.unique(rows[order], return_index=True, return_counts=True)
    if counts.max() == 1:
        return flat[mx.array(rows)]
    repeat = np.arange(len(rows)) - np.repeat(first, counts)
    order = order[np.argsort(-repeat, kind="stable")]  # MLX adds up from the last to the first
    places = np.split(order, np.cumsum(np.bincount(repeat)[::-1])[:-1])
    found = mx.concatenate([flat[mx.array(rows[some])] for some in places])
    return found[mx.array(np.argsort(order))]


@contextmanager
def packed(
    model: nn.Module, *, checkpoint: bool = False, lazy: bool | None = None
) -> Iterator[Packed]:
    """Run a model packed for the time of the block; then it is as it was.

    Args:
        model: As mlx-lm loads it, with or without an adapter.
        checkpoint: Compute each layer twice to keep only its input for the backward pass.
        lazy: Whether passes return unevaluated MLX arrays; None: on a GPU only.

    Raises:
        UnfitError: The model cannot run packed.
    """
    lazy = mx.default_device() != mx.cpu if lazy is None else lazy
    with hooked(model, checkpoint=checkpoint, lazy=lazy) as slots:
        yield Packed(model, slots, lazy=lazy)
