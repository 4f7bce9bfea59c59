"""What a model's configuration says of its size."""

from dataclasses import dataclass
from typing import Any

from orchestrator.errors import show
from tasks.contract.cell import NodeError
from tasks.sources.model_files import ModelFiles, precision

FLOAT = 4
LARGEST = 1 << 31
"""No size of a model reaches it."""


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
    def of(cls, files: ModelFiles) -> "Sizes":
        """From config.json.

        Raises:
            NodeError: It does not say.
        """
        hidden = _size(files, "hidden_size", "n_embd", "d_model", "dim")
        heads = _size(files, "num_attention_heads", "n_head", "n_heads", default=1)
        head_dim = _size(files, "head_dim", default=hidden // heads)
        return cls(
            hidden=hidden,
            inner=_size(files, "intermediate_size", default=4 * hidden),
            layers=_size(files, "num_hidden_layers", "n_layer", "n_layers", "num_layers"),
            heads=heads,
            vocabulary=_size(files, "vocab_size"),
            key_width=head_dim * _size(files, "num_key_value_heads", default=heads),
            value_bytes=FLOAT if precision(files.config) == "float32" else FLOAT // 2,
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


def _size(files: ModelFiles, *names: str, default: int | None = None) -> int:
    """A number of the configuration, by the first name it has; text models may be nested."""
    config = text_config(files)
    found: Any = next((config[n] for n in names if config.get(n) is not None), default)
    where = files.folder / "config.json"
    if found is None:
        raise NodeError(f"{where}: no {names[0]} in it; is it a text model?")
    # some models have a size per layer
    layers: list[int] = found if isinstance(found, list) and found else [found]
    if not all(type(size) is int and 0 < size < LARGEST for size in layers):
        raise NodeError(
            f"{where}: {names[0]} must be a whole number above 0, got {show(found)}; "
            "get the file anew, or choose another model"
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
