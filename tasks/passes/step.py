"""One optimizer step, packed: all its micro-steps in the same few passes.

    texts and pairs -> trees -> chunks -> first passes -> values -> slopes -> second passes

The weights do not change inside an accumulation, so the SFT mean of each micro-step and the hinge
of each pair can be read from the same token losses. A pair whose hinge is 0 has no gradient: a
pass that holds only such pairs ends after its forward half.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_map
from numpy.typing import NDArray

from tasks.data.tokens import Tokens
from tasks.passes.budget import Budget
from tasks.passes.flops import Needed, load_of_trees
from tasks.passes.layout import pack
from tasks.passes.losses import Goal, hinge
from tasks.passes.packed import Packed
from tasks.passes.trie import Floats, Term, Tree, group, grow

MEMORY = 0.5
"""Weight of the past in the running share of active pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One optimizer step.

    Attributes:
        texts: SFT texts of each micro-step; None without an SFT loss.
        pairs: (positive, negative) of each micro-step, in the direction of training.
        names: Behaviour of each pair, in the order of `pairs`.
        rho_weight: Multiplies the mean hinge.
        margin: Separation asked for, nats per token.
    """

    texts: Sequence[Sequence[Tokens]] | None
    pairs: Sequence[Sequence[tuple[Tokens, Tokens]]]
    names: Sequence[str]
    rho_weight: float
    margin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """What a step yields.

    Attributes:
        gradient: Of the mean loss over the micro-steps, a tree like `model.trainable_parameters()`;
            None where it is exactly zero.
        ce: (M,) SFT loss of each micro-step, nats per token; empty without an SFT loss.
        hinge: (P,) of each pair, nats per token.
        skipped: Pairs that had no backward pass.
        needed: The least that the losses and the gradient take, in tokens.
    """

    gradient: Any | None
    ce: Floats
    hinge: Floats
    skipped: int
    needed: Needed


@dataclass(slots=True)
class Outlook:
    """Share of active pairs of each behaviour in the last steps.

    It decides which pairs lie side by side, so that pairs that are likely silent share a pass. It
    never decides whether a pair is computed.
    """

    share: dict[str, float] = field(default_factory=dict)

    def expects(self, name: str) -> bool:
        """Whether a pair of this behaviour is likelier active than not."""
        return self.share.get(name, 1.0) >= 0.5

    def learn(self, names: Sequence[str], active: NDArray[np.bool_]) -> None:
        """Update the shares with the pairs of one step: behaviour of each, and whether active."""
        for name in dict.fromkeys(names):
            now = float(active[np.array(names) == name].mean())
            self.share[name] = MEMORY * self.share.get(name, now) + (1 - MEMORY) * now


def take_step(packed: Packed, work: Work, outlook: Outlook, budget: Budget) -> Stepped:
    """Losses and gradient of one optimizer step; the model's weights stay as they are.

    Args:
        packed: The model.
        work: Texts and pairs.
        outlook: Shares from earlier steps; updated in place.
        budget: How much goes into one pass.
    """
    goal = Goal.of([len(pairs) for pairs in work.pairs], work.rho_weight, work.margin)
    busy, idle = _trees(work, outlook, budget)

    first = [packed.gradient(chunk, goal) for chunk in pack(busy, budget)]
    first += [packed.look(chunk) for chunk in pack(idle, budget)]

    # A GPU computes all of these passes before the first read below returns.
    values = np.zeros(len(goal.shares))  # a pair whose texts are equal is in no pass: its gap is 0
    for done in first:
        np.add.at(values, done.chunk.functionals, np.asarray(done.values, np.float64))
    slopes = goal.slopes(np.arange(len(values)), values)

    def active(trees: Sequence[Tree]) -> list[Tree]:
        return [tree for tree in trees if slopes[list(tree.functionals)].any()]

    late = [t for done in first if done.gradient is None for t in active(done.chunk.trees)]
    second = [packed.gradient(chunk, goal, slopes) for chunk in pack(late, budget)]

    whole = [done.chunk.trees for done in first if done.gradient is not None]
    carried = sum(len(trees) - len(active(trees)) for trees in whole)
    hinges = hinge(values[len(work.pairs) :], work.margin)
    outlook.learn(work.names, hinges > 0)
    gradients = [done.gradient for done in first + second if done.gradient is not None]
    return Stepped(
        gradient=reduce(partial(tree_map, mx.add), gradients) if gradients else None,
        ce=values[: len(work.pairs)] if work.texts is not None else np.zeros(0),
        hinge=hinges,
        skipped=int((hinges <= 0).sum()) - carried,
        needed=Needed(
            forward=load_of_trees(busy + idle), backward=load_of_trees(active(busy + idle))
        ),
    )


def _trees(work: Work, outlook: Outlook, budget: Budget) -> tuple[list[Tree], list[Tree]]:
    """Trees that likely need a backward pass, and those that likely do not.

    Functional m is the SFT loss of micro-step m, as far as a tree holds its texts; functional
    M + i is CE(x+) - CE(x-) of pair i.
    """
    uses: dict[Tokens, list[Term]] = {}
    for micro, texts in enumerate(work.texts or []):
        share = 1 / sum(len(text) - 1 for text in texts)
        for text in texts:
            uses.setdefault(text, []).append(Term(text, micro, share))
    busy = [grow(term for text in texts for term in uses[text]) for texts in group(uses, budget)]
    idle: list[Tree] = []
    pairs = [pair for micro in work.pairs for pair in micro]
    for number, (pair, name) in enumerate(zip(pairs, work.names, strict=True), len(work.pairs)):
        positive, negative = pair
        tree = grow(
            [
                Term(positive, number, 1 / (len(positive) - 1)),
                Term(negative, number, -1 / (len(negative) - 1)),
            ]
        )
        (busy if outlook.expects(name) else idle).append(tree)
    return busy, idle
