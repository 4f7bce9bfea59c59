"""What a packed forward pass needs from a model, put in place for a while and taken out again.

The model's weights and code stay as they are: some of its modules get a subclass of their own
class, whose call does the same with packed rows, and their own class back at the end.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx.utils import tree_flatten, tree_map, tree_unflatten
from mlx_lm.models import activations, base
from mlx_lm.models.switch_layers import SwitchGLU, SwitchMLP

from tasks.passes import cpu_ops

Call = Callable[..., Any]


DISTURBANCE = 4e-6
"""Some 30 times what float32 rounds: it stands for the roundings of all layers together."""


class UnfitError(Exception):
    """The model cannot run packed; the text says why."""


@dataclass(slots=True)
class Slots:
    """What the hooked modules read. None or False: the unpatched behaviour.

    `packed.Packed` writes it before a pass; nothing else does.

    Attributes:
        positions: (B, W) position of each token.
        last_rows: Rows of the flattened (B, W) that the last layer's MLP must compute.
        hidden: What the body is to return instead of running.
        at_once: Whether the forward half of a gradient is evaluated by itself.
    """

    positions: mx.array | None = None
    last_rows: mx.array | None = None
    hidden: mx.array | None = None
    at_once: bool = False


class TreeCache:
    """Stands in for a key-value cache. It stores nothing; its mask says who sees whom in a tree.

    Attributes:
        offset: Part of the cache interface; positions come from the rope hook.
        mask: (B, 1, W, W), true where a row sees a column.
    """

    def __init__(self, ends: mx.array) -> None:
        column = mx.arange(ends.shape[1])
        seen = (column[:, None] >= column) & (column[:, None] < ends[:, None, :])
        self.offset = 0
        self.mask = seen[:, None]

    def make_mask(
        self,
        n: int,  # noqa: ARG002 - part of mlx-lm's interface
        return_array: bool = False,  # noqa: ARG002
        window_size: int | None = None,
    ) -> mx.array:
        """The tree's mask, the same for every layer.

        Raises:
            UnfitError: The layer attends over a sliding window.
        """
        if window_size is not None:
            raise UnfitError("a layer attends over a sliding window")
        return self.mask

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """The keys and values of this pass alone: there are no earlier ones."""
        return keys, values


@contextmanager
def hooked(model: nn.Module, *, checkpoint: bool, lazy: bool) -> Iterator[Slots]:
    """Give modules of a model another call for the time of the block.

    Args:
        model: As mlx-lm loads it, with or without an adapter.
        checkpoint: Keep only the layers' inputs for the backward pass.
        lazy: Whether a pass is one graph; else its forward half is evaluated by itself.

    Raises:
        UnfitError: The model lacks a part that must be hooked.
    """
    slots = Slots()
    with _puts() as put:
        ropes = [m for name, m in model.named_modules() if "rope" in name.rsplit(".", 1)[-1]]
        if not ropes:
            raise UnfitError("no rope module")
        for rope in ropes:
            put(rope, lambda old: _rope_call(old, slots))
        if mx.default_device() == mx.cpu:
            for module in [m for m in model.modules() if _slow_names(type(m))]:
                put(module, lambda old: _faster_call(old, slots))
        put(find_body(model), lambda old: _body_call(old, slots))
        if "mlp" in model.layers[-1]:
            put(model.layers[-1]["mlp"], lambda old: _rows_call(old, slots))
        wrap = mx.checkpoint if lazy else _checkpoint_at_once
        if checkpoint:
            for layer in model.layers:
                put(layer, lambda old: _checkpointed_call(old, wrap))
        yield slots


@contextmanager
def checkpointed(model: nn.Module) -> Iterator[None]:
    """Keep only the layers' inputs for the backward pass, for the time of the block."""
    with _puts() as put:
        for layer in model.layers:
            put(layer, lambda old: _checkpointed_call(old, mx.checkpoint))
        yield


@contextmanager
def experts_apart(model: nn.Module) -> Iterator[None]:
    """Give each expert of a mixture its own copy of a token, for the time of the block.

    In mlx-lm's layers several experts gather one token, and the derivative is a scatter with as
    many repeats, which a GPU adds in any order. The derivative of a copy is a sum.
    """
    with _puts() as put:
        for module in [m for m in model.modules() if isinstance(m, (SwitchGLU, SwitchMLP))]:
            put(module, _apart_call)
        yield


@contextmanager
def in_float32(model: nn.Module, *, disturbed: bool = False) -> Iterator[None]:
    """Give a model activations of float32 for the time of the block, whatever its weights are.

    Its embeddings return float32; what follows keeps the wider of two types.

    Args:
        model: As mlx-lm loads it, with or without an adapter.
        disturbed: Change each value of an embedding by up to `DISTURBANCE` of itself.
    """
    kinds = (nn.Embedding, nn.QuantizedEmbedding)
    with _puts() as put:
        for module in [m for m in model.modules() if isinstance(m, kinds)]:
            put(module, lambda old: _wide_call(old, disturbed=disturbed))
        yield


@contextmanager
def _puts() -> Iterator[Callable[[nn.Module, Callable[[type], Call]], None]]:
    """Yield a function that gives a module another call; afterwards every module has its own."""
    changed: list[tuple[nn.Module, type]] = []

    def put(module: nn.Module, make: Callable[[type], Call]) -> None:
        old = type(module)
        changed.append((module, old))
        module.__class__ = type(old.__name__, (old,), {"__call__": make(old)})

    try:
        yield put
    finally:
        for module, old in reversed(changed):
            module.__class__ = old


def find_body(model: nn.Module) -> nn.Module:
    """The module that turns tokens into hidden states: the one that holds the layers."""
    last = model.layers[-1]
    for module in model.modules():
        layers = module.get("layers")
        if module is not model and isinstance(layers, list) and layers and layers[-1] is last:
            return module
    raise UnfitError("no module of its own holds the layers")


def _wide_call(old: type, *, disturbed: bool) -> Call:
    def call(self: Any, ids: mx.array) -> Any:
        wide = old.__call__(self, ids).astype(mx.float32)
        if not disturbed:
            return wide
        drawn = np.random.default_rng(0).uniform(-DISTURBANCE, DISTURBANCE, wide.shape)
        return wide * (1 + mx.array(drawn.astype(np.float32)))

    return call


def _apart_call(old: type) -> Call:
    def call(self: Any, x: mx.array, indices: mx.array) -> Any:
        shape = (*x.shape[:-1], indices.shape[-1], x.shape[-1])
        copies = mx.broadcast_to(x[..., None, :], shape)
        return old.__call__(self, copies, indices[..., None]).squeeze(-2)

    return call


def _rope_call(old: type, slots: Slots) -> Call:
    def call(self: Any, x: mx.array, offset: Any = 0, **rest: Any) -> Any:
        if slots.positions is None:
            return old.__call__(self, x, offset=offset, **rest)
        batch, heads, width, dims = x.shape
        # one sequence per token: MLX takes an offset for each sequence of a batch
        single = x.swapaxes(1, 2).reshape(batch * width, heads, 1, dims)
        turned = old.__call__(self, single, offset=slots.positions.reshape(-1), **rest)
        return turned.reshape(batch, width, heads, dims).swapaxes(1, 2)

    return call


def _body_call(old: type, slots: Slots) -> Call:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if slots.hidden is not None:
            return slots.hidden
        return old.__call__(self, *args, **kwargs)

    return call


def _rows_call(old: type, slots: Slots) -> Call:
    def call(self: Any, x: mx.array) -> Any:
        if slots.last_rows is None:
            return old.__call__(self, x)
        flat = x.reshape(-1, x.shape[-1])
        some = old.__call__(self, flat[slots.last_rows][None]).squeeze(0)
        return mx.zeros_like(flat).at[slots.last_rows].add(some).reshape(x.shape)

    return call


def _checkpointed_call(old: type, wrap: Call) -> Call:
    def call(self: Any, x: mx.array, *args: Any, **kwargs: Any) -> Any:
        def inner(parameters: Any, x: mx.array) -> Any:
            self.update(parameters)
            return old.__call__(self, x, *args, **kwargs)

        parameters = self.trainable_parameters()
        found = wrap(inner)(parameters, x)
        self.update(parameters)
        return found

    return call


def _checkpoint_at_once(inner: Call) -> Call:
    """As `mx.checkpoint`, for passes that are evaluated half-way.

    MLX keeps every array that is evaluated inside a gradient; so the layer runs outside of it.
    """

    @mx.custom_function
    def outer(parameters: Any, x: mx.array) -> Any:
        found = inner(tree_map(detached, parameters), detached(x))
        mx.eval(found)
        return found

    @outer.vjp
    def outer_vjp(primals: Any, cotangent: mx.array, _: Any) -> Any:
        names, values = zip(*tree_flatten(primals[0]), strict=True) if primals[0] else ((), ())

        def flat(x: mx.array, *values: mx.array) -> Any:
            return inner(tree_unflatten(list(zip(names, values, strict=True))), x)

        gradients = mx.vjp(flat, [primals[1], *values], [cotangent])[1]
        return tree_unflatten(list(zip(names, gradients[1:], strict=True))), gradients[0]

    found: Call = outer
    return found


def detached(values: mx.array) -> mx.array:
    """The same numbers, evaluated, outside any trace."""
    return mx.array(np.array(values.astype(mx.float32))).astype(values.dtype)


_SLOW: dict[str, tuple[Call, Call]] = {
    "swiglu": (activations.swiglu, cpu_ops.swiglu),
    "scaled_dot_product_attention": (base.scaled_dot_product_attention, cpu_ops.attention),
}
"""Names that model code calls, what they mean there, and the cheaper equivalent."""


def _slow_names(cls: type) -> dict[str, Call]:
    """Those names that the class's call looks up, with their replacements."""
    call = cls.__call__
    if not isinstance(call, FunctionType):
        return {}
    return {
        name: fast
        for name, (slow, fast) in _SLOW.items()
        if name in call.__code__.co_names and call.__globals__.get(name) is slow
    }


def _faster_call(old: type, slots: Slots) -> Call:
    """The class's own code, with other functions under those names."""

    def bound(fast: Call) -> Call:
        return lambda *args, **kwargs: fast(*args, **kwargs, at_once=slots.at_once)

    call: Any = old.__call__
    names = call.__globals__ | {name: bound(fast) for name, fast in _slow_names(old).items()}
    return FunctionType(call.__code__, names, call.__name__, call.__defaults__, call.__closure__)
