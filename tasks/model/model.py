"""Base models in this process, and adapters that come and go on frozen weights."""

import gc
import io
import json
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.tuner.utils import linear_to_lora_layers, remove_lora_layers
from mlx_lm.utils import load as mlx_lm_load

from tasks.contract.cell import (
    Adapter,
    ModelSpec,
    NodeError,
    SavedSpec,
    TrainSpec,
    digest_of,
)
from tasks.data.limits import Limits, limits_of
from tasks.data.rendering import complete
from tasks.data.seeding import stream
from tasks.model.build import build
from tasks.model.path import path_here
from tasks.passes.choose import choose
from tasks.passes.flops import LINEAR, linear_layers
from tasks.sources.model_files import ModelFiles, locate

ADVICE = "bring them back, or delete cells/{}.arrow and launch again: the cell is trained anew"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel:
    """A loaded model; its weights are frozen and never written.

    Attributes:
        model, tokenizer: As mlx-lm loads them.
        files: The directory it came from.
        precision: How the weights are stored.
        vocabulary: Tokens it knows.
        limits: Sizes of its tables, which no text may exceed.
        path: `packed`, or `plain: ` and why its passes cannot be packed.
    """

    model: nn.Module
    tokenizer: Any
    files: ModelFiles
    precision: str
    vocabulary: int
    limits: Limits
    path: str


class Models:
    """The base model of this process; a cell of the same model finds it loaded.

    Args:
        wired: Memory that stays resident for the GPU, as a share of what Metal recommends.
        cache: Freed memory that MLX keeps to use again, likewise.
    """

    def __init__(self, wired: float = 1.0, cache: float = 0.1) -> None:
        self._digest: str | None = None
        self._base: BaseModel | None = None
        if most := mx.device_info().get("max_recommended_working_set_size"):  # on Metal only
            mx.set_wired_limit(int(wired * int(most)))
            mx.set_cache_limit(int(cache * int(most)))

    def get(self, spec: ModelSpec) -> BaseModel:
        """The model, loaded unless it is the one of the last call.

        Raises:
            NodeError: It is missing here, unsafe, or not the one the spec names.
        """
        if self._base is None or self._digest != spec.digest:
            self.free()
            self._base = _load(spec)
            self._digest = spec.digest
            mx.clear_cache()  # `choose` has run passes
        return self._base

    def free(self) -> None:
        """Give the memory of the model back."""
        self._base = self._digest = None
        gc.collect()  # modules refer to each other
        mx.clear_cache()


def _load(spec: ModelSpec) -> BaseModel:
    found, files = locate(spec.name, spec.revision, download=True, digest=spec.digest)
    if spec.digest is not None and found.digest != spec.digest:
        raise NodeError(f"model {spec.name} is not the one of the launch: its files differ here")
    safe = {"trust_remote_code": False}
    model, tokenizer = build(
        files.folder,
        lambda folder, config: mlx_lm_load(folder, tokenizer_config=safe, model_config=config)[:2],
    )
    complete(files.folder, tokenizer)
    model.freeze()
    model.eval()
    bits = {str(m.bits) for m in model.modules() if isinstance(getattr(m, "bits", None), int)}
    kinds = {
        v.dtype for _, v in tree_flatten(model.parameters()) if mx.issubdtype(v.dtype, mx.floating)
    }
    floating = str(kinds.pop()).removeprefix("mlx.core.") if len(kinds) == 1 else "mixed"
    limits = limits_of({k: v.shape for k, v in tree_flatten(model.parameters())})
    vocabulary = limits.vocabulary or model(mx.zeros((1, 1), mx.int32)).shape[-1]
    return BaseModel(
        model=model,
        tokenizer=tokenizer,
        files=files,
        precision=f"q{'/'.join(sorted(bits))}" if bits else floating,
        vocabulary=vocabulary,
        limits=limits,
        path=path_here(files, lambda: choose(model, vocabulary), mx.default_device().type.name),
    )


@contextmanager
def attached(base: BaseModel, train: TrainSpec, seed: int) -> Iterator[dict[str, Any]]:
    """A fresh adapter on the model, for the time of the block; then the base again.

    The base is restored by construction: the adapter wraps frozen layers, and leaving the block
    puts the very same layers back.

    Args:
        base: The model.
        train: Rank, scale, dropout and names of the adapted projections.
        seed: Decides the initial values.

    Yields:
        The `lora_parameters` of mlx-lm's adapter_config.json.

    Raises:
        NodeError: A name is no projection of this model.
    """
    with _wrapped(base, train) as config:
        _initialise(base.model, seed)
        yield config


def demand_adapter(spec: SavedSpec) -> Adapter | None:
    """The adapter, exactly the one that the cell brought home; None for the baseline only.

    Raises:
        NodeError: Its files are missing, or are not what the cell wrote.
    """
    if spec.adapter_sha256 is None:
        return None
    where = f"adapters/{spec.cell_id}" + ("" if spec.step is None else f".{spec.step}")
    if spec.adapter is None:
        raise NodeError(f"{where}: files are missing; {ADVICE.format(spec.cell_id)}")
    if spec.adapter.sha256 != spec.adapter_sha256:
        raise NodeError(
            f"{where}/adapters.safetensors is not what the cell wrote: its sha256 is "
            f"{spec.adapter.sha256[:16]}, in the cells table {spec.adapter_sha256[:16]}; "
            f"{ADVICE.format(spec.cell_id)}"
        )
    return spec.adapter


@contextmanager
def restored(base: BaseModel, train: TrainSpec, adapter: Adapter) -> Iterator[None]:
    """A saved adapter on the model, unfused, for the time of the block; then the base again.

    Args:
        base: The model.
        train: How the adapter was made; its rank, scale and projections are taken from here.
        adapter: As `save_adapter` made it.

    Raises:
        NodeError: Its config or its tensors are not those of such an adapter.
    """
    with _wrapped(base, train) as config:
        if adapter.config.get("lora_parameters") != json.loads(json.dumps(config)):
            raise NodeError("adapter_config.json is not the one that this cell wrote")
        _load_weights(base.model, adapter.weights)
        base.model.eval()
        yield


@contextmanager
def adapter_off(model: nn.Module) -> Iterator[None]:
    """The base model for the time of the block: what an adapter adds is multiplied by 0."""
    layers: list[Any] = [m for m in model.modules() if hasattr(m, "lora_a")]
    scales = [layer.scale for layer in layers]
    try:
        for layer in layers:
            layer.scale = 0.0
        yield
    finally:
        for layer, scale in zip(layers, scales, strict=True):
            layer.scale = scale


@contextmanager
def _wrapped(base: BaseModel, train: TrainSpec) -> Iterator[dict[str, Any]]:
    config = _lora_parameters(base.model, train)
    try:
        linear_to_lora_layers(base.model, len(base.model.layers), config)
        yield config
    finally:
        remove_lora_layers(base.model)
        base.model.eval()


def _load_weights(model: nn.Module, weights: bytes) -> None:
    """Put saved tensors in the place of the adapter's; every one, and no other."""
    try:
        found: Any = mx.load(io.BytesIO(weights), format="safetensors")
        mx.eval(found)
    except (ValueError, RuntimeError) as error:
        raise NodeError(f"adapters.safetensors cannot be read ({error})") from error
    if {k: v.shape for k, v in found.items()} != {k: v.shape for k, v in trainable(model).items()}:
        raise NodeError("adapters.safetensors has other tensors than this model's adapter")
    model.load_weights(list(found.items()), strict=False)
    mx.eval(model.trainable_parameters())


def _lora_parameters(model: nn.Module, train: TrainSpec) -> dict[str, Any]:
    linear = {k for layer in model.layers for k in linear_layers(layer)}
    known = sorted({k.rsplit(".", 1)[-1] for k in linear})
    _, experts = names_matched(model, train.lora_keys)
    for name in train.lora_keys:
        if name not in known:
            but = " but of the experts of a mixture, which are not adapted" * (name in experts)
            raise NodeError(
                f'train.lora_keys: "{name}" is no projection of this model{but}; '
                f"it has {', '.join(known)}"
            )
    keys = {k for k in linear if k.rsplit(".", 1)[-1] in train.lora_keys}
    return {
        "rank": train.lora_rank,
        "scale": train.lora_alpha / train.lora_rank,
        "dropout": train.lora_dropout,
        "keys": sorted(keys),
    }


def names_matched(model: nn.Module, names: Iterable[str]) -> tuple[dict[str, int], dict[str, int]]:
    """How many matrices of the blocks each name adapts, and how many of that name it does not.

    The others are those of a mixture's experts, which mlx-lm keeps in one tensor of a layer.

    Args:
        model: As loaded, without an adapter.
        names: As in `TrainSpec.lora_keys`.
    """
    matched, others = dict.fromkeys(sorted(names), 0), dict.fromkeys(sorted(names), 0)
    for layer in model.layers:
        for path, module in layer.named_modules():
            name, weight = path.rsplit(".", 1)[-1], module.get("weight")
            if name not in matched or weight is None:
                continue
            if isinstance(module, LINEAR):
                matched[name] += 1
            elif weight.ndim > 2:
                others[name] += weight.shape[0]
    return matched, {name: count for name, count in others.items() if count}


def _initialise(model: nn.Module, seed: int) -> None:
    """A uniform in +-1/sqrt(inputs) from a stream of its own for every tensor, B zero."""
    values = []
    for name, old in tree_flatten(model.trainable_parameters()):
        if name.endswith("lora_a"):
            bound = 1 / math.sqrt(old.shape[0])
            drawn = stream(seed, f"init/{name}").uniform(-bound, bound, old.shape)
            values.append((name, mx.array(drawn.astype(np.float32))))
        else:
            values.append((name, mx.zeros(old.shape, mx.float32)))
    model.load_weights(values, strict=False)
    mx.eval(model.trainable_parameters())


def trainable(model: nn.Module) -> dict[str, mx.array]:
    """The adapter's tensors by name, in order of name."""
    return dict(sorted(tree_flatten(model.trainable_parameters())))


def tensors_hash(tensors: dict[str, mx.array]) -> str:
    """Digest of names, shapes and values."""
    return digest_of(
        {k: [list(v.shape), np.asarray(v).tobytes().hex()] for k, v in tensors.items()}
    )


def save_adapter(base: BaseModel, lora: dict[str, Any]) -> Adapter:
    """The attached adapter as a record in mlx-lm's format, the same bytes for the same values.

    Nothing stays on this disk: the driver writes the record to the results.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "adapters.safetensors"
        mx.save_safetensors(str(path), trainable(base.model))
        weights = path.read_bytes()
    config = {
        "fine_tune_type": "lora",
        "num_layers": len(base.model.layers),
        "lora_parameters": lora,
    }
    return Adapter(weights=weights, config=json.loads(json.dumps(config)))
