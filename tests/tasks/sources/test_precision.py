"""How a model's weights are stored, in one word."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tasks.contract.cell import ModelSpec
from tasks.model.model import Models
from tasks.sources.model_files import ModelFiles, precision, read_folder
from tests.models.zoo import MIXED
from tests.toys import make_model


@pytest.mark.parametrize(
    ("config", "word"),
    [
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


@pytest.mark.slow
@pytest.mark.parametrize("said", ["bfloat16", "float16", None])
@pytest.mark.parametrize(("stored", "word"), [("f4", "float32"), ("f2", "float16")])
def test_the_type_is_that_of_the_weights_whatever_the_config_says(tmp_path, stored, word, said):
    folder = make_model(tmp_path / "m", torch_dtype=said)
    tensors = {k: v.astype(stored) for k, v in load_file(folder / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors")
    assert precision(read_folder(folder)) == word
    assert Models().get(ModelSpec(name=str(folder))).precision == word
    tensors["model.norm.weight"] = tensors["model.norm.weight"].astype(
        "f2" if stored == "f4" else "f4"
    )
    save_file(tensors, folder / "model.safetensors")
    assert precision(read_folder(folder)) == "mixed"
    assert Models().get(ModelSpec(name=str(folder))).precision == "mixed"


def test_weights_of_a_type_that_mlx_has_no_name_for_have_the_config_s(tmp_path):
    save_file({"a": np.ones(1, np.uint8)}, tmp_path / "model.safetensors")
    for config, word in (({"dtype": "bfloat16"}, "bfloat16"), ({}, "unknown")):
        files = ModelFiles(folder=tmp_path, config=config, digest="", weight_bytes=1)
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
