"""What transformers 5 writes into a config.json, in the earlier words that mlx-lm reads.

transformers 5 moved the rotary settings into `rope_parameters`, names each layer's kind in
`layer_types` where a number said it, and calls all experts `num_local_experts`. Most modules of
mlx-lm know the earlier words only, and compute with defaults of their own where these are missing.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tasks.contract.cell import NodeError
from tasks.sources.mlx_lm_kinds import words_known

WORDS = {
    "rope_theta": ("rope_theta", "rotary_emb_base"),
    "partial_rotary_factor": ("partial_rotary_factor", "rotary_pct"),
    "original_max_position_embeddings": ("original_max_position_embeddings",),
}
"""Of `rope_parameters` -> of earlier configs; the second are those of GPT-NeoX."""
LOCAL = ("rope_local_base_freq", "swa_rope_theta")
"""The `rope_theta` of layers with a sliding window, in earlier configs."""
FULL, SLIDING = "full_attention", "sliding_attention"
Known = Callable[[], frozenset[str]]
"""Words of the module that mlx-lm loads: most configs need none of them, and to ask takes time."""


def earlier_words(where: Path, config: dict[str, Any]) -> dict[str, Any]:
    """What to put over a model's config, so that mlx-lm computes what it says; often nothing.

    Args:
        where: The config's file, for messages.
        config: Its content.

    Raises:
        NodeError: mlx-lm has no words for what it says.
    """
    known = partial(words_known, config)
    found = _rotary(where, config, known) | _window(where, config, known)
    if "num_local_experts" in config and config.get("num_experts") is None:
        found["num_experts"] = config["num_local_experts"]
    nested = config.get("text_config")
    if isinstance(nested, dict):
        # the text model's kind decides its module, where mlx-lm has one for it
        def both() -> frozenset[str]:
            return words_known(config) | words_known(nested)

        if inner := _rotary(where, nested, both) | _window(where, nested, both):
            found["text_config"] = nested | inner
    return {key: value for key, value in found.items() if key not in config or config[key] != value}


def _rotary(where: Path, config: dict[str, Any], known: Known) -> dict[str, Any]:
    """`rope_parameters`, which go before the earlier words, as in transformers."""
    given = config.get("rope_parameters")
    if not isinstance(given, dict):
        return {}
    sliding = None
    if any(isinstance(part, dict) for part in given.values()):  # one for each kind of layer
        if "rope_parameters" in known():
            return {}
        parts = {kind: part for kind, part in given.items() if isinstance(part, dict)}
        given, sliding = parts.pop(FULL, {}), parts.pop(SLIDING, None)
        if not given or parts or (sliding and not _has_words(given, sliding, known)):
            raise NodeError(
                f"{where}: rope_parameters differ between kinds of layers, as mlx-lm cannot "
                f"compute it for {config.get('model_type')}; choose another model, or give it "
                "rope_theta and rope_scaling for all layers in place of rope_parameters"
            )
    found = {name: given[new] for new, names in WORDS.items() if new in given for name in names}
    if sliding and "rope_theta" in sliding:
        found |= dict.fromkeys(LOCAL, sliding["rope_theta"])
    if config.get("rope_scaling") is None:  # else it goes before, as in transformers
        kind = _kind(given)
        scaled = given | {"type": kind, "rope_type": kind}
        found["rope_scaling"] = None if kind == "default" else scaled
    return {name: value for name, value in found.items() if name in known()}


def _has_words(full: dict[str, Any], sliding: dict[str, Any], known: Known) -> bool:
    """Whether earlier configs can say what layers with a sliding window have."""
    key = "partial_rotary_factor"
    alike = _kind(sliding) == "default" and full.get(key) == sliding.get(key)
    same = full.get("rope_theta") == sliding.get("rope_theta")
    return alike and (same or not known().isdisjoint(LOCAL))


def _kind(rotary: dict[str, Any]) -> Any:
    return rotary.get("rope_type") or rotary.get("type") or "default"


def _window(where: Path, config: dict[str, Any], known: Known) -> dict[str, Any]:
    """Every how many layers one sees all tokens, where a module of mlx-lm asks for that number."""
    key, kinds = "sliding_window_pattern", config.get("layer_types")
    if not isinstance(kinds, list) or config.get(key) is not None:
        return {}
    if key not in known() or "layer_types" in known():
        return {}
    every = kinds.index(FULL) + 1 if FULL in kinds else len(kinds) + 1
    if kinds == [SLIDING if (i + 1) % every else FULL for i in range(len(kinds))]:
        return {key: every}
    raise NodeError(
        f"{where}: layer_types has no {key} that mlx-lm could compute for "
        f"{config.get('model_type')}; choose another model"
    )
