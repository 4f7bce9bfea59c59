"""What a model's matrices cost, and what the machine can do."""

import re
from functools import cache
from math import prod
from time import perf_counter

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.tuner.lora import LoRALinear

from tasks.passes.costs import Costs

CPU_SIDE, GPU_SIDE = 768, 4096
"""Side of the square matrices whose product measures the peak."""
REPEATS = 5
LINEAR = (nn.Linear, nn.QuantizedLinear)


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
