"""The door through which text of others reaches a terminal or a spreadsheet.

Messages, labels, names, log lines and answers come from files, hosts and models. Their control
characters could move the cursor, rename the window or turn the direction of a line.
"""

import contextlib
import io
import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Any, TextIO

HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Unicode categories that move the cursor, turn the direction of text or cannot be encoded."""
FORMULA = (*"=+-@\uff1d\uff0b\uff0d\uff20", "\t", "\r", "'")
"""What a spreadsheet takes for the start of a formula, or strips to get at one; and the mark."""
LONGEST = 2_000
"""Characters of a line of `status`, `logs` or a note; a message in a table may have any length."""
LONGEST_WORD = 300
"""Characters of what a program says at its end, inside a message of ours."""
STREAMS = {"<stdout>": "standard output", "<stderr>": "standard error"}
_PLAIN = re.compile(r"[ -~\n\t]*")


def visible(text: str) -> str:
    r"""Text for one line: hidden characters as `\u001b`, line ends and tabs as spaces."""
    return visible_lines(text).replace("\n", " ").replace("\t", " ")


def short(text: str) -> str:
    """A line for people, of at most `LONGEST` characters and how many more there are."""
    more = len(text) - LONGEST
    return text if more <= 0 else f"{text[:LONGEST]} ... ({more:,} more characters)"


def last_line(text: str | bytes, silent: str = "it says nothing") -> str:
    """What a program said last, of at most `LONGEST_WORD` characters.

    Args:
        text: What it wrote.
        silent: What to say instead of a program that wrote nothing, as one that was killed.
    """
    lines = (text if isinstance(text, str) else text.decode(errors="replace")).strip().splitlines()
    return lines[-1].strip()[:LONGEST_WORD] if lines else silent


def size(count: int) -> str:
    """Bytes for people."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def visible_lines(text: str) -> str:
    r"""Text of several lines: hidden characters as `\u001b`; line ends and tabs stay.

    The form is that of JSON, so that JSON stays the same JSON.
    """
    if _PLAIN.fullmatch(text):
        return text
    return _suspects().sub(_shown, text)


@cache
def _suspects() -> re.Pattern[str]:
    """What `_shown` is asked about: the hidden characters, and all with two units in UTF-16.

    To look at those, too, would take longer than most commands: there are a million.
    """
    units = (chr(unit) for unit in range(0x10000))
    hidden = "".join(u for u in units if u not in "\n\t" and unicodedata.category(u) in HIDDEN)
    return re.compile(f"[{re.escape(hidden)}\U00010000-\U0010ffff]")


def _shown(found: re.Match[str]) -> str:
    character = found[0]
    if unicodedata.category(character) not in HIDDEN:
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def inert(text: str) -> str:
    """Text of a CSV cell that a spreadsheet shows and does not run: a formula gets a `'` before.

    So does a text that begins with one: whoever takes one away has the text as it was.
    """
    return f"'{text}" if text.lstrip("\n ").startswith(FORMULA) else text


class Named:
    """A stream whose errors name it; the system's do not say which stream could not be written."""

    def __init__(self, beneath: TextIO) -> None:
        self.beneath = beneath

    def write(self, text: str) -> int:
        """Write text as it is."""
        with self._naming():
            return self.beneath.write(text)

    def writelines(self, lines: Any) -> None:
        """Write each of the lines."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what waits in memory."""
        with self._naming():
            self.beneath.flush()

    @contextlib.contextmanager
    def _naming(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            name = getattr(self.beneath, "name", "")
            error.filename = STREAMS.get(name, name)
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self.beneath, name)


class Door(Named):
    """A stream to a terminal: what is written is made visible first."""

    def write(self, text: str) -> int:
        """Write text with its hidden characters shown."""
        return super().write(visible_lines(text))


@contextlib.contextmanager
def door() -> Iterator[None]:
    """Put a door before stdout and stderr for the block; one that is closed loses what comes."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # else the next file would get its descriptor
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
    before = sys.stdout, sys.stderr
    for stream in before:
        if isinstance(stream, io.TextIOWrapper):  # a locale may have no such letters
            stream.reconfigure(errors="backslashreplace")
    doors = [s if isinstance(s, Door) else Door(s) for s in before]
    sys.stdout, sys.stderr = doors
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def beneath(stream: TextIO) -> Any:
    """The stream behind the door, for a writer that makes its own escapes, as rich does."""
    return Named(stream.beneath) if isinstance(stream, Door) else stream
