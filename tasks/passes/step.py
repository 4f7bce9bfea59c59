"""One optimizer step, packed: all its micro-steps in the same few passes.

    texts and pairs -> trees -> chunks -> first passes -> values -> slopes -> second passes

The weights do not change inside an accumulation, so the SFT mean of each micro-step and the loss
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
from tasks.passes.costs import Needed, load_of_trees
from tasks.passes.layout import pack
from tasks.passes.losses import Goal, PairTerm
from tasks.passes.packed import Packed, Pass
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
        term: The loss of pairs; None without pairs.
        reference: Of each pair, in the order of `pairs`; None where the loss has no use for one.
    """

    texts: Sequence[Sequence[Tokens]] | None
    pairs: Sequence[Sequence[tuple[Tokens, Tokens]]]
    names: Sequence[str]
    term: PairTerm | None
    reference: Sequence[float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """What a step yields.

    Attributes:
        gradient: Of the mean loss over the micro-steps, a tree like `model.trainable_parameters()`;
            None where it is exactly zero.
        ce: (M,) SFT loss of each micro-step, nats per token; empty without an SFT loss.
        of_pairs: (P,) loss of each pair.
        skipped: Pairs that had no backward pass.
        needed: The least that the losses and the gradient take, in tokens.
    """

    gradient: Any | None
    ce: Floats
    of_pairs: Floats
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
    goal = Goal.of([len(pairs) for pairs in work.pairs], work.term, work.reference)
    busy, idle = _trees(work, outlook, budget)

    first = [packed.gradient(chunk, goal) for chunk in pack(busy, budget)]
    first += [packed.look(chunk, goal) for chunk in pack(idle, budget)]

    # A GPU computes all of these passes before the first read below returns.
    values = _values(first, goal)
    slopes = goal.slopes(np.arange(len(values)), values)

    def active(trees: Sequence[Tree]) -> list[Tree]:
        return [tree for tree in trees if slopes[list(tree.functionals)].any()]

    late = [t for done in first if done.gradient is None for t in active(done.chunk.trees)]
    second = [packed.gradient(chunk, goal, slopes) for chunk in pack(late, budget)]

    whole = [done.chunk.trees for done in first if done.gradient is not None]
    carried = sum(len(trees) - len(active(trees)) for trees in whole)
    of_pairs, silent = goal.losses(values), slopes[goal.micro_steps :] == 0
    outlook.learn(work.names, of_pairs > 0)
    gradients = [done.gradient for done in first + second if done.gradient is not None]
    return Stepped(
        gradient=reduce(partial(tree_map, mx.add), gradients) if gradients else None,
        ce=values[: len(work.pairs)] if work.texts is not None else np.zeros(0),
        of_pairs=of_pairs,
        skipped=int(silent.sum()) - carried,
        needed=Needed(
            forward=load_of_trees(busy + idle), backward=load_of_trees(active(busy + idle))
        ),
    )


def reference_of(
    packed: Packed, pairs: Sequence[tuple[Tokens, Tokens]], term: PairTerm
) -> list[float]:
    """The number of each pair under the model as it is."""
    work = Work(texts=None, pairs=[pairs], names=[""] * len(pairs), term=term)
    goal = Goal.of([len(pairs)], term)
    trees, _ = _trees(work, Outlook(), packed.budget)
    looks = [packed.look(chunk, goal) for chunk in pack(trees, packed.budget)]
    return list(map(float, _values(looks, goal)[1:]))


def _values(passes: Sequence[Pass], goal: Goal) -> Floats:
    """(M + P,) the goal's numbers; a pair whose texts are equal is in no pass: its number is 0."""
    values = np.zeros(len(goal.shares))
    for done in passes:
        np.add.at(values, done.chunk.functionals, np.asarray(done.values, np.float64))
    return values


def _trees(work: Work, outlook: Outlook, budget: Budget) -> tuple[list[Tree], list[Tree]]:
    """Trees that likely need a backward pass, and those that likely do not.

    Functional m is the SFT loss of micro-step m, as far as a tree holds its texts; functional
    M + i is the number of pair i.
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
        parts = work.term.parts(*pair) if work.term else ()
        tree = grow(Term(p.text, number, 1 / p.divisor, p.start) for p in parts)
        (busy if outlook.expects(name) else idle).append(tree)
    return busy, idle
