"""Small random models of several architectures, in the layout of a hub model."""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.model.blas import prefer_fast_blas

prefer_fast_blas()

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.utils import quantize_model

from benchmarks.models import make_tokenizer
from tasks.starter import PROBES

CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 1024,
    "rope_theta": 10000.0,
}
EXTRA = {
    "gemma": {"head_dim": 8},
    "phi3": {"rope_scaling": None, "original_max_position_embeddings": 1024},
    "qwen2_moe": {
        "num_experts_per_tok": 2,
        "num_experts": 4,
        "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 32,
    },
    "qwen3_moe": {
        "num_experts_per_tok": 2,
        "num_experts": 4,
        "moe_intermediate_size": 32,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "head_dim": 8,
        "norm_topk_prob": True,
    },
}
OWN_SIZES = {
    "gpt2": {
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_ctx": 512,
        "n_positions": 512,
        "layer_norm_epsilon": 1e-5,
    }
}
"""Of layouts that know none of the names in SIZES."""


def make_model(
    folder: Path,
    arch: str = "qwen2",
    *,
    seed: int = 0,
    tie: bool = True,
    bits: int | None = None,
    mixed: Mapping[str, dict[str, int] | bool] | None = None,
    shards: int = 1,
    layers: int = 2,
    hidden: int = 32,
    **changed: Any,
) -> Path:
    """A random model directory that mlx-lm loads.

    Args:
        folder: Where the model is written.
        arch: Name of mlx-lm's module of the architecture.
        seed: Seed of the weights.
        tie: Whether embedding and head are one matrix.
        bits: Bits of a quantized model; None: float32.
        mixed: End of a module's path -> its own bits and group size, or False: not quantized.
        shards: Number of weight files; several get an index.
        layers, hidden: Number of layers, hidden size.
        changed: Fields of the config to replace.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = PROBES.read_text().splitlines()
    tokenizer = make_tokenizer(folder, texts, vocabulary=400, chat_template=CHAT)
    sizes = OWN_SIZES.get(arch) or SIZES | {
        "hidden_size": 64 if bits else hidden,
        "num_hidden_layers": layers,
        **EXTRA.get(arch, {}),
    }
    config = {
        "model_type": arch,
        "vocab_size": tokenizer.get_vocab_size(),
        "tie_word_embeddings": tie,
        "torch_dtype": "float32",
        "eos_token_id": tokenizer.token_to_id("<|im_end|>"),
        **sizes,
        **changed,
    }
    module = importlib.import_module(f"mlx_lm.models.{arch}")
    model = module.Model(module.ModelArgs.from_dict(config))
    rng = np.random.default_rng(seed)
    values = [(k, mx.array(_random(rng, k, v.shape))) for k, v in tree_flatten(model.parameters())]
    model.update(tree_unflatten(values))
    if bits:
        own = mixed or {}

        def stored_as(path: str, _: nn.Module) -> dict[str, int] | bool:
            return next((how for end, how in own.items() if path.endswith(end)), True)

        _, config = quantize_model(model, config, 32, bits, quant_predicate=stored_as)
    _save(folder, dict(tree_flatten(model.parameters())), shards)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def saved_twice(folder: Path, arch: str, **changed: Any) -> tuple[Path, Path]:
    """A toy, and the same one with the config that transformers writes for it."""
    from transformers import AutoConfig

    changed = {"rope_theta": 30.0} | changed
    before, after = (make_model(folder / name, arch, **changed) for name in ("before", "after"))
    AutoConfig.from_pretrained(before).save_pretrained(after)
    return before, after


def without_numbers(folder: Path) -> Path:
    """Make the last norm of a model in one file NaN, so that every log-probability is."""
    weights = mx.load(str(folder / "model.safetensors"))
    weights["model.norm.weight"] *= float("nan")
    mx.save_safetensors(str(folder / "model.safetensors"), weights)
    return folder


def _save(folder: Path, weights: dict[str, mx.array], shards: int) -> None:
    """Write weight files named as on hubs; tensors go to them in turn: each layer is in all."""
    names = [f"model-{i:05d}-of-{shards:05d}.safetensors" for i in range(1, shards + 1)]
    names = names if shards > 1 else ["model.safetensors"]
    for i, name in enumerate(names):
        part = dict(list(weights.items())[i :: len(names)])
        mx.save_safetensors(str(folder / name), part, metadata={"format": "mlx"})
    if shards > 1:
        places = {key: names[i % shards] for i, key in enumerate(weights)}
        index = {"metadata": {"total_size": sum(v.nbytes for v in weights.values())}}
        (folder / "model.safetensors.index.json").write_text(
            json.dumps(index | {"weight_map": places})
        )


def _random(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if "norm" in name or ".ln_" in name:
        return np.ones(shape, np.float32)
    scale = 0.5 if "embed" in name or ".wte" in name else 1 / np.sqrt(shape[-1])
    return rng.normal(0, scale, shape).astype(np.float32)
