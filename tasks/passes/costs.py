"""Floating-point operations that a cell needs. Never loads MLX.

Counted is what the losses and gradients need at least: every distinct token once, padding never,
the head for scored tokens only, no backward pass for a silent pair. A multiplication and an
addition are two operations. Work done twice, or in vain, lowers the utilisation.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tasks.data.tokens import Tokens
from tasks.passes.trie import Tree


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
