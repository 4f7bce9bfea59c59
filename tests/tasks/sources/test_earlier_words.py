"""A model that transformers 5 has saved is computed as before."""

import json

import mlx.core as mx
import pytest

from orchestrator.cells.resolve import FileResolver
from tasks.contract.cell import NodeError
from tasks.model.model import Models
from tasks.sources.earlier_words import earlier_words
from tasks.sources.model_files import locate
from tests.models.zoo import LLAMA_3
from tests.toys import make_model, saved_twice

GEMMA = {
    "head_dim": 8,
    "sliding_window": 4,
    "query_pre_attn_scalar": 8,
    "sliding_window_pattern": 2,
    "rope_theta": 30.0,
    "rope_local_base_freq": 20.0,
}
KINDS = {
    "llama": ("llama", {}),
    "llama, scaled": ("llama", {"rope_scaling": LLAMA_3}),
    "qwen2": ("qwen2", {}),
    "qwen3_moe": ("qwen3_moe", {}),
    "phi3": ("phi3", {"partial_rotary_factor": 0.5}),
    "gemma3_text": ("gemma3_text", GEMMA),
}


def logits(folder):
    spec, _ = locate(str(folder), None, download=False)
    return Models().get(spec).model(mx.arange(16)[None])


@pytest.mark.slow
@pytest.mark.parametrize(("arch", "changed"), KINDS.values(), ids=KINDS)
def test_a_model_that_transformers_saved_anew_computes_the_same(tmp_path, arch, changed):
    before, after = saved_twice(tmp_path, arch, **changed)
    config = json.loads((after / "config.json").read_text())
    assert "rope_parameters" in config
    assert "rope_theta" not in config
    models = [
        FileResolver(download=False).model(str(m), None, ("o_proj",)) for m in (before, after)
    ]
    assert [m.told is None for m in models] == [True, False]
    assert models[0].identity == models[0].digest
    assert models[1].identity != models[1].digest  # or numbers of before would be taken over
    assert mx.array_equal(logits(before), logits(after))


def test_a_text_model_within_another_and_a_value_that_is_there_twice_are_read_as_in_transformers(
    tmp_path,
):
    rotary = {"rope_theta": 5e5, "rope_type": "default"}
    text = {"model_type": "qwen2", "rope_theta": 1e4, "rope_parameters": rotary}
    found = earlier_words(tmp_path, {"model_type": "qwen2_vl", "text_config": text})
    assert set(found) == {"text_config"}
    assert found["text_config"]["rope_theta"] == 5e5
    assert earlier_words(tmp_path, {"model_type": "llama", "rope_theta": 1e4}) == {}


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("llama", {"rope_parameters": {"full_attention": {"rope_theta": 9.0}, "other": {}}}),
        (
            "olmo3",
            {
                "rope_parameters": {
                    "full_attention": {"rope_theta": 9.0},
                    "sliding_attention": {"rope_theta": 8.0},
                }
            },
        ),
        ("cohere2", {"layer_types": ["full_attention", "sliding_attention"] * 2}),
    ],
)
def test_what_mlx_lm_has_no_words_for_is_refused_by_a_plan(tmp_path, kind, said):
    folder = make_model(tmp_path / "m")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": kind} | said))
    with pytest.raises(NodeError, match=rf"{path}: {next(iter(said))} .* for {kind}; choose"):
        locate(str(folder), None, download=False)
    modern = {"model_type": "laguna"} | said
    assert "rope_theta" not in earlier_words(path, modern)
