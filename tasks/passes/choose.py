"""Which way a model's passes go: packed where that is exact, plain where it is not."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx_lm.models.cache import KVCache, make_prompt_cache

from tasks.data.seeding import stream
from tasks.data.tokens import Tokens
from tasks.passes.hooks import UnfitError, checkpointed
from tasks.passes.layout import pack
from tasks.passes.losses import pad, token_cross_entropy
from tasks.passes.packed import Packed, packed
from tasks.passes.trie import Term, grow

PACKED = "packed"
AGREEMENT = {mx.float32: 1e-4, mx.float16: 2e-2, mx.bfloat16: 1e-1}
"""Largest difference of a token's loss that rounding explains, nats, by type of the activations."""


def choose(model: nn.Module, vocabulary: int) -> str:
    """`packed`, or `plain: ` and the reason why packed passes do not fit this model.

    Looks at the kinds of its layers, then compares packed with plain losses of a few texts.

    Args:
        model: As loaded, without an adapter.
        vocabulary: Tokens the model knows.
    """
    kinds = {type(c) for c in make_prompt_cache(model)}
    if kinds != {KVCache}:
        names = ", ".join(sorted(k.__name__ for k in kinds))
        return f"plain: its layers keep {names}, not plain keys and values"
    try:
        difference, allowed = _disagreement(model, vocabulary)
    except UnfitError as error:
        return f"plain: {error}"
    except (TypeError, ValueError, AttributeError, KeyError, NotImplementedError) as error:
        return f"plain: packing does not fit its code ({type(error).__name__}: {error})"
    if not difference <= allowed:
        return f"plain: packed losses differ by {difference:.2g} nats"
    return PACKED


@contextmanager
def passes(model: nn.Module, path: str, *, checkpoint: bool = False) -> Iterator[Packed | None]:
    """The packed model for the time of the block, or None where its path is plain."""
    if path != PACKED:
        with checkpointed(model) if checkpoint else nullcontext():
            yield None
        return
    with packed(model, checkpoint=checkpoint) as found:
        yield found


def _disagreement(model: nn.Module, vocabulary: int) -> tuple[float, float]:
    """Largest difference of a token's packed and plain loss, nats, and what rounding explains.

    Over four texts, of which two share a beginning and one begins the others.
    """
    drawn = stream(0, "path").integers(0, vocabulary, 40).tolist()
    head = tuple(drawn[:9])
    texts: list[Tokens] = [head, (*head, *drawn[9:14]), (*head, *drawn[14:25]), tuple(drawn[25:])]
    batch = pad(texts)
    plain = np.asarray(token_cross_entropy(model, batch))
    dtype = model(batch.tokens[:1]).dtype
    tree = grow(Term(text, i, 1.0) for i, text in enumerate(texts))
    with packed(model) as found:
        (chunk,) = pack([tree], found.budget)
        losses = np.asarray(found.losses(chunk))
    rows = [losses[weights > 0] for weights in tree.weights]
    gaps = [np.abs(row - plain[i, : len(row)]).max() for i, row in enumerate(rows)]
    return float(max(gaps)), AGREEMENT[dtype]
