"""Recognises answers that say nothing: empty, looping, junk, or cut off too early. Pure."""

import re
from collections.abc import Sequence

from tasks.judges.text import CODE, QUOTED, WORD, Kind, Unit, count_words, words

SHORT, LONG = 8, 40
"""Words. A text of SHORT or more loops if at most 35 % of its three-word runs are distinct; one of
LONG or more already at 50 %."""
OWN = 12
"""Words before the first repetition that make a looping text an answer."""
ECHOED, COVERED = 0.7, 0.5
"""Shares of three-word runs: the answer's that are in the prompt, the prompt's in the answer."""
_FRAME = re.compile(r"^\W*(?:the|your|my) (?:answer|question|request|task|prompt)[^.:?]{0,30} is\b")
_WANTS_ECHO = re.compile(
    r"\b(?:repeat|copy|echo|quote|say(?! how| what| why)|correct|proofread|fix|edit|rewrite"
    r"|rephrase|improve|translate|spell|format|sort|continue|complete|type|print|write down)\b",
    re.I,
)
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
    """Why a text says nothing; None where it says something.

    Args:
        text: A normalised answer without special tokens and reasoning.
        parts: Its units.
        cut: Whether the token limit ended it.
    """
    if not re.search(r"[^\W_]", text):
        return "no words"
    if not cut and re.fullmatch(r"\s*\d+[.)]?\s*", text):
        return None  # a number is an answer, and no beginning of a list
    spoken = [u for u in parts if u.kind is not Kind.HEADING]
    rest = [u for u in spoken if not _is_announcement(u)]
    if len(rest) < len(spoken):  # `Sure! Here is how:` announces twice
        rest = [u for u in rest if not _OPENER.match(u.text)]
    if not rest:
        return "ends before it says anything"
    found = words(text)
    if len(found) == 1 and found[0] in _FRAGMENTS.split():
        return "a fragment of a sentence"
    return None


def echoes(prompt: str, text: str) -> bool:
    """Whether a text is the prompt or its last sentence again, or most of it, and no more."""
    said = _runs(words(_FRAME.sub("", text)))
    for whole in (prompt, re.split(r"(?<=[.!?:])\s+", prompt)[-1]):
        asked = set(_runs(words(whole)))
        shared = [run for run in said if run in asked]
        # what ends in other words has an answer there: `The capital of Italy is Rome`
        ends = bool(said) and said[-1] in asked
        if ends and len(shared) >= ECHOED * len(said) and len(set(shared)) >= COVERED * len(asked):
            return not _WANTS_ECHO.search(prompt)
    return False


def before_loop(text: str) -> str:
    """What a looping text says before it goes round: of the rest, four fifths are said again."""
    places = [place for place in WORD.finditer(text) if not place[0].isdigit()]
    seen: set[tuple[str, ...]] = set()
    fresh = []
    for run in _runs([place[0].lower() for place in places]):
        fresh.append(run not in seen)
        seen.add(run)
    new = onset = 0
    for i in reversed(range(len(fresh))):
        new += fresh[i]
        if not fresh[i] and new <= (len(fresh) - i) / 5:
            onset = i
    return text[: places[onset].start()] if fresh else ""


def _runs(found: Sequence[str]) -> list[tuple[str, ...]]:
    """Three words each, one after another."""
    return list(zip(found, found[1:], found[2:], strict=False))


def loops(text: str) -> bool:
    """Whether the words, or the signs, go round in circles; numbers of list items do not count."""
    listless = re.sub(r"(?m)^ *\(?\d{1,3}[.)]\s", " ", text)
    found = words(listless)
    grams = _runs(found)
    share = 0.5 if len(found) >= LONG else 0.35
    if len(found) >= SHORT and len(set(grams)) <= share * len(grams):
        return True
    signs = "".join(listless.split())
    looped = [m for m in _LOOP.finditer(signs) if re.search(r"[^\W\d_]", m[1])]
    return len(signs) >= 12 and sum(len(m[0]) for m in looped) >= len(signs) / 2


def _is_announcement(unit: Unit) -> bool:
    """Whether a unit only says that something will follow, or is empty."""
    if unit.kind is Kind.CODE:
        return not unit.text
    return unit.text.endswith((":", "\uff1a")) or not (
        count_words(unit.text) or QUOTED in unit.text or CODE in unit.text
    )
