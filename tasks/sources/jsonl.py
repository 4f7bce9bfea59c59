"""Reading JSON Lines files with errors that name the line."""

import json
from pathlib import Path
from typing import Any

from tasks.contract.cell import NodeError


def read_text(path: Path) -> str:
    """The file's text.

    Raises:
        NodeError: It is missing, unreadable, or not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise NodeError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise NodeError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise NodeError(f"{path}: cannot be read ({error.strerror})") from None


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
        value = json.loads(line, parse_constant=_refuse)
        if "\\ud" in line.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise NodeError(f"{path}:{number}: not JSON ({error.msg})") from None
    except UnicodeEncodeError:
        raise NodeError(f"{path}:{number}: holds half a character (a lone surrogate)") from None
    except (ValueError, RecursionError) as error:
        raise NodeError(f"{path}:{number}: not JSON ({error})") from None
    if not isinstance(value, dict):
        raise NodeError(f"{path}:{number}: expected a JSON object, got {type(value).__name__}")
    return value


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number in JSON")
