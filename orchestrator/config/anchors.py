"""Relative paths of a sweep file, made absolute from the folder that it lies in."""

import os
from functools import cache
from pathlib import Path
from typing import Any

from tasks.sources.paths import real

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


def _of_layout(value: str) -> tuple[str, str, str] | None:
    """Layout, path and options of `LAYOUT:PATH[?OPTIONS]`; None for a name of another form."""
    from tasks.data.prompt_files import LAYOUTS

    layout, _, rest = value.partition(":")
    path, mark, options = rest.partition("?")
    return (layout, path, mark + options) if path and layout in LAYOUTS else None


def anchored(name: str, value: Any, folder: Path) -> Any:
    """A relative path, made absolute: one that exists beside the file, or looks like one."""
    if isinstance(value, list | tuple):
        return type(value)(anchored(name, v, folder) for v in value)
    if name == "stress.prompts" and isinstance(value, str) and (own := _of_layout(value)):
        layout, file, options = own
        place = os.path.normpath(folder / os.path.expanduser(file))  # noqa: PTH111 - as below
        return f"{layout}:{place}{options}"
    if name in PATHS and isinstance(value, str) and "\0" not in value and not _is_name(value):
        path = Path(os.path.expanduser(value))  # noqa: PTH111 - never raises
        looks_like_path = path.suffix in (".jsonl", ".json") or value.startswith((".", "~", "/"))
        if looks_like_path or os.path.exists(folder / path):  # noqa: PTH110 - never raises
            return str(real(folder / path))
    return value
