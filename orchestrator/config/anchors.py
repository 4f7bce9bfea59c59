"""Relative paths of a sweep file, made absolute from the folder that it lies in."""

import os
from functools import cache
from pathlib import Path
from typing import Any

PATHS = ("model", "data.sft", "probes.pack", "evaluate.capability", "stress.prompts")
"""Fields that may hold a path."""


@cache
def _built_in() -> frozenset[str]:
    """Names of models, packs, SFT sources and prompt sets, which are no paths."""
    from tasks.data import probe_packs, prompts, sft  # slow to load; only parsing needs them
    from tasks.sources import model_files

    packs, texts = ([s.name for s in group] for group in (probe_packs.PACKS, sft.SOURCES))
    return frozenset((*model_files.SHIPPED, *packs, *texts, *prompts.BUILT_IN))


def _is_name(value: str) -> bool:
    """Whether a text names something built in, or a file of the hub."""
    from tasks.sources.declared import ON_HUB  # as above

    return value in _built_in() or ON_HUB.fullmatch(value) is not None


def anchored(name: str, value: Any, folder: Path) -> Any:
    """A relative path that exists beside the file, made absolute."""
    if isinstance(value, list | tuple):
        return type(value)(anchored(name, v, folder) for v in value)
    if name in PATHS and isinstance(value, str) and "\0" not in value and not _is_name(value):
        path = Path(os.path.expanduser(value))  # noqa: PTH111 - never raises
        looks_like_path = path.suffix in (".jsonl", ".json") or value.startswith((".", "~", "/"))
        if looks_like_path or (folder / path).exists():
            return str((folder / path).resolve())
    return value
