"""A model directory of another person: nothing in it is run, and what is broken is one sentence."""

import json
import os
import shutil
import sys

import pytest

from orchestrator.cells.resolve import FileResolver
from tasks.contract.cell import NodeError
from tasks.data.rendering import load_tokenizer
from tasks.model.model import Models, _load_weights
from tasks.sources.mlx_lm_kinds import BITS
from tasks.sources.model_files import locate
from tests.toys import make_model


def change(name: str, **values: object):
    def apply(folder) -> None:
        path = folder / name
        content = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps(content | values))

    return apply


def write(name: str, content: bytes):
    return lambda folder: (folder / name).write_bytes(content)


def cut(folder) -> None:
    path = next(folder.glob("model*.safetensors"))
    os.truncate(path, path.stat().st_size - 100)


BROKEN = {
    "tokenizer of no known kind": write("tokenizer.json", b'{"model": {"type": "Nothing"}}'),
    "tokenizer cut off": write("tokenizer.json", b'{"version": "1.0", "model": {'),
    "tokenizer binary": write("tokenizer.json", b"\xff\x00" * 99),
    "unknown kind of model": change("config.json", model_type="nothing"),
    "kind of model elsewhere": change("config.json", model_type="..os"),
    "size is a word": change("config.json", hidden_size="x"),
    "size is a list": change("config.json", num_attention_heads=[1]),
    "size is zero": change("config.json", num_attention_heads=0),
    "size is null": change("config.json", vocab_size=None),
    "kind is a number": change("config.json", model_type=7),
    "unknown template": change("tokenizer_config.json", chat_template_type="nothing"),
    "unknown tools": change("tokenizer_config.json", tool_parser_type="nothing"),
    "weights cut off": cut,
}


def without(key: str):
    def apply(folder) -> None:
        path = folder / "config.json"
        content = json.loads(path.read_text())
        del content[key]
        path.write_text(json.dumps(content))

    return apply


UNKNOWN = {
    "kind": change("config.json", model_type="nothing"),
    "kind in another folder": change("config.json", model_type="..os"),
    "kind is a part of mlx-lm": change("config.json", model_type="cache"),
    "kind is a number": change("config.json", model_type=7),
    "kind is null": change("config.json", model_type=None),
    "no kind": without("model_type"),
    "no size": without("num_attention_heads"),
    "another kind's config": change("config.json", model_type="qwen3_moe"),
    "bits": change("config.json", quantization={"bits": 7, "group_size": 32}),
    "bits of one matrix": change(
        "config.json", quantization={"bits": 4, "group_size": 32, "lm_head": {"bits": 7}}
    ),
    "group": change("config.json", quantization={"bits": 4, "group_size": 33}),
    "mode": change("config.json", quantization={"bits": 4, "group_size": 32, "mode": "best"}),
    "quantization without sizes": change("config.json", quantization={"mode": "affine"}),
    "quantization is a list": change("config.json", quantization=[4]),
    "method": change("config.json", quantization_config={"quant_method": "bitsandbytes"}),
}
"""What is known of a model before it is loaded."""
BROKEN |= UNKNOWN

MISFITS = {
    "base of rotations is a word": change("config.json", rope_theta="x"),
    "more tokens than rows": change("config.json", vocab_size=9999),
    "more layers than weights": change("config.json", num_hidden_layers=3),
    "fewer layers than weights": change("config.json", num_hidden_layers=1),
    "heads of another width": change("config.json", num_attention_heads=8, num_key_value_heads=8),
    "wider than its matrices": change("config.json", intermediate_size=128),
    "a head that is not there": change("config.json", tie_word_embeddings=False),
    "an epsilon that is a word": change("config.json", rms_norm_eps="small"),
}
"""Settings that do not fit the weights, or with which nothing can be computed."""
BROKEN |= MISFITS


@pytest.fixture
def folder(toy, tmp_path):
    return shutil.copytree(toy, tmp_path / "model")


def load(folder) -> None:
    """As a plan and then a cell do it."""
    load_tokenizer(folder)
    Models().get(locate(str(folder), None, download=False)[0])


@pytest.mark.slow
@pytest.mark.parametrize("breaks", BROKEN.values(), ids=BROKEN)
def test_a_model_that_cannot_be_loaded_is_one_sentence_that_names_it(folder, breaks):
    breaks(folder)
    with pytest.raises(NodeError) as error:
        load(folder)
    said = str(error.value)
    assert str(folder) in said
    assert "\n" not in said
    assert len(said) < len(str(folder)) + 400


@pytest.mark.parametrize("breaks", UNKNOWN.values(), ids=UNKNOWN)
def test_what_mlx_lm_does_not_know_is_said_by_a_plan_and_not_first_by_a_cell(folder, breaks):
    breaks(folder)
    with pytest.raises(NodeError) as error:
        locate(str(folder), None, download=False)
    assert str(error.value).startswith(f"{folder}/config.json: ")
    assert "choose another" in str(error.value)


def test_a_link_to_a_file_with_the_name_of_a_digest_is_known_by_its_content(folder, toy):
    weights = folder / "model.safetensors"
    lies = weights.rename(folder / ("a" * 64))
    weights.symlink_to(lies.name)
    found, _ = locate(str(folder), None, download=False)
    assert found.digest == locate(str(toy), None, download=False)[0].digest


@pytest.mark.slow
@pytest.mark.parametrize("breaks", MISFITS.values(), ids=MISFITS)
def test_a_plan_says_of_sizes_and_settings_what_the_cell_would_say(folder, breaks):
    breaks(folder)
    with pytest.raises(NodeError) as of_cell:
        Models().get(locate(str(folder), None, download=False)[0])
    with pytest.raises(NodeError) as of_plan:
        FileResolver(download=False).model(str(folder), None, ("q_proj",))
    assert str(of_plan.value) == str(of_cell.value)


@pytest.mark.slow
def test_a_command_says_the_same_though_it_never_loads_mlx(folder, monkeypatch):
    MISFITS["base of rotations is a word"](folder)
    monkeypatch.delitem(sys.modules, "mlx_lm")  # as in a driver
    with pytest.raises(NodeError, match=f"{folder}: mlx-lm cannot load this model .*rope"):
        FileResolver(download=False).model(str(folder), None, ("q_proj",))
    change("config.json", rope_theta=10000.0)(folder)
    assert FileResolver(download=False).model(str(folder), None, ("q_proj",)).digest


@pytest.mark.slow
@pytest.mark.parametrize(
    "arch", ["qwen2", "llama", "gemma", "phi3", "qwen2_moe", "gpt2", "mistral"]
)
def test_a_config_that_mlx_lm_loads_is_known(tmp_path, arch):
    if arch == "mistral":  # mlx-lm loads it with another module
        folder = make_model(tmp_path, "llama")
        change("config.json", model_type=arch)(folder)
    else:
        folder = make_model(tmp_path, arch)
    Models().get(locate(str(folder), None, download=False)[0])


@pytest.mark.slow
@pytest.mark.parametrize("bits", BITS)
def test_every_number_of_bits_that_mlx_knows_is_known(tmp_path, bits):
    folder = make_model(tmp_path, bits=bits)
    Models().get(locate(str(folder), None, download=False)[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_no_code_of_a_model_directory_is_run_and_nothing_is_asked(folder, name, monkeypatch):
    ran = folder / "ran"
    (folder / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass Evil: pass\n")
    code = {"AutoTokenizer": ["evil.Evil", "evil.Evil"], "AutoConfig": "evil.Evil"}
    change(name, auto_map=code, tokenizer_class="Evil", custom_code="evil.py")(folder)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    said = ""
    try:
        load(folder)
    except NodeError as error:
        said = str(error)
    assert "trust_remote_code" not in said
    assert not ran.exists()


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [1 << 40, (1 << 40) + 16]}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [-16, 0]}},
        {"a": {"dtype": "F32", "shape": ["x"], "data_offsets": [0, 16]}},
        {"a": 1},
        [],
    ],
)
def test_an_adapter_whose_header_lies_is_refused_before_memory_is_taken(header):
    text = json.dumps(header).encode()
    with pytest.raises(NodeError, match=r"adapters\.safetensors"):
        _load_weights(None, len(text).to_bytes(8, "little") + text + bytes(16))


@pytest.mark.parametrize(
    "weights", [b"", b"PK\x03\x04", b"\x80\x04\x95", (1 << 62).to_bytes(8, "little")]
)
def test_an_adapter_that_is_a_pickle_an_archive_or_cut_off_is_refused(weights):
    with pytest.raises(NodeError, match=r"adapters\.safetensors cannot be read"):
        _load_weights(None, weights)
