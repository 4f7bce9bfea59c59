"""Texts as a token tree, so that what several texts share is computed once.

A loss is a linear functional of next-token cross-entropies: F = sum over tokens of c * ce. On a
shared prefix the coefficients of all texts add up; where they cancel to an exact zero, and no
later token needs the prefix as context, nothing is computed.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.data.tokens import Tokens, shared_prefix
from tasks.passes.budget import Budget

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]

LEAST_SHARED = 16
"""Shared tokens that make it worth while to attend over a larger tree."""


@dataclass(frozen=True, slots=True)
class Term:
    """One text's part in a functional: a sum of token cross-entropies times coefficients.

    Attributes:
        tokens: The text; it has len(tokens) - start scored tokens, which may be none.
        functional: Which functional it belongs to.
        coefficient: Multiplies the cross-entropy of every scored token.
        start: The first token that is scored.
    """

    tokens: Tokens
    functional: int
    coefficient: float
    start: int = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tree:
    """The N tokens a model must be fed, and the E tokens it must predict.

    Nodes are in depth-first order: a subtree is one range, and a node sees exactly those earlier
    nodes whose range contains it.

    Attributes:
        tokens: (N,) ids to feed; a text's last token is never among them.
        depths: (N,) position of each in its text.
        ends: (N,) one past the last node of each node's subtree.
        rows: (E,) the node that predicts each scored token.
        targets: (E,) the scored tokens.
        functionals: (F,) which functionals the weights belong to, ascending.
        weights: (F, E) coefficient of each scored token's cross-entropy.
    """

    tokens: Ints
    depths: Ints
    ends: Ints
    rows: Ints
    targets: Ints
    functionals: tuple[int, ...]
    weights: Floats

    @property
    def size(self) -> int:
        """Tokens to feed."""
        return len(self.tokens)


def grow(terms: Iterable[Term]) -> Tree:
    """The smallest tree that yields every functional of the terms; empty if all weights cancel."""
    ordered = sorted(terms, key=lambda term: term.tokens)
    functionals = sorted({term.functional for term in ordered})
    nodes = _Nodes()
    paths = [nodes.add(term.tokens) for term in ordered]
    weights = np.zeros((len(functionals), len(nodes.tokens)))
    for term, path in zip(ordered, paths, strict=True):
        row = functionals.index(term.functional)
        np.add.at(weights, (row, path[term.start :]), term.coefficient)

    # Keep scored tokens that have a weight, and as nodes only those that such a token lies below.
    all_tokens, ends = np.asarray(nodes.tokens, np.int32), np.asarray(nodes.ends, np.int32)
    scored = weights.any(axis=0)
    before = np.concatenate([[0], np.cumsum(scored)])
    fed = before[ends] - before[1:] > 0
    index = np.concatenate([[0], np.cumsum(fed)]).astype(np.int32)
    edges = np.flatnonzero(scored)
    return Tree(
        tokens=all_tokens[fed],
        depths=np.asarray(nodes.depths, np.int32)[fed],
        ends=index[ends[fed]],
        rows=index[np.asarray(nodes.parents, np.int32)[edges]],
        targets=all_tokens[edges],
        functionals=tuple(functionals),
        weights=weights[:, edges],
    )


class _Nodes:
    """Every distinct prefix of texts that arrive in sorted order, which is depth-first order."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.depths: list[int] = []
        self.ends: list[int] = []
        self._last: Tokens = ()
        self._path: list[int] = []

    def add(self, text: Tokens) -> list[int]:
        """Nodes of the text's tokens, from the first."""
        path = self._path[: shared_prefix(self._last, text)]
        for depth in range(len(path), len(text)):
            self.parents.append(path[-1] if path else -1)
            path.append(len(self.tokens))
            self.tokens.append(text[depth])
            self.depths.append(depth)
            self.ends.append(-1)
        for node in path:
            self.ends[node] = len(self.tokens)
        self._last, self._path = text, path
        return path


def group(texts: Iterable[Tokens], budget: Budget) -> list[list[Tokens]]:
    """Put texts with a common beginning together, so that each group becomes one tree.

    Args:
        texts: In any order; the same ones always give the same groups.
        budget: Its width bounds the tokens of a tree; a single longer text still gets one.
    """
    groups: list[list[Tokens]] = []
    size = 0
    for text in sorted(set(texts)):
        shared = shared_prefix(groups[-1][-1], text) if groups else 0
        if shared >= LEAST_SHARED and size + len(text) - shared <= budget.width:
            groups[-1].append(text)
            size += len(text) - shared
        else:
            groups.append([text])
            size = len(text)
    return groups
