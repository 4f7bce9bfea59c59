"""Reading texts, JSON and JSON Lines of others, with errors that name the line."""

import json
import re
import stat
from pathlib import Path
from typing import Any

from tasks.contract.cell import NodeError

MOST_BYTES = 2**30
"""Of a text file; a longer one is refused before it is read."""
LONGEST_RECORD = 1 << 20
"""Characters of a line: all of a text is tokenised, though its first tokens are all that counts."""


def read_text(path: Path) -> str:
    """The file's text, without a mark of the byte order before it.

    Raises:
        NodeError: It is missing, unreadable, too long, no file but a pipe or device, or not UTF-8.
    """
    try:
        demand_file(path)
        return path.read_bytes().decode("utf-8").removeprefix("\ufeff")
    except FileNotFoundError:
        raise NodeError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise NodeError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise NodeError(f"{path}: cannot be read ({error.strerror})") from None


def demand_file(path: Path, most: int | None = None) -> None:
    """Check before a file is opened that it can be read to its end.

    Args:
        path: The file. A folder passes; to open it raises OSError later.
        most: Bytes that it may have; None for `MOST_BYTES`.

    Raises:
        NodeError: It is a pipe, a socket or a device, or too long.
        OSError: It is missing, or cannot be looked at.
    """
    found, most = path.stat(), MOST_BYTES if most is None else most
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise NodeError(f"{path}: a pipe or a device, no file; save its content in a file")
    if found.st_size > most:
        raise NodeError(f"{path}: {found.st_size:,} bytes; at most {most:,} are read")


def parse_json(raw: str | bytes, *, lenient: bool = False) -> Any:
    """The value of a JSON text of another, as UTF-8; a mark of the byte order before it is no part.

    Args:
        raw: The text.
        lenient: Whether to read what some models' configs hold: NaN, Infinity and -Infinity as
            numbers.

    Raises:
        ValueError: It is no JSON (json.JSONDecodeError, with the line), is nested too deeply, or
            has a key twice with unlike values, half a character, a number of more than 4,300
            digits, or a byte that is not UTF-8.
    """
    try:
        text = (raw.decode() if isinstance(raw, bytes) else raw).removeprefix("\ufeff")
        refuse = None if lenient else _refuse
        value = json.loads(text, object_pairs_hook=_without_twins, parse_constant=refuse)
        if _SURROGATE.search(text):  # two make one character, one alone cannot be written
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text, byte {error.start}") from None
    except UnicodeEncodeError:
        raise ValueError("holds half a character (a lone surrogate)") from None
    return value


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    for key, value in pairs if len(found) < len(pairs) else ():
        if value != found[key]:  # what stands there twice as it is says the same in any reading
            raise ValueError(f"the key {ascii(key)[:80]} is there twice")
    return found


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number in JSON")


def read_json(path: Path, *, lenient: bool = False) -> Any:
    """The value in a JSON file, as `parse_json`.

    Raises:
        NodeError: The file cannot be read, or is no JSON; with the line where that is known.
    """
    text = read_text(path)
    try:
        return parse_json(text, lenient=lenient)
    except json.JSONDecodeError as error:
        raise NodeError(f"{path}:{error.lineno}: not JSON ({error.msg})") from None
    except ValueError as error:
        raise NodeError(f"{path}: not JSON ({error})") from None


def read_objects(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """(line number, object) of every non-blank line.

    Raises:
        NodeError: The file cannot be read, a line is no JSON object or longer than
            `LONGEST_RECORD`, or there is none.
    """
    rows: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if len(line) > LONGEST_RECORD:
            raise NodeError(
                f"{path}:{number}: a record of {len(line):,} characters; shorten it to "
                f"{LONGEST_RECORD:,}, or divide it"
            )
        if line.strip():
            rows.append((number, _object(path, number, line)))
    if not rows:
        raise NodeError(f"{path}: no records in the file")
    return rows


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = parse_json(line)
    except ValueError as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else error
        raise NodeError(f"{path}:{number}: not JSON ({reason})") from None
    if not isinstance(value, dict):
        raise NodeError(f"{path}:{number}: expected a JSON object, got {type(value).__name__}")
    return value
