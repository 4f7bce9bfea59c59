"""The model that ships with the project loads like any other and knows something."""

from pathlib import Path

import mlx_lm
from mlx.utils import tree_flatten

from tasks.contract import ModelSpec
from tasks.model import Models
from tasks.model_files import TINY
from tasks.probes import prepare_probes
from tasks.score import score
from tasks.tokens import encode_pairs


def test_it_loads_through_mlx_lm_and_has_about_a_million_parameters():
    model, tokenizer = mlx_lm.load(str(TINY))
    assert 0.7e6 < sum(v.size for _, v in tree_flatten(model.parameters())) < 1.6e6
    assert tokenizer.decode(tokenizer.encode("The sky is blue.")) == "The sky is blue."


def test_it_is_small_enough_to_ship():
    assert sum(p.stat().st_size for p in Path(TINY).iterdir()) < 8 << 20


def test_it_knows_the_facts_of_the_training_split_but_not_the_other_behaviours():
    base = Models().get(ModelSpec(name="tiny"))
    probes = prepare_probes("starter", (), ("factual", "toxicity", "sycophancy"), 0.25)
    encoded = encode_pairs(base.tokenizer, probes.evaluated, 256)
    scores, _ = score(base.model, encoded, probes.split, base.files.config["vocab_size"])
    accuracy = {s.behavior: s.accuracy for s in scores if s.split == "train"}
    assert accuracy["factual"] >= 0.75
    assert 0.3 <= accuracy["toxicity"] <= 0.7
    assert 0.3 <= accuracy["sycophancy"] <= 0.7
    assert not encoded.excluded
