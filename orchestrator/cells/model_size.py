"""What a model's configuration says of its size, also before the model is on this machine."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from orchestrator.errors import show
from tasks.contract.cell import NodeError
from tasks.data.limits import TOKENS, limits_of
from tasks.sources.model_files import ModelFiles, precision, shapes_of

FLOAT = 4
_BLOCK = re.compile(r"(?:^|\.)(?:layers|h|blocks?)\.(\d+)\.")
LARGEST = 1 << 31
"""No size of a model reaches it."""
MOST_LAYERS = 1 << 10
"""mlx-lm makes an object of each, also of those for which there are no weights."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What decides a model's activations.

    Attributes:
        hidden, inner, layers, heads, vocabulary: As in its configuration.
        key_width: Values of all keys of a token.
        value_bytes: Of one activation.
    """

    hidden: int
    inner: int
    layers: int
    heads: int
    vocabulary: int
    key_width: int
    value_bytes: float

    @classmethod
    @cache
    def of(cls, files: ModelFiles) -> "Sizes":
        """From config.json; what it does not say, from the tensors.

        mlx-lm has names of its own, and defaults, for some models.

        Raises:
            NodeError: Neither says.
        """
        shapes = shapes_of(files.folder)
        rows, width = _embedding(files, shapes)
        hidden = _size(files, "hidden_size", "n_embd", "d_model", "dim", measured=width)
        heads = _size(files, "num_attention_heads", "n_head", "n_heads", "num_heads", default=1)
        head_dim = _size(files, "head_dim", default=hidden // heads)
        return cls(
            hidden=hidden,
            inner=_size(files, "intermediate_size", default=4 * hidden),
            layers=_size(
                files,
                "num_hidden_layers",
                "n_layer",
                "n_layers",
                "num_layers",
                measured=len({m[1] for name in shapes if (m := _BLOCK.search(name))}) or None,
                most=MOST_LAYERS,
            ),
            heads=heads,
            vocabulary=_size(files, "vocab_size", measured=rows),
            key_width=head_dim * _size(files, "num_key_value_heads", default=heads),
            # where types are mixed, sums have the wider one
            value_bytes=FLOAT if precision(files) in ("float32", "mixed") else FLOAT // 2,
        )

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of a layer's usual projections."""
        attention = (self.hidden, self.hidden)
        return {
            "q_proj": attention,
            "o_proj": attention,
            "k_proj": (self.hidden, self.key_width),
            "v_proj": (self.hidden, self.key_width),
            "gate_proj": (self.hidden, self.inner),
            "up_proj": (self.hidden, self.inner),
            "down_proj": (self.inner, self.hidden),
        }


def _embedding(
    files: ModelFiles, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[int | None, int | None]:
    """Rows and columns of the token embedding, as it is without quantization; None if unknown."""
    rows = limits_of(shapes).vocabulary
    tables = (n for n, s in shapes.items() if s[:1] == (rows,) and len(s) == 2)
    name = next((n for n in tables if n.endswith(".weight") and TOKENS.search(n)), None)
    if name is None:
        return rows, None
    scales = shapes.get(f"{name.rpartition('.')[0]}.scales")
    stored = files.config.get("quantization") or {}
    return rows, scales[-1] * int(stored.get("group_size", 64)) if scales else shapes[name][-1]


def _size(
    files: ModelFiles,
    *names: str,
    default: int | None = None,
    measured: int | None = None,
    most: int = LARGEST,
) -> int:
    """A number of the configuration, by the first name it has; text models may be nested.

    Args:
        files: The model.
        names: Of the number.
        default: What it is where the configuration does not say, or says null.
        measured: What the tensors say; counts where the configuration has none of the names.
        most: What no model reaches.

    Raises:
        NodeError: Nothing says it, or it is no size.
    """
    config = text_config(files)
    found: Any = next((config[n] for n in names if config.get(n) is not None), default)
    where = files.folder / "config.json"
    if found is None and not any(name in config for name in names):
        found = measured
    if found is None:
        raise NodeError(f"{where}: no {names[0]} in it; is it a text model?")
    # some models have a size per layer
    layers: list[int] = found if isinstance(found, list) and found else [found]
    if not all(type(size) is int and 0 < size < most for size in layers):
        raise NodeError(
            f"{where}: {names[0]} must be a whole number above 0 and below {most:,}, "
            f"got {show(found)}; get the file anew, or choose another model"
        )
    return max(layers)


def text_config(files: ModelFiles) -> dict[str, Any]:
    """The configuration, with what a nested text model says on top."""
    nested = files.config.get("text_config") or {}
    if not isinstance(nested, dict):
        raise NodeError(
            f"{files.folder / 'config.json'}: text_config must be keys and values, "
            f"got {show(nested)}; get the file anew, or choose another model"
        )
    return files.config | nested


def known_model(name: str) -> ModelFiles | None:
    """The sizes of a model that need not be here; None for one that is not in the list."""
    if name not in KNOWN:
        return None
    config, weight_bytes = KNOWN[name]
    return ModelFiles(folder=Path(name), config=config, digest="", weight_bytes=weight_bytes)
