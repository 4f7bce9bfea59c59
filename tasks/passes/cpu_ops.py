"""Cheap exponentials for MLX's CPU backend, and what is built from them.

On x86 that backend evaluates exp one number at a time, about 20 ns each, and a loss over a large
vocabulary is little else. The functions here give the same values to float32 rounding at a
fraction of the time, with first derivatives only.
"""

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np

Call = Callable[..., Any]

_LOG2_E = 1.44269504
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
_ROUND = 12582912.0
"""1.5 * 2**23: adding it leaves a float32's integer part in its lowest bits."""
_LOWEST, _HIGHEST = -88.03, 88.0
"""exp gives an exact 0 at the one and is still finite at the other."""
_CEPHES = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5)

_fused = mx.compile
"""Not `shapeless`: MLX 0.32 then gets shapes wrong when it first meets a long function inside a
gradient. A new shape costs a quarter of a millisecond once. The functions are short because a
long one falls apart into slow pieces."""


@_fused
def _reduce(x: mx.array) -> tuple[mx.array, mx.array]:
    """The power of two, as the low bits of a float, and what is left to raise e to."""
    rounded = x * _LOG2_E + _ROUND
    power = rounded - _ROUND
    return rounded, (x - power * _LN2_HIGH) - power * _LN2_LOW


@_fused
def _power_bits(rounded: mx.array) -> mx.array:
    return (rounded + 127) << 23


@_fused
def _start_series(rest: mx.array) -> mx.array:
    return ((_CEPHES[0] * rest + _CEPHES[1]) * rest + _CEPHES[2]) * rest + _CEPHES[3]


@_fused
def _end_series(rest: mx.array, series: mx.array, power: mx.array) -> mx.array:
    return (((series * rest + _CEPHES[4]) * rest + _CEPHES[5]) * rest * rest + rest + 1.0) * power


def _exp(x: mx.array) -> mx.array:
    """Exp between the two limits."""
    rounded, rest = _reduce(x)
    power = mx.view(_power_bits(mx.view(rounded, mx.int32)), mx.float32)
    return _end_series(rest, _start_series(rest), power)


def exp(x: mx.array) -> mx.array:
    """The exponential of float32 values; beyond +-88 they count as +-88, and -88 gives 0."""
    return _exp(mx.clip(x, _LOWEST, _HIGHEST))


@_fused
def _gate(gate: mx.array, x: mx.array, exponential: mx.array) -> tuple[mx.array, mx.array]:
    sigmoid = 1.0 / (1.0 + exponential)
    return gate * sigmoid * x, sigmoid


@_fused
def _gate_vjp(
    cotangent: mx.array, gate: mx.array, x: mx.array, sigmoid: mx.array
) -> tuple[mx.array, mx.array]:
    silu = gate * sigmoid
    return cotangent * x * (sigmoid + silu - silu * sigmoid), cotangent * silu


def _in_both_ways(forward: Call, vjp: Call) -> dict[bool, Any]:
    """A function with its derivative, in two variants by key: False lazy, True evaluated at once.

    MLX keeps every array that is evaluated inside a gradient, also those that the derivative does
    not need. At once therefore means: on copies that the gradient does not see.
    """

    def at_once(*inputs: mx.array) -> Any:
        return forward(*(mx.array(np.asarray(x)) for x in inputs))

    found = {}
    for now, function in ((False, forward), (True, at_once)):
        found[now] = mx.custom_function(function)
        found[now].vjp(vjp)
    return found


def _swiglu(gate: mx.array, x: mx.array) -> tuple[mx.array, mx.array]:
    return _gate(gate, x, exp(-gate))


def _swiglu_vjp(primals: Any, cotangents: Any, outputs: Any) -> Any:
    gate, x = primals
    return _gate_vjp(cotangents[0], gate, x, outputs[1])


_SWIGLU = _in_both_ways(_swiglu, _swiglu_vjp)


def swiglu(gate: mx.array, x: mx.array, *, at_once: bool = False) -> mx.array:
    """As mlx_lm.models.activations.swiglu.

    Args:
        gate: Of any shape.
        x: Of the same shape.
        at_once: Whether the result is evaluated inside a gradient.
    """
    arrays: Any = _SWIGLU[at_once](gate.astype(mx.float32), x.astype(mx.float32))
    found: mx.array = arrays[0].astype(x.dtype)
    return found


def softmax(scores: mx.array) -> mx.array:
    """Over the last axis, float32."""
    weights = _exp(mx.maximum(scores - scores.max(axis=-1, keepdims=True), _LOWEST))
    return weights / weights.sum(axis=-1, keepdims=True)


def _attend(q: mx.array, k: mx.array, v: mx.array, bias: mx.array) -> tuple[mx.array, mx.array]:
    """Grouped attention.

    Args:
        q: (B, K, G * L, D) scaled queries, G heads to each of K key heads.
        k: (B, K, L, D) keys.
        v: (B, K, L, D) values.
        bias: (B, 1, 1, L, L) added to the scores.

    Returns:
        (B, K, G * L, D) and the attention weights (B, K, G * L, L).
    """
    batch, heads, length = k.shape[:3]
    scores = (q @ k.swapaxes(-1, -2)).reshape(batch, heads, -1, length, length) + bias
    weights = softmax(scores).reshape(batch, heads, -1, length)
    return weights @ v, weights


def _attend_vjp(primals: Any, cotangents: Any, outputs: Any) -> Any:
    q, k, v, bias = primals
    weights, cotangent = outputs[1], cotangents[0]
    weighted = (cotangent @ v.swapaxes(-1, -2)) * weights
    scores = weighted - weights * weighted.sum(axis=-1, keepdims=True)
    return (
        scores @ k,
        scores.swapaxes(-1, -2) @ q,
        weights.swapaxes(-1, -2) @ cotangent,
        mx.zeros_like(bias),
    )


_ATTEND = _in_both_ways(_attend, _attend_vjp)


def attention(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    cache: Any,  # noqa: ARG001 - part of mlx-lm's signature
    scale: float,
    mask: mx.array,
    sinks: None = None,
    *,
    at_once: bool = False,
) -> mx.array:
    """As mlx_lm.models.base.scaled_dot_product_attention, for a boolean mask and no sinks.

    Args:
        queries: (B, H, L, D).
        keys: (B, K, L, D); K divides H.
        values: (B, K, L, D).
        cache: Ignored.
        scale: Multiplies the scores.
        mask: (B, 1, L, L), true where a query sees a key.
        sinks: Must be None.
        at_once: Whether the result is evaluated inside a gradient.
    """
    if sinks is not None:
        raise NotImplementedError("attention sinks")
    batch, heads, length, dims = queries.shape
    bias = mx.where(mask, 0.0, -1e4).astype(mx.float32)[:, :, None]
    grouped = (queries * scale).reshape(batch, keys.shape[1], -1, dims)
    arrays = (a.astype(mx.float32) for a in (grouped, keys, values))
    attended: Any = _ATTEND[at_once](*arrays, bias)
    mixed: mx.array = attended[0].reshape(batch, heads, length, -1).astype(queries.dtype)
    return mixed
