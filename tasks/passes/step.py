"""The gradient of one optimizer step, packed: every micro-step in the same few passes.

The weights do not change inside an accumulation, so its micro-steps need no passes of their own:
the SFT mean of each and the hinge of each pair are functionals of the same token losses. A pair
whose hinge is zero has no gradient; passes that hold only such pairs end after the forward half.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_map
from numpy.typing import NDArray
from scipy.linalg import block_diag

from tasks.data.tokens import Tokens
from tasks.passes.budget import Budget
from tasks.passes.flops import Needed, load_of_trees
from tasks.passes.layout import Chunk, pack
from tasks.passes.packed import Objective, Packed
from tasks.passes.trie import Floats, Term, Tree, group, grow

LEAST_SHARED = 16
"""SFT texts with this many tokens in common become one tree."""
WORTH_ALL = 0.5
"""Up to this share of active tokens in a pass, those are run again by themselves: a forward pass
for the few costs less than a backward pass for all."""
MEMORY = 0.5
"""Weight of the past in the running share of active pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One optimizer step.

    Attributes:
        texts: SFT texts of each micro-step; None without an SFT loss.
        pairs: (positive, negative) of each micro-step, in the direction of training.
        names: Behaviour of each pair, in the order of `pairs`.
        rho_weight, margin: Of the hinge.
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
        gradient: Of the mean objective over the micro-steps; None where it is exactly zero.
        ce: (M,) SFT loss of each micro-step, nats per token; empty without an SFT loss.
        hinge: (P,) of each pair, nats per token.
        skipped: Pairs that had no backward pass.
        needed: What the losses and the gradient need at least.
    """

    gradient: Any | None
    ce: Floats
    hinge: Floats
    skipped: int
    needed: Needed


@dataclass(slots=True)
class Outlook:
    """Running share of active pairs of each behaviour, so that likely silent ones share a pass.

    It decides which pairs lie side by side, never whether one is computed.
    """

    share: dict[str, float] = field(default_factory=dict)

    def expects(self, name: str) -> bool:
        """Whether a pair of this behaviour is likelier active than not."""
        return self.share.get(name, 1.0) >= 0.5

    def learn(self, names: Sequence[str], active: NDArray[np.bool_]) -> None:
        """Take in what a step found."""
        for name in dict.fromkeys(names):
            now = float(active[np.array(names) == name].mean())
            self.share[name] = MEMORY * self.share.get(name, now) + (1 - MEMORY) * now


class _Ledger:
    """What the passes of a step have found so far; functionals are micro-steps, then pairs.

    Attributes:
        ce: (M,) SFT losses, filled pass by pass.
        hinge: (P,) of pairs; one whose two texts cancel altogether keeps the margin.
        postponed: Trees of active pairs that still need their backward pass.
        carried: Silent pairs that shared a backward pass with active ones.
    """

    def __init__(self, work: Work) -> None:
        counts = [len(pairs) for pairs in work.pairs]
        self._micro = len(counts)
        self._margin = work.margin
        self._pair_weights = np.repeat(
            [work.rho_weight / (self._micro * max(n, 1)) for n in counts], counts
        )
        self.ce = np.zeros(self._micro if work.texts is not None else 0)
        self.hinge = np.full(sum(counts), max(work.margin, 0.0))
        self.postponed: list[Tree] = []
        self.carried = 0

    def weigh(self, chunk: Chunk, losses: Floats) -> Floats:
        """(E,) derivative of the objective with respect to each loss."""
        return np.concatenate(
            [self._weights(tree) @ tree.weights for tree, _ in chunk.split(losses)]
        )

    def note_and_weigh(self, chunk: Chunk, losses: Floats) -> Floats:
        """As `weigh`, once what the losses say is noted; zeros where a pass is not worth it."""
        active = self.look(chunk, losses)
        if sum(t.size for t in active) < WORTH_ALL * sum(t.size for t in chunk.trees):
            self.postponed += active
            return np.zeros(len(losses))
        self.carried += len(chunk.trees) - len(active)
        return self.weigh(chunk, losses)

    def look(self, chunk: Chunk, losses: Floats) -> list[Tree]:
        """Note what the losses say; returns the trees that the gradient depends on."""
        for tree, part in chunk.split(losses):
            self._note(tree, tree.weights @ part)
        return [tree for tree in chunk.trees if self.matters(tree)]

    def objective(self, chunk: Chunk) -> Objective:
        """As `weigh`, for losses that are not known yet; also gives the functionals."""
        names = [f for tree in chunk.trees for f in tree.functionals]
        pairs = mx.array([f >= self._micro for f in names])
        scale = mx.array([self._scale(f) for f in names], mx.float32)

        def value(losses: mx.array) -> tuple[mx.array, mx.array]:
            values = _values(chunk, losses)
            hinged = mx.where(pairs, mx.maximum(values + self._margin, 0.0), values)
            return (scale * hinged).sum(), values

        return value

    def note(self, chunk: Chunk, values: mx.array) -> None:
        """Take in the functionals of a chunk, tree by tree."""
        parts = iter(np.asarray(values, np.float64).tolist())
        for tree in chunk.trees:
            self._note(tree, np.array([next(parts) for _ in tree.functionals]))

    def matters(self, tree: Tree) -> bool:
        """Whether the gradient depends on a tree, once its losses are noted."""
        return bool(self._weights(tree).any())

    def _note(self, tree: Tree, values: Floats) -> None:
        for functional, value in zip(tree.functionals, values, strict=True):
            if functional < self._micro:
                self.ce[functional] += value
            else:
                self.hinge[functional - self._micro] = max(value + self._margin, 0.0)

    def _weights(self, tree: Tree) -> Floats:
        """(F,) derivative of the objective with respect to each functional of a tree."""
        return np.array([self._weight(functional) for functional in tree.functionals])

    def _weight(self, functional: int) -> float:
        pair = functional - self._micro
        silent = pair >= 0 and self.hinge[pair] <= 0
        return 0.0 if silent else self._scale(functional)

    def _scale(self, functional: int) -> float:
        if functional < self._micro:
            return 1 / self._micro
        return float(self._pair_weights[functional - self._micro])


def take_step(packed: Packed, work: Work, outlook: Outlook, budget: Budget) -> Stepped:
    """Losses and gradient of one optimizer step; the weights stay as they are."""
    ledger = _Ledger(work)
    busy, idle = _trees(work, outlook, budget)
    run = _in_line if packed.lazy else _looking
    gradients = run(packed, ledger, busy, idle, budget)
    outlook.learn(work.names, ledger.hinge > 0)
    return Stepped(
        gradient=_sum([g for g in gradients if g is not None]),
        ce=ledger.ce,
        hinge=ledger.hinge,
        skipped=int((ledger.hinge <= 0).sum()) - ledger.carried,
        needed=Needed(
            forward=load_of_trees(busy + idle),
            backward=load_of_trees(t for t in busy + idle if ledger.matters(t)),
        ),
    )


def _looking(
    packed: Packed, ledger: _Ledger, busy: list[Tree], idle: list[Tree], budget: Budget
) -> list[Any | None]:
    """See every pass's losses before its backward half; on a CPU nothing is lost by waiting."""
    gradients = [
        packed.gradient(chunk, partial(ledger.note_and_weigh, chunk))
        for chunk in pack(busy, budget)
    ]
    for chunk in pack(idle, budget):
        ledger.postponed += ledger.look(chunk, np.asarray(packed.losses(chunk)))
    return gradients + [
        packed.gradient(chunk, partial(ledger.weigh, chunk))
        for chunk in pack(ledger.postponed, budget)
    ]


def _in_line(
    packed: Packed, ledger: _Ledger, busy: list[Tree], idle: list[Tree], budget: Budget
) -> list[Any | None]:
    """Put all passes in line and wait once: busy ones whole, idle ones without backward half."""
    done = [(c, *packed.lazy_gradient(c, ledger.objective(c))) for c in pack(busy, budget)]
    seen = [(c, _values(c, packed.losses(c))) for c in pack(idle, budget)]
    mx.async_eval([values for _, values in seen])  # type: ignore[no-untyped-call]  # no stub
    for chunk, values in [(c, v) for c, v, _ in done] + seen:
        ledger.note(chunk, values)
    ledger.carried = sum(not ledger.matters(tree) for chunk, _, _ in done for tree in chunk.trees)
    ledger.postponed = [t for chunk, _ in seen for t in chunk.trees if ledger.matters(t)]
    return [gradient for _, _, gradient in done] + [
        packed.lazy_gradient(chunk, ledger.objective(chunk))[1]
        for chunk in pack(ledger.postponed, budget)
    ]


def _values(chunk: Chunk, losses: Any) -> mx.array:
    """(F,) the chunk's functionals, tree by tree, not yet evaluated."""
    weights = block_diag(*(tree.weights for tree in chunk.trees)).astype(np.float32)
    found: mx.array = mx.array(weights) @ losses
    return found


def _trees(work: Work, outlook: Outlook, budget: Budget) -> tuple[list[Tree], list[Tree]]:
    """Trees that likely need a backward pass, and those that likely do not."""
    busy = _sft_trees(work, budget)
    idle: list[Tree] = []
    pairs = [pair for micro in work.pairs for pair in micro]
    for number, (pair, name) in enumerate(zip(pairs, work.names, strict=True), len(work.pairs)):
        tree = _pair_tree(pair, number)
        (busy if outlook.expects(name) else idle).append(tree)
    return busy, idle


def _pair_tree(pair: tuple[Tokens, Tokens], functional: int) -> Tree:
    """CE(positive) - CE(negative)."""
    signs = (1.0, -1.0)
    return grow(
        Term(text, functional, sign / (len(text) - 1))
        for text, sign in zip(pair, signs, strict=True)
    )


def _sft_trees(work: Work, budget: Budget) -> list[Tree]:
    """The SFT mean of every micro-step, texts with a common beginning together."""
    if work.texts is None:
        return []
    uses: dict[Tokens, list[Term]] = {}
    for micro, texts in enumerate(work.texts):
        share = 1 / sum(len(text) - 1 for text in texts)
        for text in texts:
            uses.setdefault(text, []).append(Term(text, micro, share))
    together = group(uses, budget.width, LEAST_SHARED)
    return [grow(term for text in texts for term in uses[text]) for texts in together]


def _sum(gradients: list[Any]) -> Any | None:
    if not gradients:
        return None
    total = gradients[0]
    for gradient in gradients[1:]:
        total = tree_map(mx.add, total, gradient)
    return total
