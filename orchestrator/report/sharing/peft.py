"""An adapter of mlx-lm as one that PEFT loads: the same matrices, transposed and renamed.

PEFT adds `lora_alpha / r * B(A x)` to a linear layer, mlx-lm `scale * (x a) b`; so A is the
transpose of a, B that of b, and lora_alpha is scale * r (the documentation of both).
"""

import json
from collections.abc import Mapping

import numpy as np
from safetensors.numpy import load, save

from orchestrator.errors import UserError
from orchestrator.results.folder import CONFIG
from tasks.contract.cell import Adapter

WEIGHTS = "adapter_model.safetensors"
A, B = ".lora_a", ".lora_b"


def as_peft(adapter: Adapter, base: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, bytes]:
    """File name -> content of the adapter in PEFT's layout.

    Args:
        adapter: As the cell brought it home.
        base: Name of the base model.
        shapes: Name -> shape of the tensors in the base model's files. PEFT finds a layer by the
            name that it has there.

    Raises:
        UserError: A layer has another name or form in those files: torch would not find it.
    """
    found, names = load(adapter.weights), []
    tensors: dict[str, np.ndarray] = {}
    for name in sorted(n.removesuffix(A) for n in found if n.endswith(A)):
        a, b = found[f"{name}{A}"], found[f"{name}{B}"]
        there = shapes.get(f"{name}.weight")
        if there != (b.shape[1], a.shape[0]):
            what = f"has the shape {there}" if there else "is not there"
            raise UserError(
                f"no adapter in PEFT's layout: in the files of {base}, {name}.weight "
                f"{what}, and {(b.shape[1], a.shape[0])} is adapted",
                "quantised models, and layers that mlx-lm joins or renames, have none",
            )
        names.append(name)
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
        "target_modules": names,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "use_rslora": False,
    }
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    return {CONFIG: text.encode(), WEIGHTS: save(tensors, metadata={"format": "pt"})}
