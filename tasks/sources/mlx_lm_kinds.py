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

    Sizes, shapes and weights are not checked: `model.build` asks mlx-lm itself.

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


def not_linear(config: dict[str, Any]) -> frozenset[str]:
    """Attributes of a loadable model's layers that are never linear layers, e.g. `gate`.

    A router may hold its matrix itself: in the weights' files it looks like a linear layer.
    """
    return _own_modules(_module_of(config) or "")


def words_known(config: dict[str, Any]) -> frozenset[str]:
    """Names and texts in the source of mlx-lm's module for a model, and of models it uses."""
    return _words_of(_module_of(config) or "")


@cache  # a plan and each cell ask several times
def _words_of(first: str) -> frozenset[str]:
    left, seen, words = [first], set[str](), set[str]()
    while left:
        if (module := left.pop()) in seen:
            continue
        seen.add(module)
        for node in (n for part in _body(module) for n in ast.walk(part)):
            match node:
                case ast.ImportFrom(level=1, module=None, names=names):
                    left += [alias.name for alias in names]
                case ast.ImportFrom(level=1, module=str(name)):
                    left.append(name)
                case ast.Name(id=word) | ast.Attribute(attr=word) | ast.Constant(value=str(word)):
                    words.add(word)
    return frozenset(words)


def _needed(where: Path, config: dict[str, Any]) -> tuple[str, ...]:
    """Keys without which the module of a model's kind cannot be set up."""
    if "model_type" not in config:
        return ("model_type",)
    module = _module_of(config)
    needed = _arguments(module) if module else None
    if needed is not None:
        return needed
    raise NodeError(
        f"{where}: mlx-lm has no model of model_type {config['model_type']!r}; "
        "choose another model, or install a newer mlx-lm"
    )


def _module_of(config: dict[str, Any]) -> str | None:
    """The module of mlx-lm that is to load a model; it may not exist."""
    kind, named = config.get("model_type"), config.get("architectures") or ()
    if not isinstance(kind, str):
        return None
    kinds, of_architectures = _remapped()
    architectures = [a for a in (named if isinstance(named, list) else [named]) if a]
    found = [m for a in architectures if (m := of_architectures.get((kind, str(a))))]
    return found[0] if found else kinds.get(kind, kind)


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
    # a matrix may have sizes of its own, under its path
    for part in (stored, *(stored | own for own in stored.values() if isinstance(own, dict))):
        for key, values in known.items():
            if part.get(key) not in values:
                return f"{key} {part.get(key)!r}"
    return None


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
def _body(module: str) -> list[ast.stmt]:
    """The source of a module of models; nothing if there is none."""
    if not re.fullmatch(r"[\w-]+", module):
        return []
    try:
        return _source(f"models/{module}.py").body
    except FileNotFoundError:
        return []


@cache
def _own_modules(module: str) -> frozenset[str]:
    """Attributes that a module fills with classes of its own, none of which is a linear layer."""
    own = {
        node.name
        for node in _body(module)
        if isinstance(node, ast.ClassDef)
        and not any("Linear" in ast.unparse(b) for b in node.bases)
    }
    filled: dict[str, set[bool]] = {}
    for node in (n for part in _body(module) for n in ast.walk(part)):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            is_own = ast.unparse(node.value.func) in own
            for target in (t for t in node.targets if isinstance(t, ast.Attribute)):
                filled.setdefault(target.attr, set()).add(is_own)
    return frozenset(name for name, kinds in filled.items() if kinds == {True})


@cache
def _arguments(module: str) -> tuple[str, ...] | None:
    """Arguments without a default of a module's models; None if it is no module of a model."""
    body = _body(module)
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
