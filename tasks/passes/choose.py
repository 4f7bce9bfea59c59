"""Which way a model's passes go: packed where that is exact, plain where it is not."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx_lm.models.cache import KVCache, make_prompt_cache

from tasks.contract.cell import PACKED
from tasks.data.seeding import stream
from tasks.data.tokens import Tokens
from tasks.passes.budget import Budget
from tasks.passes.hooks import UnfitError, checkpointed, experts_apart, in_float32
from tasks.passes.layout import pack
from tasks.passes.losses import pad, token_cross_entropy
from tasks.passes.packed import Packed, packed
from tasks.passes.trie import Floats, Term, grow

TIMES = 4.0
"""Packed losses may be so many times as far from the exact ones as rounding takes plain ones. Two
ways to round differ by less than three times; a wrong mask, position or row by hundreds."""
LEAST = 1e-5
"""Nats that rounding explains in float32 whatever was measured."""
SMALL = Budget(width=48, rows=2)
"""So that a few short texts fill several passes; as many rows only where real passes have them."""
Forest = Sequence[Sequence[Tokens]]
"""Texts by the tree that they share."""


def choose(model: nn.Module, vocabulary: int) -> str:
    """`packed`, or `plain: ` and the reason why packed passes do not fit this model.

    Looks at the kinds of its layers, then at the losses of a few texts.

    Args:
        model: As loaded, without an adapter.
        vocabulary: Tokens the model knows.
    """
    kinds = {type(c) for c in make_prompt_cache(model)}
    if kinds != {KVCache}:
        names = ", ".join(sorted(k.__name__ for k in kinds))
        return f"plain: its layers keep {names}, not plain keys and values"
    try:
        problem = misfit(model, _forest(vocabulary))
    except UnfitError as error:
        return f"plain: {error}"
    except (TypeError, ValueError, AttributeError, KeyError, NotImplementedError) as error:
        return f"plain: packing does not fit its code ({type(error).__name__}: {error})"
    return f"plain: {problem}" if problem else PACKED


@contextmanager
def passes(model: nn.Module, path: str, *, checkpoint: bool = False) -> Iterator[Packed | None]:
    """The packed model for the time of the block, or None where its path is plain."""
    # on a CPU a scatter adds in order, and cells keep the bits that they have had
    apart = nullcontext() if mx.default_device() == mx.cpu else experts_apart(model)
    with apart:
        if path == PACKED:
            with packed(model, checkpoint=checkpoint) as found:
                yield found
        else:
            with checkpointed(model) if checkpoint else nullcontext():
                yield None


def misfit(model: nn.Module, forest: Forest, budget: Budget | None = None) -> str | None:
    """Why packed losses of these texts are not the model's, or None if they are up to rounding.

    Everything is compared with each text by itself, computed in float32, its logsumexp in float64.
    In float32 a wrong mask, position or row is far outside of rounding, whatever the precision of
    the model; how much rounding explains is measured, by disturbing the embeddings a little. A
    model of lower precision is looked at in its own precision as well: there packed losses may be
    off by `TIMES` what plain ones are.

    Args:
        model: As loaded, without an adapter.
        forest: Distinct texts of at least two tokens.
        budget: How they are laid out; None: `SMALL`.
    """
    texts = [text for tree in forest for text in tree]
    with in_float32(model):
        exact = np.concatenate([_exact(model, text) for text in texts])
        worst = float(np.abs(_packed(model, forest, budget) - exact).max())
    with in_float32(model, disturbed=True):
        noise = float(np.abs(_plain(model, texts) - exact).max())
    if not worst <= TIMES * noise + LEAST:
        return f"packed losses differ by {worst:.2g} nats in float32, rounding by {noise:.1g}"
    usual, noise = (
        float(np.sqrt(np.square(losses - exact).mean()))
        for losses in (_packed(model, forest, budget), _plain(model, texts))
    )
    if not usual <= TIMES * noise + LEAST:
        return f"packed losses are off by {usual:.2g} nats in its precision, plain by {noise:.1g}"
    return None


def _exact(model: nn.Module, text: Tokens) -> Floats:
    """(T - 1,) cross-entropies of a text by itself, nats; all but the logits in float64."""
    logits = np.asarray(model(mx.array([text[:-1]]))[0].astype(mx.float32), np.float64)
    largest = logits.max(axis=1)
    totals = np.log(np.exp(logits - largest[:, None]).sum(axis=1)) + largest
    losses: Floats = totals - logits[np.arange(len(logits)), text[1:]]
    return losses


def _plain(model: nn.Module, texts: Sequence[Tokens]) -> Floats:
    """As `_exact` of one text after the other, padded into one batch."""
    losses = np.asarray(token_cross_entropy(model, pad(list(texts))), np.float64)
    return np.concatenate([row[: len(text) - 1] for row, text in zip(losses, texts, strict=True)])


def _packed(model: nn.Module, forest: Forest, budget: Budget | None) -> Floats:
    """As `_plain`, packed."""
    texts = [text for tree in forest for text in tree]
    trees = [grow(Term(text, texts.index(text), 1.0) for text in together) for together in forest]
    found: dict[int, Floats] = {}
    with packed(model) as ready:
        budget = budget or replace(SMALL, rows=min(SMALL.rows, ready.budget.rows))
        for chunk in pack(trees, budget):
            for tree, losses in chunk.by_tree(np.asarray(ready.losses(chunk), np.float64)):
                for number, weights in zip(tree.functionals, tree.weights, strict=True):
                    found[number] = losses[weights > 0]
    return np.concatenate([found[number] for number in range(len(texts))])


def _forest(vocabulary: int) -> Forest:
    """A tree of two levels, a text that begins others, a short common beginning, a text alone."""
    drawn = stream(0, "path").integers(0, vocabulary, 90).tolist()
    head, left = tuple(drawn[:12]), tuple(drawn[12:17])
    return [
        [
            head,
            (*head, *left, *drawn[20:26]),
            (*head, *left, *drawn[26:28]),
            (*head, *drawn[28:37]),
        ],
        [tuple(drawn[40:52]), (*drawn[40:43], *drawn[52:60])],
        [tuple(drawn[60:78])],
    ]
