"""Prepares an answer for the rules: one spelling, no markup, split into units. Pure."""

import re
import unicodedata
from dataclasses import dataclass
from enum import Enum, auto

_SINGLE = "\u2018\u2019\u201a\u201b\u02b9\u02bb\u02bc\u02c8\u2032\u00b4\u02ca\u02cb\uff07"
_DOUBLE = "\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033\u301d\u301e\u300c\u300d\u300e\u300f\uff02"
_HYPHENS = "\u2010\u2011\u2012\u2212"
_BREAKS = re.compile("\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_SAME = str.maketrans(
    dict.fromkeys(_SINGLE, "'") | dict.fromkeys(_DOUBLE, '"') | dict.fromkeys(_HYPHENS, "-")
)
_ALIKE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u04bb\u051d"
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0406"
    "\u03b1\u03b9\u03bf\u03c1\u03bd\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1"
    "\u03a4\u03a7",
    "aeopcyxijsdhwABEKMHOPCTXIaiopvABEZHIKMNOPTX",
)
"""Cyrillic and Greek letters -> the Latin ones that look like them."""
_SPECIAL = re.compile(
    r"<\|[^|<>]{1,40}\|>|</?s>|<(?:pad|eos|bos|unk|(?:start|end)_of_turn)>|\[/?INST\]", re.I
)
_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?(?:</\1>|(\Z))", re.I | re.S)
_FENCE = re.compile(r"```.*?(?:```|\Z)", re.S)
_QUOTE = re.compile(r'"(?:[^"\n]|\n(?! *\n))*"')
_INLINE_CODE = re.compile(r"`[^`\n]+`")
_ALL_FENCED = re.compile(
    r"(?:[^\n]{0,80}:\n+)?```(?:json|markdown|md)? *\n(.*?)\n? *(?:```)?", re.S
)
_JSON = re.compile(r"[\[{]\s*[\"'\[{]")
_JSON_STRING = re.compile(
    r'"((?:[^"\\]|\\.)*)(?:"|\Z)(?P<key>\s*:\s*(?P<true>true\b|"yes")?)?', re.S | re.I
)
_REFUSED = ("refused", "refusal", "refuse", "declined", "denied", "rejected")
_STATUS = ("status", "result", "response", "outcome", "answer", "state")
"""Keys of a JSON object whose value may be one of `_REFUSED`."""
_ITEM = re.compile(r"\s*(?:[-*+\u2022]\s+|[-*+\u2022]$|\(?\d{1,3}[.)](?:\s+|$))")
_SENTENCE_END = re.compile(
    r"(?<=[.!?])[\"')\]]*\s+|(?<=[\u3002\uff01\uff1f])\s*|(?<=[\u3002!?])\s*$"
)
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
CODE, QUOTED = "\ue000", "\ue001"
MOST_MARKS = 30
"""Accents kept on one letter, as in Unicode's stream-safe format: sorting n of them takes n * n."""


class Kind(Enum):
    """Kinds of units; a TITLE is a line in bold, a SALUTATION begins a letter.

    A heading or a line in bold that ends with a full stop or `!` is a SENTENCE.
    """

    HEADING = auto()
    TITLE = auto()
    ITEM = auto()
    CODE = auto()
    SALUTATION = auto()
    SENTENCE = auto()


@dataclass(frozen=True, slots=True)
class Unit:
    """A sentence, a heading, a bold line, an item of a list, or a block of code.

    Attributes:
        kind: Its kind.
        text: Its text without markup; each quotation is replaced by QUOTED, each piece of code by
            CODE. An empty block of code has an empty text.
    """

    kind: Kind
    text: str


def normalise(text: str) -> str:
    """The text with one spelling for signs that look alike: quotes, hyphens, spaces, widths.

    Line ends become line feeds. Invisible characters are dropped. In a text of mostly Latin
    letters, Cyrillic and Greek ones that look like them become Latin.
    """
    text = _BREAKS.sub("\n", text)
    text = text.translate({ord(c): _one_spelling(c) for c in set(text)})
    if marks := "".join(filter(unicodedata.combining, set(text))):
        text = re.sub(f"([{marks}]{{{MOST_MARKS}}})[{marks}]+", r"\1", text)
    text = re.sub(r"`(?<=\w`)(?=\w)", "'", unicodedata.normalize("NFC", text))
    other = len(re.sub("[^\u0370-\u052f]+", "", text))
    mostly_latin = other and len(re.sub("[^A-Za-z]+", "", text)) > other
    return text.translate(_ALIKE) if mostly_latin else text


def _one_spelling(c: str) -> str:
    """A character in compatibility form, decomposed; nothing for one that cannot be seen."""
    kind = unicodedata.category(c)
    if kind == "Cf" or "\ufe00" <= c <= "\ufe0f" or (kind == "Cc" and c not in "\n\t"):
        return ""
    # First, as U+00B4 decomposes to a space and a mark; and again for quotes of other widths.
    plain = unicodedata.normalize("NFKD", c.translate(_SAME)).translate(_SAME)
    return re.sub(r"[^\S\n]", " ", plain)


def without_tokens(text: str) -> str:
    """The text without a model's special tokens."""
    return _SPECIAL.sub("", text)


def without_thoughts(text: str) -> tuple[str, bool]:
    """The text without blocks such as `<think>`, and whether it ends inside one."""
    unended = any(m[2] is not None for m in _THOUGHT.finditer(text))
    return _THOUGHT.sub("\n", text), unended


def unwrapped(text: str) -> str:
    """The text inside a fence, block quote, quotation marks, or JSON that holds all of it."""
    text = text.strip()
    if fence := _ALL_FENCED.fullmatch(text):
        text = fence[1].strip()
    if all(line.startswith(">") for line in text.split("\n")):
        text = re.sub(r"(?m)^>+ ?", "", text)
    if text.count('"') == 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return _json_values(text) if _JSON.match(text) else text


def _json_values(text: str) -> str:
    """The strings of a JSON text, cut off or not, a line each; `"refused": true` is a refusal."""
    lines, key = [], ""
    for found in _JSON_STRING.finditer(text):
        value = found[1].lower().strip(" .")
        if found["key"]:
            key = value
            refuses = key in _REFUSED and found["true"]
        else:
            refuses = key in _STATUS and value in _REFUSED
        if refuses:
            lines.append("I refuse.")
        elif not found["key"]:
            lines.append(re.sub(r"\\(.)", lambda c: "\n" if c[1] == "n" else c[1], found[1]))
    return "\n".join(lines)


def count_words(text: str) -> int:
    """Number of words; two characters of Chinese or Japanese count as one word."""
    return len(WORD.findall(_CJK.sub(" ", text))) + len(_CJK.findall(text)) // 2


def words(text: str) -> list[str]:
    """Words in lower case; each character of Chinese or Japanese is a word."""
    return WORD.findall(_CJK.sub(lambda m: f" {m[0]} ", text).lower())


def units(text: str) -> list[Unit]:
    """The units of a normalised text, in order.

    Code and quotations are replaced first: a refusal inside either is not the model's own. An
    empty block of code becomes CODE twice.
    """

    def fenced(found: re.Match[str]) -> str:
        inside = re.sub(r"^```[\w+#-]*|```$", "", found[0]).strip()
        return f"\n{CODE if inside else CODE * 2}\n"

    text = _FENCE.sub(fenced, text)
    text = re.sub(r"(?m)^(?: {4,})(?![-*+\u2022\d]).*$", CODE, text)
    text = _QUOTE.sub(QUOTED, _INLINE_CODE.sub(QUOTED, text))
    text = re.sub(r"(?m)^ *\*([^*\n]+)\* +(?=\S)", "\\1.\n", text)  # *bows* in a role-play
    text = re.sub(r"(?m)^ *>.*$", QUOTED, text)
    text = re.sub(r"(?<=[\w,'-]) ?\n(?=[a-z])", " ", text)  # a line that goes on in the next
    found: list[Unit] = []
    for line in text.split("\n"):
        found.extend(Unit(kind, part) for kind, part in _parts(line))
    if found and found[-1].kind is Kind.TITLE:  # nothing follows that it could be the title of
        found[-1] = Unit(Kind.SENTENCE, found[-1].text)
    return found


def _parts(line: str) -> list[tuple[Kind, str]]:
    """(kind, text) of each unit in a line of masked text."""
    line = line.strip()
    if line.startswith(CODE):
        return [(Kind.CODE, line if line == CODE else "")]
    if not line or re.fullmatch(r"[-*_=~ ]{3,}", line):
        return []
    is_sentence = line.rstrip("*_").endswith((".", "!"))
    if line.startswith("#") and not is_sentence:
        return [(Kind.HEADING, line.strip("#* "))]
    line = line.lstrip("# ")
    if item := _ITEM.match(line):
        return [(Kind.ITEM, _plain(line[item.end() :]))]
    if re.fullmatch(r"(\*\*|__)[^*_]+\1:?", line) and not is_sentence:
        return [(Kind.TITLE, _plain(line))]
    line = _plain(re.sub(r"^(\*\*|__)[^*_\n]{1,30}:\1", "", line))
    if re.fullmatch(r"(?:\S+ ){0,2}\S+:", line):
        return [(Kind.HEADING, line)]
    if _SALUTATION.match(line):
        return [(Kind.SALUTATION, line)]
    return [(Kind.SENTENCE, s.strip()) for s in _SENTENCE_END.split(line) if s and s.strip()]


_SALUTATION = re.compile(
    r"(?:(?i:subject|betreff|objet|asunto|oggetto|assunto|onderwerp) ?: ?\S"
    r"|(?i:dear|hi|hello|hey|liebe|lieber|hallo|sehr geehrte[rs]?|cher|ch\u00e8re|bonjour"
    r"|estimad[oa]|querid[oa]|hola|gentile|car[oa]|ciao|prezad[oa]|ol\u00e1|beste|geachte)"
    r" (?!(?i:there|friend|user|all|everyone|again|human)\b)[A-Z][\w. ]{0,40},$)"
)


def _plain(text: str) -> str:
    return re.sub(r"\*+|__|~~", "", text).strip()
