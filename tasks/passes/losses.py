"""The loss, and the losses of pairs that every way of computing it calls.

    L = L_SFT + rho_weight * mean over pairs of f(number of the pair)

L_SFT is the mean cross-entropy over all tokens of a micro-step's texts but the first of each, as
in mlx-lm. A pair's number is a sum of token losses, each with a weight that is known before:

    hinge          max(0, g + margin)                g = CE(x+) - CE(x-), of whole texts
    dpo            -log sigmoid(-beta * (g - ref))   g = log p(y-|x) - log p(y+|x), ref its base's
    simpo          -log sigmoid(-beta * g - gamma)   g = CE(y+|x) - CE(y-|x)
    unlikelihood   g                                 g = mean of -log(1 - p) over the tokens of y-

x is what the two texts of a pair begin with, y+ and y- the rest of each; CE is a mean over tokens,
nats per token. The hinge's texts count from their second token on.

`objective` is L of one micro-step, computed plainly: texts padded into batches. `Goal` is the mean
of L over the micro-steps of one optimizer step, in the form that packed passes need.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from numpy.typing import NDArray

from tasks.contract.cell import Condition, HingeSpec
from tasks.contract.conditions import PairLoss
from tasks.data.tokens import Tokens, shared_prefix
from tasks.passes.vocabulary_loss import cross_entropy

Losses = tuple[Any, Any]
"""Losses and their derivatives by what they are functions of, arrays of one shape and kind: MLX
where a gradient is wanted, else numpy."""
LEAST_LEFT = 1e-5
"""1 - p of a token is not taken to be less, as is usual: its log has to be finite."""


def hinge(gaps: Any, _: Any, margin: float) -> Losses:
    """max(0, CE(x+) - CE(x-) + margin) of each pair, nats per token.

    Args:
        gaps: (P,) CE(x+) - CE(x-).
        _: The reference, which it has no use for.
        margin: Separation asked for, nats per token.
    """
    xp = _library_of(gaps)
    losses = xp.maximum(gaps + margin, 0.0)
    return losses, xp.where(losses <= 0, 0.0, xp.ones_like(losses))


def dpo(gaps: Any, reference: Any, beta: float) -> Losses:
    """The objective of Rafailov et al. 2023, arXiv:2305.18290, for each pair.

    Args:
        gaps: (P,) log p(y-|x) - log p(y+|x) under the model, nats.
        reference: (P,) the same under the reference.
        beta: Multiplies their difference.
    """
    return _log_loss(gaps - reference, beta, 0.0)


def simpo(gaps: Any, _: Any, beta: float, gamma: float) -> Losses:
    """The objective of Meng, Xia and Chen 2024, arXiv:2405.14734, for each pair.

    Args:
        gaps: (P,) CE(y+|x) - CE(y-|x), nats per token.
        _: The reference, which it has no use for.
        beta: Multiplies the gap.
        gamma: What is asked of that product.
    """
    return _log_loss(gaps, beta, gamma)


def unlikelihood(losses: Any) -> Losses:
    """-log(1 - p) of undesired tokens, after Welleck et al. 2019, arXiv:1908.04319.

    Args:
        losses: -log p of each token, nats.
    """
    xp = _library_of(losses)
    left = xp.maximum(-xp.expm1(-losses), LEAST_LEFT)
    return -xp.log(left), xp.where(left <= LEAST_LEFT, 0.0, 1.0 - 1.0 / left)


def _log_loss(gaps: Any, beta: float, gamma: float) -> Losses:
    """-log sigmoid(-(beta * gap + gamma))."""
    xp = _library_of(gaps)
    asked = beta * gaps + gamma
    return xp.logaddexp(0.0, asked), beta * xp.exp(-xp.logaddexp(0.0, -asked))


@dataclass(frozen=True, slots=True)
class Part:
    """One text's part in the number of a pair.

    Attributes:
        text: The text.
        start: The first token that counts, at least 1.
        divisor: The sum over the tokens is divided by it.
    """

    text: Tokens
    start: int
    divisor: float


def whole_texts(positive: Tokens, negative: Tokens) -> tuple[Part, ...]:
    """CE(x+) - CE(x-)."""
    return Part(positive, 1, len(positive) - 1), Part(negative, 1, 1 - len(negative))


def continuations(positive: Tokens, negative: Tokens, *, mean: bool) -> tuple[Part, ...]:
    """-log p(y+|x) + log p(y-|x), in sums or in means over tokens; what is empty counts as 0."""
    start = max(1, shared_prefix(positive, negative))
    one, other = (max(1, len(t) - start) if mean else 1 for t in (positive, negative))
    return Part(positive, start, one), Part(negative, start, -other)


def undesired(positive: Tokens, negative: Tokens) -> tuple[Part, ...]:
    """A mean over the tokens of y-; what is empty counts as 0."""
    return (continuations(negative, positive, mean=True)[0],)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTerm:
    """A loss of pairs; in `TERMS` without its settings, which `term_of` gives it.

    Attributes:
        parts: A pair, in the direction of training -> its number.
        losses: (P,) numbers and (P,) their reference -> losses of the pairs.
        of_tokens: What the number is a sum of, as a function of token losses; None for themselves.
        weight: rho_weight.
    """

    parts: Callable[[Tokens, Tokens], tuple[Part, ...]]
    losses: Callable[..., Losses]
    of_tokens: Callable[[Any], Losses] | None = None
    weight: float = 1.0


TERMS: Mapping[PairLoss, PairTerm] = {
    PairLoss.HINGE: PairTerm(parts=whole_texts, losses=hinge),
    PairLoss.DPO: PairTerm(parts=partial(continuations, mean=False), losses=dpo),
    PairLoss.SIMPO: PairTerm(parts=partial(continuations, mean=True), losses=simpo),
    PairLoss.UNLIKELIHOOD: PairTerm(
        parts=undesired,
        losses=lambda numbers, _: (numbers, 0.0 * numbers + 1.0),
        of_tokens=unlikelihood,
    ),
}
if missing := set(PairLoss) - TERMS.keys():
    raise TypeError(f"no formula of the loss of pairs {', '.join(sorted(missing))}")


def term_of(condition: Condition, spec: HingeSpec) -> PairTerm:
    """The loss of pairs of a condition that has one.

    A setting, e.g. `dpo_beta`, is the argument of `losses` that its last word names: `beta`.
    """
    term = TERMS[condition.traits.pair_loss]
    settings = {name: getattr(spec, name) for name in condition.pair_settings}
    given = {name.rpartition("_")[2]: value for name, value in settings.items()}
    return replace(term, weight=spec.rho_weight, losses=partial(term.losses, **given))


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts padded to one length.

    Attributes:
        tokens: (B, T) int32.
        mask: (B, T - 1) float32; 1 where the next token is scored.
    """

    tokens: mx.array
    mask: mx.array


def pad(rows: Sequence[Tokens], starts: Sequence[int] | None = None) -> Batch:
    """Right-pad texts of at least two tokens each; a causal model never looks at the padding.

    Args:
        rows: The texts.
        starts: The first token of each that is scored; None: the second one.
    """
    width = max(len(row) for row in rows)
    tokens = np.zeros((len(rows), width), np.int32)
    mask = np.zeros((len(rows), width - 1), np.float32)
    for i, (row, start) in enumerate(zip(rows, starts or [1] * len(rows), strict=True)):
        tokens[i, : len(row)] = row
        mask[i, start - 1 : len(row) - 1] = 1
    return Batch(mx.array(tokens), mx.array(mask))


@dataclass(frozen=True, slots=True)
class PairBatch:
    """The parts of P pairs padded to one length: the first part of every pair, then the second.

    Attributes:
        texts: (P * parts, ...).
        divisors: (P * parts,) float32, as `Part` has them.
        reference: (P,) float32 numbers of the pairs under the reference; 0 without one.
    """

    texts: Batch
    divisors: mx.array
    reference: mx.array

    @classmethod
    def of(
        cls,
        term: PairTerm,
        pairs: Sequence[tuple[Tokens, Tokens]],
        reference: Sequence[float] | None = None,
    ) -> "PairBatch":
        """Pairs in the direction of training, laid out for one loss."""
        by_pair = [term.parts(*pair) for pair in pairs]
        parts = [part for kind in zip(*by_pair, strict=True) for part in kind]
        return cls(
            texts=pad([p.text for p in parts], [p.start for p in parts]),
            divisors=mx.array([p.divisor for p in parts], mx.float32),
            reference=mx.array([*(reference or [0.0] * len(pairs))], mx.float32),
        )


def token_cross_entropy(model: nn.Module, batch: Batch) -> mx.array:
    """(B, T - 1) float32 cross-entropy of every token but the first, nats; 0 at padding."""
    losses, _ = cross_entropy(model(batch.tokens[:, :-1]), batch.tokens[:, 1:])
    return losses * batch.mask


def sft_loss(model: nn.Module, batch: Batch) -> mx.array:
    """Scalar mean over the batch's tokens, nats per token."""
    return token_cross_entropy(model, batch).sum() / batch.mask.sum()


def pair_numbers(model: nn.Module, batch: PairBatch, term: PairTerm) -> mx.array:
    """(P,) the number of each pair."""
    losses = token_cross_entropy(model, batch.texts)
    if term.of_tokens is not None:
        losses = term.of_tokens(losses)[0] * batch.texts.mask
    first, *others = mx.split(
        losses.sum(axis=1) / batch.divisors, len(batch.divisors) // len(batch.reference)
    )
    return sum(others, first)


def objective(
    model: nn.Module, sft: Batch | None, pairs: PairBatch | None, term: PairTerm | None
) -> tuple[mx.array, mx.array, mx.array]:
    """L of one micro-step, differentiable in the model's trainable parameters.

    Args:
        model: A causal language model.
        sft: SFT texts; None without an SFT loss.
        pairs: None without a loss of pairs.
        term: That loss.

    Returns:
        loss: Scalar.
        ce: Scalar L_SFT; 0 without `sft`.
        of_pairs: (P,) loss of each pair; empty without `pairs`.
    """
    ce = sft_loss(model, sft) if sft is not None else mx.array(0.0)
    if pairs is None or term is None:
        return ce, ce, mx.zeros((0,))
    of_pairs, _ = term.losses(pair_numbers(model, pairs, term), pairs.reference)
    return ce + term.weight * of_pairs.mean(), ce, of_pairs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Goal:
    """The mean of L over the M micro-steps of one optimizer step, with P pairs in all.

    It is a function of M + P numbers: first the SFT loss of each micro-step, then the number of
    each pair in order. They are linear in the tokens' cross-entropies, or in a function of these
    (`tokens`). Trees refer to them by position (`Tree.functionals`); no tree has SFT texts and a
    pair.

    Attributes:
        shares: (M + P,) what an SFT loss, or a pair's loss, is multiplied by in the mean.
        micro_steps: M.
        term: The loss of pairs; None without pairs.
        reference: (M + P,) of the pairs' numbers; 0 for the others, and without one.
    """

    shares: NDArray[np.float64]
    micro_steps: int
    term: PairTerm | None
    reference: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        pairs: Sequence[int],
        term: PairTerm | None = None,
        reference: Sequence[float] | None = None,
    ) -> "Goal":
        """The goal of micro-steps with so many pairs each."""
        m, weight = len(pairs), term.weight if term else 0.0
        of_pairs = [weight / (m * n) for n in pairs for _ in range(n)]
        return cls(
            shares=np.array([1 / m] * m + of_pairs),
            micro_steps=m,
            term=term,
            reference=np.array([0.0] * m + [*(reference or [0.0] * len(of_pairs))]),
        )

    def losses(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(P,) losses of the pairs, from all (M + P,) numbers."""
        m = self.micro_steps
        if self.term is None:
            return np.zeros(0)
        of_pairs: NDArray[np.float64] = self.term.losses(values[m:], self.reference[m:])[0]
        return of_pairs

    def slopes(self, functionals: NDArray[np.int64], values: Any) -> Any:
        """Derivative of the goal by each of its numbers; 0 e.g. where a hinge is 0.

        Args:
            functionals: (F,) which of the M + P numbers.
            values: (F,) what they are; a numpy or an MLX array.

        Returns:
            (F,) float64 numpy or float32 MLX array, like `values`.
        """
        xp = _library_of(values)
        shares, reference = (
            xp.array(of_all[functionals]).astype(values.dtype)
            for of_all in (self.shares, self.reference)
        )
        if self.term is None:
            return shares
        of_pair = xp.array(functionals >= self.micro_steps)
        return xp.where(of_pair, shares * self.term.losses(values, reference)[1], shares)

    def tokens(self, functionals: NDArray[np.int64], losses: Any) -> tuple[Any, Any]:
        """What the goal's numbers are linear in.

        Args:
            functionals: (E,) a number that each token's loss is part of.
            losses: (E,) cross-entropies of the tokens, nats; a numpy or an MLX array.

        Returns:
            (E,) values, and their derivatives by the losses, or 1 for all of them.
        """
        if self.term is None or self.term.of_tokens is None:
            return losses, 1.0
        xp = _library_of(losses)
        of_pair = xp.array(functionals >= self.micro_steps)
        bent, slopes = self.term.of_tokens(losses)
        return xp.where(of_pair, bent, losses), xp.where(of_pair, slopes, 1.0)


def _library_of(values: Any) -> Any:
    """MLX inside a gradient; numpy elsewhere, in float64."""
    return np if isinstance(values, np.ndarray) else mx
