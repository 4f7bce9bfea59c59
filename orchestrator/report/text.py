"""Makes text from files safe to show: no control characters, no Markdown syntax in it."""

import re

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
    "\u202a-\u202e\u2066-\u2069]"
)
"""Characters that HTML or XML cannot hold, and marks that reverse the reading direction."""
_MARKDOWN = re.compile(r"[\\`*_\[\]<>|&~$@#]|(?<=www)\.|:(?=//)", re.IGNORECASE)
_BEGINNING = re.compile(r"^(\d*)([-+=.):])")


def clean(text: str) -> str:
    """The text with line feeds as line ends; U+FFFD for each character that cannot be shown."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNSHOWABLE.sub(REPLACEMENT, lines)


def line(text: str) -> str:
    """The cleaned text on one line, with single spaces."""
    return " ".join(clean(text).split())


def markdown(text: str) -> str:
    """The text on one line, escaped: Markdown reads no emphasis, link, tag, formula or table in it.

    Signs that have a meaning only at the beginning of a line, such as `-`, stay; see `paragraph`.
    """
    return _MARKDOWN.sub(lambda found: "\\" + found.group(), line(text))


def paragraph(text: str) -> str:
    """The text escaped for the beginning of a line, where `-`, `1.` and `#` have a meaning."""
    return _BEGINNING.sub(r"\1\\\2", markdown(text))


def shorter(text: str, characters: int) -> str:
    """The text on one line, cut to `characters`; `…` marks the cut."""
    whole = line(text)
    return whole if len(whole) <= characters else whole[: characters - 1].rstrip() + "…"


def count(number: int, noun: str) -> str:
    """A number with its noun, e.g. `1 cell`, `3 cells`."""
    return f"{number} {noun if number == 1 else noun + 's'}"


def listed(shown: int, total: int, what: str) -> tuple[str, ...]:
    """A note that says how many of a list are shown; empty where all are."""
    return () if shown >= total else (f"The first {shown} of {total} {what} are shown.",)
