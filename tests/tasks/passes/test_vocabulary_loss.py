"""Cross-entropies over long vocabularies are exact to float32 rounding, on every path."""

import mlx.core as mx
import numpy as np
import pytest

from tasks.passes.losses import Batch, token_cross_entropy
from tasks.passes.vocabulary_loss import HeadLoss, differentiable_losses, lazy_losses

ROWS = 12
WAYS = ["plain", "lazy", "with gradient", "at once"]


def identity(hidden):
    """A head whose hidden states are the logits."""
    return hidden


def losses(way, logits, targets):
    if way == "plain":
        tokens = mx.concatenate([mx.zeros((1, 1), mx.int32), targets[None]], axis=1)
        batch = Batch(tokens, mx.ones((1, ROWS)))
        return token_cross_entropy(lambda _: logits[None], batch)[0]
    if way == "at once":
        return HeadLoss(identity, logits, targets).losses
    function = lazy_losses if way == "lazy" else differentiable_losses
    return function(identity, logits, targets)


def drawn(vocabulary, sd):
    """Logits, targets, and losses and probabilities in float64."""
    rng = np.random.default_rng(vocabulary)
    logits = rng.normal(0, sd, (ROWS, vocabulary)).astype(np.float32)
    targets = rng.integers(0, vocabulary, ROWS).astype(np.int32)
    exponentials = np.exp(logits.astype(np.float64))
    sums = exponentials.sum(axis=1, keepdims=True)
    exact = np.log(sums[:, 0]) - logits[np.arange(ROWS), targets].astype(np.float64)
    return mx.array(logits), mx.array(targets), exact, exponentials / sums


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("vocabulary", [2, 255, 257, 49152, 50257, 152064])
@pytest.mark.parametrize("sd", [0.5, 3.0])
def test_a_loss_is_exact_to_float32_rounding(way, vocabulary, sd):
    logits, targets, exact, _ = drawn(vocabulary, sd)
    found = np.asarray(losses(way, logits, targets), np.float64)
    assert np.abs(found - exact).max() < 5e-6


@pytest.mark.parametrize("way", ["plain", "with gradient", "at once"])
@pytest.mark.parametrize("vocabulary", [257, 49152, 152064])
def test_a_gradient_is_exact_to_float32_rounding(way, vocabulary):
    logits, targets, _, expected = drawn(vocabulary, 3.0)
    expected[np.arange(ROWS), np.asarray(targets)] -= 1.0
    if way == "at once":
        found = HeadLoss(identity, logits, targets).gradient(np.ones(ROWS))
    else:
        found = mx.grad(lambda x: losses(way, x, targets).sum())(logits)
    error = np.abs(np.asarray(found, np.float64) - expected).sum(axis=1)
    assert (error < 1e-5 * np.abs(expected).sum(axis=1)).all()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("where", ["first", "last", "everywhere"])
def test_a_logit_that_is_no_number_makes_its_rows_loss_no_number(way, where):
    logits, targets, _, _ = drawn(257, 1.0)
    values = np.array(logits)
    values[3, {"first": 0, "last": -1, "everywhere": slice(None)}[where]] = np.nan
    found = np.asarray(losses(way, mx.array(values), targets))
    assert not np.isfinite(found[3])
    assert np.isfinite(np.delete(found, 3)).all()
