"""How a model's weights are stored, in one word."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from tasks.contract.cell import ModelSpec
from tasks.model.model import Models
from tasks.sources.model_files import ModelFiles, precision, read_folder
from tests.models.zoo import MIXED
from tests.toys import make_model


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
def test_the_bits_of_all_parts_are_named(tmp_path, config, word):
    save_file({"a.scales": np.ones(1, np.float32)}, tmp_path / "model.safetensors")
    files = ModelFiles(folder=tmp_path, config=config, digest="", weight_bytes=4)
    assert precision(files) == word


def test_weights_that_a_config_calls_quantised_and_are_not_have_their_own_type(tmp_path):
    folder = make_model(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    config["quantization"] = {"group_size": 32, "bits": 4}
    (folder / "config.json").write_text(json.dumps(config))
    files = read_folder(folder)
    assert precision(files) == "float32"
    assert Models().get(ModelSpec(name=str(folder))).precision == "float32"


@pytest.mark.parametrize(("mixed", "word"), [({}, "q4"), (MIXED, "q4/6")])
def test_a_plan_and_a_cell_name_the_same_bits(tmp_path, mixed, word):
    folder = make_model(tmp_path / "m", bits=4, mixed=mixed)
    assert precision(read_folder(folder)) == word
    assert Models().get(ModelSpec(name=str(folder))).precision == word
