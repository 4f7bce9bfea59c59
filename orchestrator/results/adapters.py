"""A saved adapter as a folder of two files, as mlx-lm loads it."""

import json
from pathlib import Path

from orchestrator.errors import UserError
from orchestrator.results.files import write_whole
from orchestrator.results.folder import ADAPTER, CONFIG, WEIGHTS
from tasks.contract.cell import Adapter, NodeError
from tasks.sources.jsonl import demand_file, parse_json

FILES = ADAPTER
LARGEST_ADAPTER = 1 << 32
"""Bytes of the weights: a thousand million numbers, more than LoRA trains of any model."""


def write_adapter(folder: Path, adapter: Adapter) -> dict[Path, bytes]:
    """Write both files, the weights last; returns what was written.

    Raises:
        UserError: The place cannot be written to.
    """
    config = json.dumps(adapter.config, indent=2, sort_keys=True).encode()
    written = {folder / CONFIG: config, folder / WEIGHTS: adapter.weights}
    for path, content in written.items():
        write_whole(path, content)
    return written


def read_adapter(folder: Path) -> Adapter | None:
    """The adapter as it lies there, unchecked; None where a file is missing or unreadable."""
    try:
        for path in (folder / CONFIG, folder / WEIGHTS):
            demand_file(path, LARGEST_ADAPTER)
        config = parse_json((folder / CONFIG).read_bytes())
        weights = (folder / WEIGHTS).read_bytes()
    except (OSError, ValueError, NodeError):
        return None
    return Adapter(weights=weights, config=config if isinstance(config, dict) else {})


def demand_loadable(weights: Path) -> None:
    """Check that the weights of an adapter can be loaded.

    Raises:
        UserError: They cannot.
    """
    from safetensors import SafetensorError, safe_open  # few commands look into an adapter

    try:
        with safe_open(weights, framework="numpy") as tensors:
            tensors.keys()
    except (SafetensorError, OSError) as error:
        raise UserError(f"{weights}: is no safetensors file ({error})") from None
