"""A slow, obvious loss: one text at a time, without batches, padding or shared prefixes.

The hinge is the product's own; `test_losses.py` compares it with the formula written by hand.
"""

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from tasks.contract.cell import Condition, HingeSpec
from tasks.passes.losses import PairTerm, hinge, term_of


def a_term(condition="rho-guided", rho_weight=0.5, **settings) -> PairTerm:
    """The loss of pairs of a condition, as a cell with these settings has it."""
    spec = HingeSpec(
        rho_weight=rho_weight, pairs_per_step=1, behaviors=("b",), pool_digest="", **settings
    )
    return term_of(Condition(condition), spec)


def text_ce(model, tokens) -> mx.array:
    """Mean cross-entropy of one text, nats per token."""
    logits = model(mx.array([tokens[:-1]]))[0]
    logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    picked = [logprobs[i, t] for i, t in enumerate(tokens[1:])]
    return -sum(picked[1:], picked[0]) / len(picked)


def sft_loss(model, texts) -> mx.array:
    """Mean over all tokens of the texts."""
    total = sum(text_ce(model, t) * (len(t) - 1) for t in texts)
    return total / sum(len(t) - 1 for t in texts)


def objective(model, texts, pairs, rho_weight, margin) -> mx.array:
    """The loss of one micro-step."""
    loss = sft_loss(model, texts) if texts else mx.array(0.0)
    for positive, negative in pairs:
        gap = text_ce(model, positive) - text_ce(model, negative)
        loss = loss + rho_weight * hinge(gap, None, margin)[0] / len(pairs)
    return loss


def gradient(model, micro_steps, rho_weight, margin) -> dict[str, mx.array]:
    """Mean gradient over [(texts, pairs), ...]."""
    total: dict[str, mx.array] = {}
    for texts, pairs in micro_steps:
        grad = nn.value_and_grad(model, objective)(model, texts, pairs, rho_weight, margin)[1]
        for name, value in tree_flatten(grad):
            total[name] = total.get(name, 0.0) + value / len(micro_steps)
    return total
