"""The driver: command line, grid, schedule, Ray, Arrow store and tables. Never loads MLX.

In a notebook: `import orchestrator`, then `plan`, `launch` and `open_results`, which are in
`orchestrator.cli.notebook`.
"""

from importlib import import_module
from typing import Any

__all__ = ["__version__", "launch", "open_results", "plan"]
__version__ = "0.1.0"
_OFFERED = {"open_results": "Results", "launch": "launch", "plan": "plan"}


def __getattr__(name: str) -> Any:
    """What a notebook asks for, loaded when it is asked for: commands start faster without it."""
    if name not in _OFFERED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("orchestrator.cli.notebook"), _OFFERED[name])
