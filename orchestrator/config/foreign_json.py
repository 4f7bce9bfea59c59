"""JSON that others wrote, a host or a results folder, held against the shape it must have. Pure.

A shape is a type (`int` means 0 or more, and no flag), None, a tuple of shapes of which one must
fit, `[shape]` for a list, `{str: shape}` for any texts as keys, `{ID: shape}` for ids as keys, or
`{"key": shape, ...}` for a record, which may have more keys, and may lack one that is written
`"key?"`.
"""

import json
import math
import re
from typing import Any

from tasks.sources.jsonl import parse_json

MOST_CHARACTERS = 1 << 20
LARGEST = 1 << 63
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Of a cell or a unit of work; names of files are made of it. Ours have 16 hex digits."""
WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    ID: "an id",
}


class BadAnswerError(ValueError):
    """What is wrong with an answer; the caller names the host."""


def parse(raw: bytes, shape: Any) -> Any:
    """The value of a JSON text.

    Raises:
        BadAnswerError: It is no JSON, has a key twice, is nested too deep, or has another shape.
    """
    try:
        value = parse_json(raw)
    except json.JSONDecodeError:
        raise BadAnswerError(f"it is no JSON: {shown(raw[:60].decode(errors='replace'))}") from None
    except ValueError as error:
        raise BadAnswerError(f"it is no JSON: {error}") from None
    demand(value, shape, "")
    return value


def demand(value: Any, shape: Any, at: str) -> None:
    """Check a value; `at` is the path to it, for the message.

    Raises:
        BadAnswerError: It has another shape.
    """
    if isinstance(shape, tuple):
        if not any(fits(value, one) for one in shape):
            demand(value, shape[-1], at)
    elif isinstance(shape, list):
        _of_type(value, list, "a list", at)
        for number, item in enumerate(value):
            demand(item, shape[0], f"{at}[{number}]")
    elif isinstance(shape, dict):
        _of_type(value, dict, "keys and values", at)
        _demand_values(value, shape, at)
    elif not _is(value, shape):
        wanted = "null" if shape is None else WORDS[shape]
        raise BadAnswerError(f"{at.lstrip('.') or 'it'} must be {wanted}, got {shown(value)}")


def fits(value: Any, shape: Any) -> bool:
    """Whether a value has a shape."""
    try:
        demand(value, shape, "")
    except BadAnswerError:
        return False
    return True


def _demand_values(value: dict[str, Any], shape: dict[Any, Any], at: str) -> None:
    for keys in {str, ID} & shape.keys():
        for key, item in value.items():
            demand(key, keys, f"{at}.{shown(key)}")
            demand(item, shape[keys], f"{at}.{shown(key)}")
        return
    for word, one in shape.items():
        key = word.removesuffix("?")
        if key in value:
            demand(value[key], one, f"{at}.{key}")
        elif key == word:
            raise BadAnswerError(f"it has no {f'{at}.{key}'.lstrip('.')}")


def shown(value: object) -> str:
    """A foreign value for a message: short, and without characters that move a cursor."""
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _of_type(value: Any, kind: type, wanted: str, at: str) -> None:
    if not isinstance(value, kind):
        raise BadAnswerError(f"{at.lstrip('.') or 'it'} must be {wanted}, got {shown(value)}")


def _is(value: Any, kind: Any) -> bool:
    if kind is None:
        return value is None
    if kind is ID:
        return isinstance(value, str) and ID.fullmatch(value) is not None
    if kind is int:
        return type(value) is int and 0 <= value < LARGEST
    if kind is float:
        return type(value) in (int, float) and abs(value) < LARGEST and math.isfinite(value)
    if kind is str:
        if not isinstance(value, str) or len(value) > MOST_CHARACTERS:
            return False
        # JSON may hold halves of a character (surrogates), which cannot be written
        return value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value)
    return isinstance(value, kind)
