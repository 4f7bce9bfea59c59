"""Writes the tiny model as files that `mlx_lm.load` reads."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten, tree_map
from mlx_lm.models.qwen2 import Model
from tokenizers import Tokenizer

from tasks.tiny.mixture import END_OF_TEXT, PAD, TURN_END
from tasks.tiny.tokenizer import LONGEST_TEXT, VOCABULARY, save_tokenizer


def model_config(tokenizer: Tokenizer) -> dict[str, Any]:
    """The model's `config.json`."""
    ends = [tokenizer.token_to_id(token) for token in (TURN_END, END_OF_TEXT)]
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "vocab_size": VOCABULARY,
        "hidden_size": 192,
        "num_hidden_layers": 2,
        "intermediate_size": 384,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "hidden_act": "silu",
        "max_position_embeddings": LONGEST_TEXT,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "attention_dropout": 0.0,
        "torch_dtype": "float32",
        "bos_token_id": None,
        "eos_token_id": ends,
        "pad_token_id": tokenizer.token_to_id(PAD),
    }


def save(folder: Path, model: Model, tokenizer: Tokenizer, config: dict[str, Any]) -> None:
    """Write the weights, configs and tokenizer into a folder.

    Weights are rounded to bfloat16 but stored as float32, which is faster on a CPU; the zero bits
    compress away in a repository.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rounded = tree_map(lambda w: w.astype(mx.bfloat16).astype(mx.float32), model.parameters())
    weights: dict[str, mx.array] = dict(tree_flatten(rounded))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})
    generation = {key: config[key] for key in ("eos_token_id", "pad_token_id")}
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", generation)
    save_tokenizer(tokenizer, folder)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")
