"""Models of the presets before they are on this machine, so that a plan can speak of their size."""

from pathlib import Path

from tasks.sources.model_files import ModelFiles

QWEN_7B = {
    "model_type": "qwen2",
    "torch_dtype": "bfloat16",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "use_sliding_window": False,
}
KNOWN = {"Qwen/Qwen2.5-7B-Instruct": (QWEN_7B, 15_231_233_024)}
"""Name on the hub -> the part of its configuration that estimates read, and bytes of weights."""


def known_model(name: str) -> ModelFiles | None:
    """The sizes of a model that need not be here; None for one that is not in the list."""
    if name not in KNOWN:
        return None
    config, weight_bytes = KNOWN[name]
    return ModelFiles(folder=Path(name), config=config, digest="", weight_bytes=weight_bytes)
