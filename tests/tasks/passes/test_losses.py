"""Losses and gradients of batches equal those of one text at a time."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlx.utils import tree_flatten

from tasks.contract.cell import ModelSpec, TrainSpec
from tasks.model.model import Models, attached
from tasks.passes.losses import (
    Goal,
    PairBatch,
    hinge,
    objective,
    pad,
    sft_loss,
    token_cross_entropy,
)
from tests.tasks.passes import reference

TEXT = st.lists(st.integers(0, 300), min_size=2, max_size=24).map(tuple)
QUICK = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def base(toy):
    return Models().get(ModelSpec(name=str(toy)))


def perturb(model) -> None:
    """LoRA starts with B = 0, where A has no gradient; move off that point."""
    rng = np.random.default_rng(7)
    values = tree_flatten(model.trainable_parameters())
    model.load_weights(
        [(k, v + mx.array(rng.normal(0, 0.05, v.shape).astype(np.float32))) for k, v in values],
        strict=False,
    )


def text_cross_entropy(model, batch):
    """(B,) mean over each text's tokens."""
    return token_cross_entropy(model, batch).sum(axis=1) / batch.mask.sum(axis=1)


@QUICK
@given(texts=st.lists(TEXT, min_size=1, max_size=5))
def test_padding_never_changes_a_mean(base, texts):
    batched = np.array(text_cross_entropy(base.model, pad(texts)))
    single = [float(reference.text_ce(base.model, t)) for t in texts]
    np.testing.assert_allclose(batched, single, rtol=1e-5)


@QUICK
@given(texts=st.lists(TEXT, min_size=1, max_size=4))
def test_the_sft_loss_is_the_mean_over_tokens_not_over_texts(base, texts):
    found = float(sft_loss(base.model, pad(texts)))
    assert found == pytest.approx(float(reference.sft_loss(base.model, texts)), rel=1e-5)


@pytest.mark.slow
@QUICK
@given(
    texts=st.lists(TEXT, min_size=0, max_size=2),
    pairs=st.lists(st.tuples(TEXT, TEXT).filter(lambda p: p[0] != p[1]), min_size=1, max_size=3),
    margin=st.sampled_from([0.0, 0.1, 2.0]),
)
def test_loss_and_gradients_equal_one_pair_at_a_time(base, texts, pairs, margin):
    with attached(base, TrainSpec(), seed=3):
        perturb(base.model)
        sft = pad(texts) if texts else None
        term = reference.a_term(rho_weight=0.5, margin=margin)
        value_and_grad = nn.value_and_grad(base.model, objective)
        (loss, _, _), grad = value_and_grad(base.model, sft, PairBatch.of(term, pairs), term)
        slow = reference.gradient(base.model, [(texts, pairs)], 0.5, margin)
        expected = reference.objective(base.model, texts, pairs, 0.5, margin)
        assert float(loss) == pytest.approx(float(expected), rel=1e-4, abs=1e-6)
        scale = max(float(mx.abs(v).max()) for v in slow.values())
        for name, value in tree_flatten(grad):
            np.testing.assert_allclose(value, slow[name], rtol=1e-4, atol=1e-4 * scale + 1e-7)


def hinge_of(model, positive, negative, margin):
    term = reference.a_term(margin=margin)
    _, _, (found,) = objective(model, None, PairBatch.of(term, [(positive, negative)]), term)
    return float(found)


def test_a_separated_pair_has_a_hinge_of_exactly_zero(base):
    positive, negative = (5, 6, 7), (5, 9, 11)
    ce = np.array(text_cross_entropy(base.model, pad([positive, negative])))
    if ce[0] > ce[1]:
        positive, negative = negative, positive
    assert hinge_of(base.model, positive, negative, margin=0.0) == 0.0


def test_an_identical_pair_has_a_hinge_of_exactly_the_margin(base):
    found = hinge_of(base.model, (5, 6, 7), (5, 6, 7), margin=0.25)
    assert found == pytest.approx(0.25, abs=1e-7)


NATS = st.floats(-3, 3, width=32)


@given(gaps=st.lists(NATS, min_size=1, max_size=6), margin=st.sampled_from([0.0, 0.1, 2.0]))
def test_the_hinge_is_the_same_in_numpy_in_mlx_and_by_hand(gaps, margin):
    by_hand = [gap + margin if gap + margin > 0 else 0.0 for gap in gaps]
    np.testing.assert_array_equal(hinge(np.array(gaps), None, margin)[0], by_hand)
    in_mlx, _ = hinge(mx.array(gaps), None, margin)
    np.testing.assert_allclose(in_mlx, by_hand, rtol=1e-6, atol=1e-6)


@given(
    micro=st.lists(st.tuples(NATS, st.lists(NATS, min_size=1, max_size=3)), min_size=1, max_size=4),
    rho_weight=st.sampled_from([0.2, 1.0]),
    margin=st.sampled_from([0.0, 0.1, 2.0]),
)
def test_slopes_are_the_derivative_of_the_mean_loss_over_micro_steps(micro, rho_weight, margin):
    counts = [len(gaps) for _, gaps in micro]
    values = mx.array([ce for ce, _ in micro] + [gap for _, gaps in micro for gap in gaps])

    def mean_loss(values):
        losses = []
        for m, gaps in enumerate(mx.split(values[len(micro) :], np.cumsum(counts[:-1]).tolist())):
            losses.append(values[m] + rho_weight * mx.maximum(gaps + margin, 0.0).mean())
        return sum(losses) / len(losses)

    goal = Goal.of(counts, reference.a_term(rho_weight=rho_weight, margin=margin))
    numbers = np.arange(len(values))
    expected = np.array(mx.grad(mean_loss)(values))
    np.testing.assert_allclose(goal.slopes(numbers, values), expected, rtol=1e-6)
    np.testing.assert_allclose(goal.slopes(numbers, np.array(values)), expected, rtol=1e-6)
