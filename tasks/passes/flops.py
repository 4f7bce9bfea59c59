"""Floating-point operations that a cell needs, against what the machine can do.

Counted is what the losses and gradients need at least: every distinct token once, padding never,
the head for scored tokens only, no backward pass for a silent pair. A multiplication and an
addition are two operations. Work done twice, or in vain, lowers the utilisation.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from math import prod
from time import perf_counter

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.tuner.lora import LoRALinear

from tasks.data.tokens import Tokens
from tasks.passes.trie import Tree

CPU_SIDE, GPU_SIDE = 768, 4096
"""Side of the square matrices whose product measures the peak."""
REPEATS = 5
LINEAR = (nn.Linear, nn.QuantizedLinear)


@dataclass(frozen=True, slots=True)
class Load:
    """Tokens that went through a model.

    Attributes:
        tokens: Fed.
        sights: Pairs of a token and one that it attends to, itself included.
        scored: Tokens predicted.
    """

    tokens: int = 0
    sights: int = 0
    scored: int = 0

    def __add__(self, other: "Load") -> "Load":
        return Load(
            self.tokens + other.tokens, self.sights + other.sights, self.scored + other.scored
        )


@dataclass(frozen=True, slots=True)
class Needed:
    """The least that a step or an evaluation takes: what must go forward, and what also back."""

    forward: Load = Load()
    backward: Load = Load()

    def __add__(self, other: "Needed") -> "Needed":
        return Needed(self.forward + other.forward, self.backward + other.backward)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Operations by what they are counted over.

    Attributes:
        token: Matrices of the layers, for each token fed.
        adapter: Of the adapter, for each token fed.
        first: Of `token`, what lies in the first layer: its backward pass is hardly needed.
        sight: Attention, for each pair of tokens.
        scored: The last layer's MLP and the head, for each scored token.
    """

    token: float
    adapter: float
    first: float
    sight: float
    scored: float

    def of(self, work: Needed) -> float:
        """Operations; a backward pass needs the activations' gradients, and the adapter's."""
        forward, backward = work.forward, work.backward
        return (
            forward.tokens * (self.token + self.adapter)
            + forward.sights * self.sight
            + forward.scored * self.scored
            + backward.tokens * (self.token - self.first + 2 * self.adapter)
            + backward.sights * 2 * self.sight
            + backward.scored * self.scored
        )


def linear_layers(module: nn.Module) -> dict[str, nn.Module]:
    """The linear layers inside a module by name, quantised ones among them."""
    return {name: m for name, m in module.named_modules() if isinstance(m, LINEAR)}


def sides(matrix: nn.Module) -> tuple[int, int]:
    """Inputs and outputs of a linear layer."""
    if isinstance(matrix, nn.QuantizedLinear):
        return matrix.scales.shape[1] * matrix.group_size, matrix.scales.shape[0]
    return matrix.weight.shape[1], matrix.weight.shape[0]


def costs_of(model: nn.Module, vocabulary: int) -> Costs | None:
    """Costs of a model with or without an adapter.

    Args:
        model: As mlx-lm loads it.
        vocabulary: Rows of the head.

    Returns:
        None where its layers hold matrices that are not fed every token, as experts are, or no
        matrix by which attention's width is known.
    """
    layers = [{k: prod(sides(m)) for k, m in linear_layers(x).items()} for x in model.layers]
    if any(_holds_more(layer) for layer in model.layers):
        return None
    outward = [
        matrix
        for name, matrix in linear_layers(model.layers[0]).items()
        if re.search(r"attn\w*\.(o_proj|c_proj|out_proj|dense|wo)(\.linear)?$", name)
    ]
    if len(outward) != 1:
        return None
    width, hidden = sides(outward[0])
    last_mlp = sum(n for name, n in layers[-1].items() if name.startswith("mlp."))
    return Costs(
        token=2.0 * (sum(sum(layer.values()) for layer in layers) - last_mlp),
        adapter=2.0 * sum(v.size for _, v in tree_flatten(model.trainable_parameters())),
        first=2.0 * sum(layers[0].values()),
        sight=4.0 * width * len(layers),
        scored=2.0 * (last_mlp + hidden * vocabulary),
    )


def load_of_text(text: Tokens, start: int = 1) -> Load:
    """A text by itself, scored from `start` on; its last token is predicted and not fed."""
    fed = len(text) - 1
    return Load(fed, fed * (fed + 1) // 2, len(text) - start)


def load_of_trees(trees: Iterable[Tree]) -> Load:
    """Texts with what they share counted once."""
    total = Load()
    for tree in trees:
        sights = int(tree.depths.sum()) + tree.size
        total += Load(tree.size, sights, len(tree.targets))
    return total


@cache
def matmul_peak(dtype: mx.Dtype) -> float:
    """Operations a second of a large matrix product on this process's device and threads."""
    side = CPU_SIDE if mx.default_device() == mx.cpu else GPU_SIDE
    a, b = (mx.random.normal((side, side), key=mx.random.key(i)).astype(dtype) for i in (0, 1))
    mx.eval(a @ b)
    seconds = []
    for _ in range(REPEATS):
        started = perf_counter()
        mx.eval(a @ b)
        seconds.append(perf_counter() - started)
    return 2.0 * side**3 / min(seconds)


def _holds_more(layer: nn.Module) -> bool:
    """Whether a layer has matrices in modules of another kind."""
    known = (*LINEAR, LoRALinear)
    return any(
        value.ndim > 1
        for module in layer.modules()
        if not isinstance(module, known)
        for value in module.values()
        if isinstance(value, mx.array)
    )
