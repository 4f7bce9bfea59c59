"""Reading texts, JSON and JSON Lines of others, with errors that name the line."""

import json
import stat
from pathlib import Path
from typing import Any

from tasks.contract.cell import NodeError

MOST_BYTES = 2**30
"""Of a text file; a longer one is refused before it is read."""


def read_text(path: Path) -> str:
    """The file's text.

    Raises:
        NodeError: It is missing, unreadable, too long, no file but a pipe or device, or not UTF-8.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            raise NodeError(f"{path}: a pipe or a device, no file; save its content in a file")
        if found.st_size > MOST_BYTES:
            raise NodeError(f"{path}: {found.st_size:,} bytes; at most {MOST_BYTES:,} are read")
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise NodeError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise NodeError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise NodeError(f"{path}: cannot be read ({error.strerror})") from None


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: It is no JSON (json.JSONDecodeError, with the line), is nested too deeply, or
            has a number of more than 4,300 digits or a byte that is not UTF-8.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} is there twice")
    return found


def read_objects(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """(line number, object) of every non-blank line.

    Raises:
        NodeError: The file cannot be read, a line is no JSON object, or there is none.
    """
    rows: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            rows.append((number, _object(path, number, line)))
    if not rows:
        raise NodeError(f"{path}: no records in the file")
    return rows


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line, parse_constant=_refuse, object_pairs_hook=_without_twins)
        if "\\ud" in line.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise NodeError(f"{path}:{number}: not JSON ({error.msg})") from None
    except UnicodeEncodeError:
        raise NodeError(f"{path}:{number}: holds half a character (a lone surrogate)") from None
    except RecursionError:
        raise NodeError(f"{path}:{number}: not JSON (nested too deeply)") from None
    except ValueError as error:
        raise NodeError(f"{path}:{number}: not JSON ({error})") from None
    if not isinstance(value, dict):
        raise NodeError(f"{path}:{number}: expected a JSON object, got {type(value).__name__}")
    return value


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number in JSON")
