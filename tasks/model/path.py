"""Which way a model's passes go on this machine, once a cell has found out. Never loads MLX."""

import sys
from collections.abc import Callable

from tasks.contract.cell import PACKED, TrainSpec
from tasks.model.machine import describe
from tasks.sources.model_files import ModelFiles, precision
from tasks.sources.remembered import code_digest, recalled, remembered

DEVICE = "gpu" if sys.platform == "darwin" else "cpu"
"""Where MLX computes unless it is told otherwise."""


def path_here(files: ModelFiles, make: Callable[[], str], device: str = DEVICE) -> str:
    """`packed`, or `plain: ` and why; decided once for a model on this machine, then remembered.

    Args:
        files: The model.
        make: Decides; what it raises is not remembered.
        device: `gpu` or `cpu`.
    """
    return str(remembered("paths", _given(files, device), make, _is_path))


def known_path(files: ModelFiles) -> str | None:
    """As `path_here`; None where no cell of the model has run here yet."""
    return next(iter(recalled("paths", _given(files, DEVICE), _is_path)), None)


def _given(files: ModelFiles, device: str) -> list[str]:
    """All that the path of a model depends on."""
    here = describe()
    given = [files.digest, precision(files), here.chip, here.mlx, here.mlx_lm, device]
    return [*given, code_digest()]


def path_of_training(path: str, train: TrainSpec | None) -> str:
    """The way of a cell's training passes, from that of its model."""
    if train is not None and train.lora_dropout > 0 and path == PACKED:
        return "plain: dropout is drawn for each text"
    return path


def sentence(model: str, path: str | None) -> str:
    """The path of a model's cells for people; None: no cell has decided it yet."""
    return f"passes of {model}: {path or 'decided when the first cell runs'}"


def _is_path(value: object) -> bool:
    return isinstance(value, str) and (value == PACKED or value.startswith("plain: "))
