"""How a model's weights are stored, in one word."""

import pytest

from tasks.sources.model_files import precision


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"torch_dtype": "bfloat16"}, "bfloat16"),
        ({}, "unknown"),
        ({"quantization": {"group_size": 64, "bits": 4}}, "q4"),
        ({"quantization": {"bits": 4, "lm_head": {"bits": 4}, "layers.0.mlp": False}}, "q4"),
        ({"quantization": {"bits": 4, "lm_head": {"group_size": 64, "bits": 6}}}, "q4/6"),
        ({"quantization_config": {"bits": 8, "a": {"bits": 3}, "b": {"bits": 8}}}, "q3/8"),
        ({"quantization": {"mode": "other"}}, "q?"),
    ],
)
def test_the_bits_of_all_parts_are_named(config, word):
    assert precision(config) == word
