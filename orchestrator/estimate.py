"""How much memory a cell will need, from the model's configuration."""

from typing import Any

from tasks.contract import CellSpec, NodeError
from tasks.model_files import ModelFiles

FLOAT = 4
RUNTIME_BYTES = 200 << 20
"""Python, MLX and the tokenizer before any weight is loaded; measured on Linux."""


def cell_memory(spec: CellSpec, files: ModelFiles) -> int:
    """Upper estimate of a cell's peak, bytes: weights, and activations of its largest batch.

    Every text is taken to be `max_length` long, and every activation of a micro-step to live
    until its backward pass.
    """
    return RUNTIME_BYTES + files.weight_bytes + _tokens(spec) * _per_token(files)


def _tokens(spec: CellSpec) -> int:
    """Tokens of one micro-step."""
    if spec.train is None:
        return 2 * spec.max_length
    texts = spec.train.batch_size if spec.condition.has_sft else 0
    texts += 2 * spec.hinge.pairs_per_step if spec.hinge else 0
    return texts * spec.max_length


def demand_sizes(files: ModelFiles) -> None:
    """Check that a model's configuration says what an estimate needs.

    Raises:
        NodeError: It does not.
    """
    _per_token(files)


def _per_token(files: ModelFiles) -> int:
    """Bytes one token leaves behind for the backward pass."""
    hidden = _size(files, "hidden_size", "n_embd", "d_model", "dim")
    layers = _size(files, "num_hidden_layers", "n_layer", "n_layers", "num_layers")
    inner = _size(files, "intermediate_size", default=4 * hidden)
    block = 14 * hidden + 4 * inner
    return FLOAT * (block * layers + 3 * _size(files, "vocab_size"))


def _size(files: ModelFiles, *names: str, default: int | None = None) -> int:
    """A number of the configuration, by the first name it has; text models may be nested."""
    config = files.config | (files.config.get("text_config") or {})
    found: Any = next((config[n] for n in names if n in config), default)
    if isinstance(found, list):  # a size per layer
        found = max(found, default=None)
    if not isinstance(found, int):
        raise NodeError(f"{files.folder / 'config.json'}: no {names[0]} in it; is it a text model?")
    return found
