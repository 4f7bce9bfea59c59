"""Answers that are none: empty, looping, junk, or cut off before they began. Pure."""

import re
from collections.abc import Sequence

from tasks.judges.text import CODE, QUOTED, Kind, Unit, count_words, words

SHORT, LONG = 8, 40
"""Words from which on repetition is looked at, and from which on less of it is enough."""
_LOOP = re.compile(r"(.{1,30}?)\1{5,}", re.S)
_FRAGMENTS = (
    "a an the i it is are was of to in on at by for from with and or but as that this these those "
    "my your his her we you they he she there here so if when der die das ein eine ich und le la "
    "les un une je et el los una y il lo un' o os as um uma eu e de het een ik en"
)
_OPENER = re.compile(
    r"(?:sure|certainly|of course|absolutely|gladly|okay|ok|great|nat\u00fcrlich|gerne?|klar"
    r"|bien s\u00fbr|claro|por supuesto|certo|com certeza|natuurlijk)\b",
    re.I,
)


def why_degenerate(text: str, parts: Sequence[Unit], *, cut: bool) -> str | None:
    """Why a normalised text is no answer; None if it is one.

    Args:
        text: Without special tokens and reasoning.
        parts: Its units.
        cut: Whether the limit of tokens ended it.
    """
    if not re.search(r"[^\W_]", text):
        return "no words"
    if _loops(text):
        return "repeats itself"
    if not cut and re.fullmatch(r"\s*\d+[.)]?\s*", text):
        return None  # a number is an answer, and no beginning of a list
    if not _says_something(parts):
        return "ends before it says anything"
    found = words(text)
    if len(found) == 1 and found[0] in _FRAGMENTS.split():
        return "a fragment of a sentence"
    return None


def _loops(text: str) -> bool:
    listless = re.sub(r"(?m)^\s*\(?\d{1,3}[.)]\s", " ", text)
    found = words(listless)
    grams = list(zip(found, found[1:], found[2:], strict=False))
    share = 0.5 if len(found) >= LONG else 0.35
    if len(found) >= SHORT and len(set(grams)) <= share * len(grams):
        return True
    signs = "".join(listless.split())
    looped = [m for m in _LOOP.finditer(signs) if re.search(r"[^\W\d_]", m[1])]
    return len(signs) >= 12 and sum(len(m[0]) for m in looped) >= len(signs) / 2


def _says_something(parts: Sequence[Unit]) -> bool:
    """Whether there is more than headings and the announcement that something will be said."""
    spoken = [u for u in parts if u.kind is not Kind.HEADING]
    announced = [u for u in spoken if _is_announcement(u)]
    rest = [u for u in spoken if not _is_announcement(u)]
    if announced:
        rest = [u for u in rest if not _OPENER.match(u.text)]
    return bool(rest)


def _is_announcement(unit: Unit) -> bool:
    if unit.kind is Kind.CODE:
        return not unit.text
    return unit.text.endswith((":", "\uff1a")) or not (
        count_words(unit.text) or QUOTED in unit.text or CODE in unit.text
    )
