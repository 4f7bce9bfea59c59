"""Prompt sets for the generation test: what ships, and files that people bring."""

import os
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from tasks import starter
from tasks.contract.cell import NodeError
from tasks.contract.prompts import Intent, Part, Prompt, PromptSet
from tasks.data import prompt_files
from tasks.sources import host_copies as content
from tasks.sources.jsonl import read_objects

BUILT_IN = {"starter": starter.PROMPTS, "factorial": starter.FACTORIAL}
FIELDS = ("id", "text", "intent", "category", "frame", "pair", "set")
REQUIRED = ("id", "text", "intent", "category")
Kind = TypeVar("Kind", bound=StrEnum)


def load_prompts(name_or_path: str, *, download: bool = True) -> PromptSet:
    """A prompt set.

    Args:
        name_or_path: `starter`, `factorial`, a path of a JSONL file, or a file in another
            layout, as `prompt_files.parse` reads it.
        download: Whether a file of a hub may be fetched when it is not on this machine.

    Raises:
        NodeError: The file is missing, malformed or empty, or an id occurs twice.
    """
    if name_or_path in BUILT_IN:
        return _checked(name_or_path, name_or_path, _own_rows(BUILT_IN[name_or_path]))
    if source := prompt_files.parse(name_or_path):
        rows = prompt_files.read(source, download=download)
        return _checked(source.name, source.where, rows)
    path = content.named(content.FILE, name_or_path) or Path(name_or_path)
    if not os.path.isfile(path):  # noqa: PTH113 - never raises
        raise NodeError(
            f"prompts {name_or_path}: no such file, and none of the built-in sets "
            f"{', '.join(BUILT_IN)}; another layout is named first: "
            f"{', '.join(f'{layout}:PATH' for layout in prompt_files.LAYOUTS)}"
        )
    return _checked(Path(name_or_path).stem, str(path), _own_rows(path))


def _own_rows(path: Path) -> list[tuple[str, dict[str, Any]]]:
    return [(f"{path}:{number}", row) for number, row in read_objects(path)]


def _text(where: str, key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise NodeError(f"{where}: {key!r} must be a non-empty text")
    return value


def _prompt(where: str, row: dict[str, Any]) -> Prompt:
    if unknown := set(row) - set(FIELDS):
        raise NodeError(f"{where}: unknown key {sorted(unknown)[0]!r}")
    texts = {key: _text(where, key, row.get(key)) for key in REQUIRED}
    frame, pair = (
        _text(where, key, row[key]) if row.get(key) is not None else None
        for key in ("frame", "pair")
    )
    intent = _one_of(where, "intent", Intent, texts["intent"])
    part = row.get("set")
    if part is None:
        part = Part.JAILBREAK if intent is Intent.HARMFUL else Part.MATCHED if pair else Part.BENIGN
    return Prompt(
        id=texts["id"],
        text=texts["text"],
        intent=intent,
        category=texts["category"],
        frame=frame,
        pair=pair,
        set=_one_of(where, "set", Part, part),
    )


def _one_of(where: str, key: str, kinds: type[Kind], value: Any) -> Kind:
    try:
        return kinds(value)
    except ValueError:
        known = ", ".join(kinds)
        raise NodeError(f"{where}: {key!r} must be one of {known}; got {value!r}") from None


def _checked(name: str, source: str, rows: Iterable[tuple[str, dict[str, Any]]]) -> PromptSet:
    found = [(where, _prompt(where, row)) for where, row in rows]
    if not found:
        raise NodeError(f"{source}: no prompts in the file")
    _check_ids(found)
    return PromptSet(name=name, prompts=tuple(prompt for _, prompt in found))


def _check_ids(found: Sequence[tuple[str, Prompt]]) -> None:
    first: dict[str, str] = {}
    for where, prompt in found:
        if prompt.id in first:
            raise NodeError(f"{where}: id {prompt.id!r} occurs before, at {first[prompt.id]}")
        first[prompt.id] = where
    for where, prompt in found:
        if prompt.pair is not None and prompt.pair not in first:
            raise NodeError(f"{where}: 'pair' names {prompt.pair!r}, which is no id here")
        if prompt.pair == prompt.id:
            raise NodeError(f"{where}: 'pair' names the prompt itself")
