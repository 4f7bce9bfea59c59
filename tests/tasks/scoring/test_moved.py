"""What else changed: cross-entropy and divergence against the base, the adapter off and on."""

import mlx.core as mx
import numpy as np
import pytest

from tasks.contract.cell import General, ModelSpec, TrainSpec
from tasks.data.general import LONGEST, neutral_texts, unused_texts
from tasks.data.limits import Limits
from tasks.data.sft import INSTRUCTION, Record
from tasks.model.model import Models, attached, trainable
from tasks.scoring.moved import moved

NO_LIMITS = Limits(vocabulary=None, positions=None)


@pytest.fixture(scope="module")
def base(toy):
    return Models().get(ModelSpec(name=str(toy)))


@pytest.fixture(scope="module")
def texts(base):
    return neutral_texts(base.tokenizer, base.limits, 256)


def obvious(model, texts) -> np.ndarray:
    """All log-probabilities of one text after the other, float64."""
    rows = []
    for text in texts:
        logits = np.asarray(model(mx.array([text[:-1]]))[0].astype(mx.float32), np.float64)
        rows.append(logits - np.log(np.exp(logits).sum(-1, keepdims=True)))
    return np.concatenate(rows)


def test_the_base_has_not_moved_from_itself(base, texts):
    found = moved(base.model, texts, base.vocabulary)
    assert found.kl == 0
    assert found.ce == found.ce_base > 0


def test_an_adapter_moves_the_model_by_what_the_definitions_say_and_comes_back(base, texts):
    before = obvious(base.model, texts)
    with attached(base, TrainSpec(lora_keys=("q_proj", "v_proj")), 1):
        rng = np.random.default_rng(0)
        weights = [
            (k, mx.array(rng.normal(0, 0.3, v.shape)).astype(v.dtype))
            for k, v in trainable(base.model).items()
        ]
        base.model.load_weights(weights, strict=False)
        base.model.eval()
        after = obvious(base.model, texts)
        found = moved(base.model, texts, base.vocabulary)
        assert np.array_equal(obvious(base.model, texts), after)
    targets = np.concatenate([text[1:] for text in texts])
    place = np.arange(len(targets))
    assert found.ce == pytest.approx(-after[place, targets].mean(), rel=1e-5)
    assert found.ce_base == pytest.approx(-before[place, targets].mean(), rel=1e-5)
    kl = (np.exp(after) * (after - before)).sum(-1).mean()
    assert found.kl == pytest.approx(kl, rel=1e-4)
    assert found.kl > 1e-4


def test_without_texts_nothing_is_measured(base):
    assert moved(base.model, (), base.vocabulary) == General()


def test_texts_that_a_model_cannot_be_fed_are_left_out_and_long_ones_are_cut(base):
    records = [
        Record(INSTRUCTION, {"text": "one two three"}),
        Record(INSTRUCTION, {"text": "word " * 500}),
        Record(INSTRUCTION, {"prompt": "no", "completion": "template here"}),
    ]
    found = unused_texts(base.tokenizer, records, "plain", NO_LIMITS, 256)
    assert [len(text) for text in found][-1] == LONGEST
    assert unused_texts(base.tokenizer, records, "plain", NO_LIMITS, 8)[-1][8:] == ()
    few = Limits(vocabulary=1, positions=None)
    assert neutral_texts(base.tokenizer, few, 256) == ()
