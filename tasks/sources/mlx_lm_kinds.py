"""What mlx-lm asks of a config.json, read from its source: a driver imports neither it nor MLX."""

import ast
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tasks.contract.cell import NodeError

BITS, GROUPS = (2, 3, 4, 5, 6, 8), (16, 32, 64, 128)
"""Of quantized weights, as `mlx.core.quantize` knows them."""
MODES = ("affine", "mxfp4", "mxfp8", "nvfp4")
METHODS = (
    "awq",
    "bitnet",
    "compressed-tensors",
    "fp8",
    "gptq",
    "modelopt",
    "mxfp4",
    "mxfp8",
)
"""Of `quantization_config`, as `mlx_lm.utils.load_model` knows them."""


def demand_loadable(where: Path, config: dict[str, Any]) -> None:
    """Check that mlx-lm has a module for a model, and that its config has what the module needs.

    Sizes, shapes and weights are not checked: the cell finds those as it loads the model.

    Args:
        where: The config's file, for messages.
        config: Its content.

    Raises:
        NodeError: mlx-lm would not load it, for the reason given.
    """
    for key in _needed(where, config):
        if key not in config:
            raise NodeError(
                f"{where}: no {key} in it, which mlx-lm needs for {config.get('model_type')}; "
                "get the file anew, or choose another model"
            )
    if wrong := _unknown_storage(config):
        raise NodeError(
            f"{where}: mlx-lm knows no weights with {wrong}; choose another version of the model"
        )


def _needed(where: Path, config: dict[str, Any]) -> tuple[str, ...]:
    """Keys without which the module of a model's kind cannot be set up."""
    if "model_type" not in config:
        return ("model_type",)
    kind, named = config["model_type"], config.get("architectures") or ()
    if isinstance(kind, str):
        kinds, of_architectures = _remapped()
        architectures = [a for a in (named if isinstance(named, list) else [named]) if a]
        found = [m for a in architectures if (m := of_architectures.get((kind, str(a))))]
        needed = _arguments(found[0] if found else kinds.get(kind, kind))
        if needed is not None:
            return needed
    raise NodeError(
        f"{where}: mlx-lm has no model of model_type {kind!r}; "
        "choose another model, or install a newer mlx-lm"
    )


def _unknown_storage(config: dict[str, Any]) -> str | None:
    """What of a config's quantization mlx-lm does not know; None if it knows all of it."""
    name = "quantization_config" if config.get("quantization") is None else "quantization"
    stored = config.get(name)
    if not stored:
        return None
    if not isinstance(stored, dict):
        return f"{name} {stored!r}"
    known: dict[str, tuple[Any, ...]] = {"quant_method": METHODS}
    if name == "quantization":
        known = {"bits": BITS, "group_size": GROUPS, "mode": MODES}
        stored = {"mode": "affine"} | stored
    unknown = [key for key, values in known.items() if stored.get(key) not in values]
    return f"{unknown[0]} {stored.get(unknown[0])!r}" if unknown else None


def _source(name: str) -> ast.Module:
    # the package alone: to find a module below it would import it, and with it MLX
    package = find_spec("mlx_lm")
    if package is None or not package.submodule_search_locations:
        raise NodeError("mlx-lm is not installed; install again: make venv")
    return ast.parse((Path(package.submodule_search_locations[0]) / name).read_bytes())


@cache
def _remapped() -> tuple[dict[str, str], dict[tuple[str, str], str]]:
    """Kind -> module, and (kind, architecture) -> module, where they have another name."""
    tables = {
        target.id: ast.literal_eval(node.value)
        for node in _source("utils.py").body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.endswith("_REMAPPING")
    }
    return tables.get("MODEL_REMAPPING", {}), tables.get("MODEL_ARCHITECTURE_REMAPPING", {})


@cache
def _arguments(module: str) -> tuple[str, ...] | None:
    """Arguments without a default of a module's models; None if it is no module of a model."""
    if not re.fullmatch(r"[\w-]+", module):
        return None
    try:
        body = _source(f"models/{module}.py").body
    except FileNotFoundError:
        return None
    classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
    imported = {a.name for node in body if isinstance(node, ast.ImportFrom) for a in node.names}
    if "Model" not in classes.keys() | imported or "ModelArgs" not in classes:
        return None
    arguments = classes["ModelArgs"]
    methods = {node.name for node in arguments.body if isinstance(node, ast.FunctionDef)}
    if "from_dict" in methods:  # it makes something of the config first
        return ()
    fields = [node for node in arguments.body if isinstance(node, ast.AnnAssign)]
    return tuple(ast.unparse(node.target) for node in fields if node.value is None)
