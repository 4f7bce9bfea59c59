"""An adapter of mlx-lm as one that PEFT loads: the same matrices, transposed and renamed.

PEFT adds `lora_alpha / r * B(A x)` to a linear layer, mlx-lm `scale * (x a) b`; so A is the
transpose of a, B that of b, and lora_alpha is scale * r (the documentation of both).
"""

import json
from collections.abc import Mapping

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from orchestrator.config.foreign_json import demand
from orchestrator.errors import UserError
from orchestrator.results.folder import CONFIG
from tasks.contract.cell import Adapter

WEIGHTS = "adapter_model.safetensors"
A, B = ".lora_a", ".lora_b"
SHAPE = {"lora_parameters": {"rank": int, "scale": float, "dropout": float}}


def as_peft(adapter: Adapter, base: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, bytes]:
    """File name -> content of the adapter in PEFT's layout.

    Args:
        adapter: As the cell brought it home.
        base: Name of the base model.
        shapes: Name -> shape of the tensors in the base model's files. PEFT finds a layer by the
            name that it has there.

    Raises:
        UserError: A layer has another name or form in those files: torch would not find it; or the
            adapter is damaged, or of a form that no cell writes.
    """
    try:
        demand(adapter.config, SHAPE, "")
        found = load(adapter.weights)
        layers = sorted(n.removesuffix(A) for n in found if n.endswith(A))
        halves = {name: (found[f"{name}{A}"], found[f"{name}{B}"]) for name in layers}
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(f"no adapter in PEFT's layout: it has another form ({error})") from None
    tensors: dict[str, np.ndarray] = {}
    for name, (a, b) in halves.items():
        there, adapted = shapes.get(f"{name}.weight"), (*b.shape[1:], *a.shape[:-1])
        if there != adapted:
            what = f"has the shape {there}" if there else "is not there"
            raise UserError(
                f"no adapter in PEFT's layout: in the files of {base}, {name}.weight "
                f"{what}, and {adapted} is adapted",
                "quantised models, and layers that mlx-lm joins or renames, have none",
            )
        for letter, matrix in (("A", a), ("B", b)):
            key = f"base_model.model.{name}.lora_{letter}.weight"
            tensors[key] = np.ascontiguousarray(matrix.T)
    settings = adapter.config["lora_parameters"]
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": settings["rank"],
        "lora_alpha": settings["scale"] * settings["rank"],
        "lora_dropout": settings["dropout"],
        "target_modules": layers,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "use_rslora": False,
    }
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    return {CONFIG: text.encode(), WEIGHTS: save(tensors, metadata={"format": "pt"})}
