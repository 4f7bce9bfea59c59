"""How much memory a cell will need, from the model's configuration."""

from typing import Any

from tasks.contract import CellSpec
from tasks.model_files import ModelFiles

FLOAT = 4
RUNTIME_BYTES = 200 << 20
"""Python, MLX and the tokenizer before any weight is loaded; measured on Linux."""


def cell_memory(spec: CellSpec, files: ModelFiles) -> int:
    """Upper estimate of a cell's peak, bytes: weights, and activations of its largest batch.

    Every text is taken to be `max_length` long, and every activation of a micro-step to live
    until its backward pass.
    """
    config = files.config.get("text_config", files.config)
    per_token = _per_token(config)
    return RUNTIME_BYTES + files.weight_bytes + _tokens(spec) * per_token


def _tokens(spec: CellSpec) -> int:
    """Tokens of one micro-step."""
    if spec.train is None:
        return 2 * spec.max_length
    texts = spec.train.batch_size if spec.condition.has_sft else 0
    texts += 2 * spec.hinge.pairs_per_step if spec.hinge else 0
    return texts * spec.max_length


def _per_token(config: dict[str, Any]) -> int:
    """Bytes one token leaves behind for the backward pass."""
    hidden = int(config["hidden_size"])
    inner = int(config.get("intermediate_size", 4 * hidden))
    block = 14 * hidden + 4 * inner
    logits = 3 * int(config["vocab_size"])
    return FLOAT * (block * int(config["num_hidden_layers"]) + logits)
