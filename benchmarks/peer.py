"""Loads rho-eval 2.6.0's own MLX functions without torch, which its packages import."""

import importlib
import importlib.metadata
import sys
from types import ModuleType
from typing import Any

PACKAGES = ("rho_eval", "rho_eval.alignment", "rho_eval.behaviors")


def load(name: str) -> Any:
    """A module of rho-eval, e.g. `rho_eval.alignment.mlx_losses`, from its own file."""
    root = importlib.metadata.distribution("rho-eval").locate_file("")
    for package in PACKAGES:
        if package not in sys.modules:
            stub = ModuleType(package)
            stub.__path__ = [str(root.joinpath(*package.split(".")))]
            sys.modules[package] = stub
    return importlib.import_module(name)
