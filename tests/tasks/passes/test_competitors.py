"""The losses of competitors are those of their papers: written again in numpy, on every path.

A pair is a prompt, which its texts share, and two continuations: token log-probabilities of these
go into the formulas. Slopes by token are central differences of the formulas; a model turns them
into the gradient of a sum of token losses, one text at a time.
"""

import math

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

from tasks.contract.cell import ModelSpec, TrainSpec
from tasks.model.model import Models, attached
from tasks.passes.budget import Budget
from tasks.passes.losses import Goal, PairBatch, objective, pad, pair_numbers
from tasks.passes.packed import packed
from tasks.passes.step import Outlook, Work, reference_of, take_step
from tests.tasks.passes.reference import a_term
from tests.tasks.passes.test_losses import perturb

WEIGHT = 0.7
HEAD = tuple(range(20, 40))
SFT = [(1, 2, 3, 4, 5, 6), (9, 8, 7)]
PAIRS = [
    ((*HEAD, 60, 61, 62), (*HEAD, 70)),
    ((5, 6, 7, 8), (5, 6, 9)),
    ((3, 4, 9), (4, 3)),
    ((11, 12, 13), (11, 12, 13, 14)),
    ((11, 12, 13, 14), (11, 12)),
]
"""Of unequal length, without a common prompt, and where one text begins the other."""
WAYS = pytest.mark.parametrize("way", ["plain", "packed", "packed in line"])


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def paper_dpo(chosen, rejected, ref_chosen, ref_rejected, beta):
    """Rafailov et al. 2023, arXiv:2305.18290."""
    now = chosen.sum() - ref_chosen.sum()
    return -math.log(sigmoid(beta * now - beta * (rejected.sum() - ref_rejected.sum())))


def paper_simpo(chosen, rejected, _, __, beta, gamma):
    """Meng, Xia and Chen 2024, arXiv:2405.14734; an empty continuation has the reward 0."""
    rewards = [beta / max(1, len(y)) * y.sum() for y in (chosen, rejected)]
    return -math.log(sigmoid(rewards[0] - rewards[1] - gamma))


def paper_unlikelihood(_, rejected, __, ___):
    """Welleck et al. 2019, arXiv:1908.04319: a mean over the tokens; of no token it is 0."""
    return sum(-math.log(1 - math.exp(x)) for x in rejected) / max(1, len(rejected))


LOSSES = {
    "dpo": (paper_dpo, {"dpo_beta": 0.3}),
    "simpo": (paper_simpo, {"simpo_beta": 2.0, "simpo_gamma": 1.0}),
    "unlikelihood": (paper_unlikelihood, {}),
}


@pytest.fixture(scope="module")
def base(toy):
    return Models().get(ModelSpec(name=str(toy)))


def token_losses(model, text):
    """(T - 1,) cross-entropies of one text, differentiable."""
    logits = model(mx.array([text[:-1]]))[0]
    logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    return -mx.stack([logprobs[i, t] for i, t in enumerate(text[1:])])


def logprobs(model, pair):
    """Float64 token log-probabilities of both continuations."""
    logits = [np.array(model(mx.array([text[:-1]]))[0], np.float64) for text in pair]
    found = [
        np.array([r[t] - np.log(np.exp(r).sum()) for r, t in zip(rows, text[1:], strict=True)])
        for rows, text in zip(logits, pair, strict=True)
    ]
    return [values[prompt_of(pair) - 1 :] for values in found]


def prompt_of(pair):
    """Tokens that both texts begin with; the first one is never predicted."""
    a, b = pair
    return max(
        1, next((i for i in range(min(map(len, pair))) if a[i] != b[i]), min(map(len, pair)))
    )


def by_hand(model, formula, settings, references):
    """Loss of each pair, and the gradient of SFT loss + weight * mean of them."""
    values, slopes = [], []
    for pair, reference in zip(PAIRS, references, strict=True):
        given = logprobs(model, pair)
        values.append(formula(*given, *reference, *settings.values()))
        of_texts = []
        for side in (0, 1):
            moved = []
            for i in range(len(given[side])):
                ends = []
                for step in (1e-5, -1e-5):
                    other = [x.copy() for x in given]
                    other[side][i] += step
                    ends.append(formula(*other, *reference, *settings.values()))
                moved.append((ends[0] - ends[1]) / 2e-5)
            of_texts.append(np.concatenate([np.zeros(prompt_of(pair) - 1), moved]))
        slopes.append(of_texts)

    def linear(model):
        tokens = [token_losses(model, text) for text in SFT]
        loss = sum(t.sum() for t in tokens) / sum(len(t) for t in tokens)
        for pair, of_texts in zip(PAIRS, slopes, strict=True):
            for text, slope in zip(pair, of_texts, strict=True):
                weights = mx.array((-WEIGHT / len(PAIRS) * slope).astype(np.float32))
                loss = loss + (weights * token_losses(model, text)).sum()
        return loss

    return values, dict(tree_flatten(nn.value_and_grad(model, linear)(model)[1]))


def ours(base, way, term, reference):
    """Loss of each pair and the gradient, as a training step computes them."""
    if way == "plain":
        pairs = PairBatch.of(term, PAIRS, reference)
        both = nn.value_and_grad(base.model, objective)
        (_, _, of_pairs), gradient = both(base.model, pad(SFT), pairs, term)
        return np.array(of_pairs), dict(tree_flatten(gradient))
    work = Work(
        texts=[SFT], pairs=[PAIRS], names=["b"] * len(PAIRS), term=term, reference=reference
    )
    with packed(base.model, lazy=way == "packed in line") as ready:
        done = take_step(ready, work, Outlook(), Budget(width=32, rows=2))
    return done.of_pairs, dict(tree_flatten(done.gradient))


def reference_by(base, way, term):
    if way == "plain":
        return [pair_numbers(base.model, PairBatch.of(term, [p]), term).item() for p in PAIRS]
    with packed(base.model, lazy=way == "packed in line") as ready:
        return reference_of(ready, PAIRS, term)


@pytest.mark.slow
@WAYS
@pytest.mark.parametrize("condition", LOSSES)
def test_loss_and_gradient_are_those_of_the_paper(base, condition, way):
    formula, settings = LOSSES[condition]
    term = a_term(condition, WEIGHT, **settings)
    untrained = [logprobs(base.model, pair) for pair in PAIRS]
    reference = reference_by(base, way, term) if condition == "dpo" else None
    with attached(base, TrainSpec(), seed=3):
        perturb(base.model)
        values, expected = by_hand(base.model, formula, settings, untrained)
        found, gradient = ours(base, way, term, reference)
    np.testing.assert_allclose(found, values, rtol=1e-5, atol=1e-5)
    scale = max(float(mx.abs(v).max()) for v in expected.values())
    for name, value in expected.items():
        np.testing.assert_allclose(gradient[name], value, atol=1e-5 * scale, err_msg=name)


@WAYS
def test_dpo_begins_at_log_2_and_with_half_of_beta_as_slope(base, way):
    term = a_term("dpo", dpo_beta=0.3)
    reference = reference_by(base, way, term)
    with attached(base, TrainSpec(), seed=3):  # the adapter changes nothing at its start
        found, _ = ours(base, way, term, reference)
    np.testing.assert_allclose(found, math.log(2), atol=1e-5)
    goal = Goal.of([2], term, [0.5, -0.5])
    slopes = goal.slopes(np.arange(3), np.array([1.0, 0.5, -0.5]))
    np.testing.assert_allclose(slopes, [1.0, 0.5 * 0.3 / 2 / 2, 0.5 * 0.3 / 2 / 2])


@WAYS
def test_dpo_at_beta_0_is_log_2_everywhere_and_has_no_gradient(base, way):
    reference = [0.0, 3.0, -3.0, 50.0, 0.0]
    with attached(base, TrainSpec(), seed=3):
        perturb(base.model)
        found, gradient = ours(base, way, a_term("dpo", dpo_beta=0.0), reference)
        _, without = ours(base, way, a_term("dpo", 0.0, dpo_beta=1.0), reference)
    np.testing.assert_allclose(found, math.log(2), rtol=1e-7)
    for name, value in without.items():
        np.testing.assert_allclose(gradient[name], value, atol=2e-6)


@WAYS
def test_a_sure_undesired_token_has_a_finite_penalty(base, way, monkeypatch):
    """Float32 knows no 1 - p below 6e-8: the log of it would be infinite."""
    monkeypatch.setattr("tasks.passes.losses.LEAST_LEFT", 1.0)
    with attached(base, TrainSpec(), seed=3):
        perturb(base.model)
        found, gradient = ours(base, way, a_term("unlikelihood", WEIGHT), None)
        _, without = ours(base, way, a_term("unlikelihood", 0.0), None)
    np.testing.assert_allclose(found, 0.0, atol=1e-7)
    for name, value in without.items():
        np.testing.assert_allclose(gradient[name], value, rtol=1e-5, atol=2e-6)
