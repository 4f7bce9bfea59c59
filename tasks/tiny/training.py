"""Trains the tiny model from random weights by next-token prediction."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx.optimizers import AdamW, clip_grad_norm
from mlx.utils import tree_flatten
from mlx_lm.models.qwen2 import Model, ModelArgs

from tasks.data.seeding import stream
from tasks.data.tokens import Tokens
from tasks.passes.losses import pad, sft_loss
from tasks.tiny.recipe import Recipe


def new_model(config: dict[str, Any], recipe: Recipe) -> Model:
    """A model with weights drawn by numpy from the recipe's seed.

    Projections whose output is added to the residual stream start smaller, by the square root of
    the number of such additions.
    """
    model = Model(ModelArgs.from_dict(config))
    small = recipe.init_scale / math.sqrt(2 * config["num_hidden_layers"])
    rng = stream(recipe.seed, "init")
    weights: dict[str, mx.array] = {}
    shapes: dict[str, mx.array] = dict(tree_flatten(model.parameters()))
    for name, shape in sorted((name, value.shape) for name, value in shapes.items()):
        if len(shape) == 2:
            scale = small if name.endswith(("o_proj.weight", "down_proj.weight")) else None
            drawn = rng.standard_normal(shape) * (scale or recipe.init_scale)
            weights[name] = mx.array(drawn.astype(np.float32))
        else:
            weights[name] = mx.zeros(shape) if name.endswith("bias") else mx.ones(shape)
    model.load_weights(list(weights.items()))
    return model


def train(
    model: Model, texts: Sequence[Tokens], recipe: Recipe, report: Callable[[int, float], None]
) -> None:
    """Train the model in place by next-token prediction.

    Args:
        model: The model whose weights are updated.
        texts: Every text of one pass, at least two tokens each.
        recipe: Learning rate, steps and batch size.
        report: Called every 100 steps and after the last with (step, loss in nats per token).
    """
    optimizer = AdamW(
        recipe.peak_rate,
        betas=list(recipe.betas),
        weight_decay=recipe.weight_decay,
        bias_correction=True,
    )
    value_and_grad = nn.value_and_grad(model, sft_loss)
    supply = batches(texts, recipe)
    for step in range(recipe.steps):
        optimizer.learning_rate = recipe.rate(step)
        loss, gradient = value_and_grad(model, pad(next(supply)))
        gradient, _ = clip_grad_norm(gradient, recipe.clip_norm)
        optimizer.update(model, gradient)
        mx.eval(model.parameters(), optimizer.state)
        if step % 100 == 0 or step == recipe.steps - 1:
            report(step, loss.item())


def batches(texts: Sequence[Tokens], recipe: Recipe) -> Iterator[list[Tokens]]:
    """Endless batches of texts with similar lengths; each pass shuffles the texts again."""
    rng = stream(recipe.seed, "batches")
    while True:
        shuffled = rng.permutation(len(texts)).tolist()
        ordered = sorted((texts[i] for i in shuffled), key=lambda text: len(text) // 4)
        groups = _groups(ordered, recipe.tokens_per_batch)
        yield from (groups[g] for g in rng.permutation(len(groups)).tolist())


def _groups(texts: Sequence[Tokens], limit: int) -> list[list[Tokens]]:
    """Consecutive texts in groups of at most `limit` tokens when padded to the longest text."""
    groups: list[list[Tokens]] = []
    longest = 0
    for text in texts:
        longest = max(longest, len(text))
        if groups and (len(groups[-1]) + 1) * longest <= limit:
            groups[-1].append(text)
        else:
            groups.append([text])
            longest = len(text)
    return groups
