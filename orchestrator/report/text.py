"""Foreign text made safe to show: no control characters, no Markdown syntax of its own."""

import re

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
    "\u202a-\u202e\u2066-\u2069]"
)
"""What HTML or XML cannot hold, and marks that turn the reading direction of what follows."""
_MARKDOWN = re.compile(r"[\\`*_\[\]<>|&~$@#]|(?<=www)\.|:(?=//)", re.IGNORECASE)
_BEGINNING = re.compile(r"^(\d*)([-+=.):])")


def clean(text: str) -> str:
    """The text as every format can hold it; what none can show becomes a replacement mark."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNSHOWABLE.sub(REPLACEMENT, lines)


def line(text: str) -> str:
    """The text on one line."""
    return " ".join(clean(text).split())


def markdown(text: str) -> str:
    """One line that Markdown shows as it is: no emphasis, link, tag, formula or table border.

    What counts only at the beginning of a line, as the mark of a list does, is left alone.
    """
    return _MARKDOWN.sub(lambda found: "\\" + found.group(), line(text))


def paragraph(text: str) -> str:
    """As `markdown`, for the beginning of a line."""
    return _BEGINNING.sub(r"\1\\\2", markdown(text))


def shorter(text: str, characters: int) -> str:
    """At most that many characters, the last one `…` where something is missing."""
    whole = line(text)
    return whole if len(whole) <= characters else whole[: characters - 1].rstrip() + "…"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """e.g. `1 cell`, `3 cells`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def listed(shown: int, total: int, what: str) -> tuple[str, ...]:
    """A sentence where a list is cut, nothing where it is whole."""
    return () if shown >= total else (f"The first {shown} of {total} {what} are shown.",)
