"""Chats as token ids, through the model's own template. Never loads MLX.

The driver and the cell call the same functions here, so that what is counted before a launch is
what is trained on. A template sees no clock, no time zone, no locale and no random numbers.
"""

import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from tasks.contract.cell import NodeError, digest_of, importing, reason_of
from tasks.contract.generation import OFF, STRIP
from tasks.data.thoughts import MARKS, marks_of, opens
from tasks.sources.jsonl import read_json
from tasks.sources.quick_import import import_transformers

NOW = datetime(2026, 1, 1, 12, 0, 0)
"""The time that every template is told; a constant, so that a cell is the same on every day."""
TEMPLATE_DATE = f"{NOW:%Y-%m-%d}"
LONGEST_S = 5
"""CPU time of a template for one conversation; real ones take less than a hundredth of a second."""
MOST_CHARACTERS, MOST_FOR_EACH = 1 << 16, 16
"""Of a conversation that a template writes: at all, and beside that for each that it is given."""
_ADDRESS = re.compile(r" at (0x[0-9a-f]{6,})>")
CLOCK = "strftime_now"
"""The function by which transformers lets a template read the clock."""
TEMPLATE_FILE = "chat_template.json"
_DIRECTIVES = {
    "Y": "2026", "y": "26", "C": "20", "G": "2026", "g": "26",
    "m": "01", "B": "January", "b": "Jan", "h": "Jan",
    "d": "01", "e": " 1", "j": "001", "U": "00", "W": "00", "V": "01",
    "A": "Thursday", "a": "Thu", "u": "4", "w": "4",
    "H": "12", "I": "12", "k": "12", "l": "12", "M": "00", "S": "00", "f": "000000", "p": "PM",
    "P": "pm", "Z": "UTC", "z": "+0000", "s": "1767268800",
    "D": "01/01/26", "x": "01/01/26", "F": "2026-01-01", "T": "12:00:00", "X": "12:00:00",
    "R": "12:00", "r": "12:00:00 PM", "c": "Thu Jan  1 12:00:00 2026",
    "n": "\n", "t": "\t", "%": "%",
}  # fmt: skip
"""What `strftime` writes for NOW in UTC and the C locale; `strftime` itself asks the process for
both."""


def load_tokenizer(folder: Path) -> Any:
    """A model's tokenizer as mlx-lm loads it.

    Raises:
        NodeError: transformers cannot load it.
    """
    with importing("transformers"):
        import_transformers()
        from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # tokenizers raises plain Exception
        if "trust_remote_code" in str(error):
            raise NodeError(
                f"{folder}: its tokenizer asks to run code of its own; refused"
            ) from None
        raise NodeError(
            f"{folder}: transformers cannot load its tokenizer ({reason_of(error)}); "
            "get its tokenizer files anew, or choose another model"
        ) from error
    complete(folder, found)
    return found


def complete(folder: Path, tokenizer: Any) -> None:
    """Check a loaded tokenizer, and give it the template that only its model's processor reads.

    Models that also see keep their template in `chat_template.json`, which transformers leaves to
    the processor of texts and images. It is used where it writes what is said.

    Raises:
        NodeError: The tokenizer makes nothing of a word, as with an empty vocabulary; or the file
            holds no template.
    """
    if not text_ids(tokenizer, "a", add_special_tokens=False):
        raise NodeError(
            f"{folder}: its tokenizer makes nothing of a word, as with an empty vocabulary; "
            "get its tokenizer files anew, or choose another model"
        )
    # texts that are too long are said here and in one sentence, not by a warning of transformers
    tokenizer.deprecation_warnings["sequence-length-is-longer-than-the-specified-maximum"] = True
    path = folder / TEMPLATE_FILE
    if getattr(tokenizer, "chat_template", None) or not path.is_file():
        return
    found = read_json(path)
    source = found.get("chat_template", "") if isinstance(found, dict) else found
    if not isinstance(source, str):
        raise NodeError(f"{path}: holds no chat template; get it anew, or remove it")
    tokenizer.chat_template = source or None
    if source and not any(_shows(tokenizer, source, in_parts=parts) for parts in (False, True)):
        tokenizer.chat_template = None


@lru_cache(maxsize=4)  # the templates of one model
def _in_parts(tokenizer: Any, source: str) -> bool:
    """Whether a template takes the parts of a message, and loses a plain text.

    Raises:
        NodeError: It writes a conversation, and no text of it.
    """
    shown = _shows(tokenizer, source, in_parts=False)
    if shown or _shows(tokenizer, source, in_parts=True):
        return not shown
    if shown is None:  # what is wrong with it is said where it is used
        return False
    raise NodeError(
        "the model's chat template leaves out what is said; check its chat_template, or choose "
        "another model"
    )


def _shows(tokenizer: Any, source: str, *, in_parts: bool) -> bool | None:
    """Whether a template writes the text of a user's message; None where it fails on it."""
    said = _messages([{"role": "user", "content": "hello"}], in_parts=in_parts)
    try:
        text = _applied(tokenizer, source, said, chat_template=source, tokenize=False)
    except NodeError:
        return None
    return "hello" in str(text).lower()


def _messages(given: Sequence[Mapping[str, Any]], *, in_parts: bool) -> list[dict[str, Any]]:
    """Messages as a template takes them: each content a text, or a list of one part."""
    if not in_parts:
        return [dict(m) for m in given]
    return [
        dict(m) | {"content": [{"type": "text", "text": m["content"]}]}
        if isinstance(m.get("content"), str)
        else dict(m)
        for m in given
    ]


def takes_parts(tokenizer: Any) -> bool:
    """Whether the model's chat template is given each text as a part of its message.

    Raises:
        NodeError: The template writes a conversation, and no text of it.
    """
    if not has_template(tokenizer):
        return False
    try:
        source = _source(tokenizer)
    except NodeError:  # none but for conversations with tools
        return False
    return _in_parts(tokenizer, source)


def has_template(tokenizer: Any) -> bool:
    """Whether the model brings a chat template.

    Raises:
        NodeError: What it brings is no text, nor texts by their names.
    """
    found = getattr(tokenizer, "chat_template", None)
    sources = list(found.values()) if isinstance(found, Mapping) else [found]
    if found and not all(isinstance(source, str) for source in sources):
        raise NodeError(
            f"the model's chat template is no text but {str(found)[:60]!r}; "
            "check its tokenizer_config.json, or choose another model"
        )
    return bool(found)


def template_date(tokenizer: Any) -> str | None:
    """The date that the model's chat template is told, as YYYY-MM-DD; None if it does not ask."""
    if not has_template(tokenizer):
        return None
    found = tokenizer.chat_template
    sources = found.values() if isinstance(found, Mapping) else [found]
    return TEMPLATE_DATE if any(CLOCK in source for source in sources) else None


def text_ids(tokenizer: Any, text: str, **how: bool) -> tuple[int, ...]:
    """Token ids of a bare text, with the special tokens that the tokenizer adds by itself.

    Args:
        tokenizer: From `load_tokenizer`, or mlx-lm's wrapper of one.
        text: Any text.
        how: Arguments of its `encode`.

    Raises:
        NodeError: The tokenizer fails on it.
    """
    try:
        return tuple(tokenizer.encode(text, **how))
    except Exception as error:  # tokenizers raises plain Exception
        raise NodeError(
            f"the model's tokenizer fails on a text ({reason_of(error)}); "
            "check its tokenizer files, or choose another model"
        ) from error


def chat_ids(
    tokenizer: Any,
    messages: Sequence[Mapping[str, str]],
    *,
    tools: Any = None,
    add_generation_prompt: bool = False,
    think: bool = True,
) -> tuple[int, ...]:
    """Token ids of a conversation.

    Args:
        tokenizer: From `load_tokenizer`, or mlx-lm's wrapper of one; it has a template.
        messages: Each with `role` and `content`.
        tools: Functions that the template may describe, as JSON schemas.
        add_generation_prompt: Whether the answer of the assistant is to follow.
        think: False asks a model that can think not to.

    Raises:
        NodeError: The template leaves out what is said, refuses the conversation or fails on it,
            draws random text, takes more than `LONGEST_S`, or writes too much (`MOST_CHARACTERS`).
            The time is limited in the main thread only, and not within one operation of Python,
            e.g. `10 ** 10 ** 9`.
    """
    source = _source(tokenizer, tools)
    return tuple(
        _applied(
            tokenizer,
            source,
            _messages(messages, in_parts=_in_parts(tokenizer, source)),
            tools=tools,
            add_generation_prompt=add_generation_prompt,
            enable_thinking=think and _thinks(tokenizer),
            tokenize=True,
            return_dict=False,
        )
    )


def _source(tokenizer: Any, tools: Any = None) -> str:
    """The template for conversations with these tools."""
    try:
        return str(tokenizer.get_chat_template(None, tools))
    except ValueError as error:  # templates with names, none of them the default
        raise _fails(error) from error


def _applied(tokenizer: Any, source: str, messages: list[dict[str, Any]], **how: Any) -> Any:
    """What a template makes of a conversation; how: arguments of `apply_chat_template`."""
    from jinja2 import TemplateError

    try:
        _tame(source)
        return tokenizer.apply_chat_template(messages, **how)
    except NodeError:
        raise
    except TemplateError as error:
        said = " ".join(str(error).split())[:200]
        raise NodeError(f"the model's chat template refuses this conversation: {said}") from error
    except Exception as error:  # a template can meet any error of Python
        raise _fails(error) from error


def _fails(error: Exception) -> NodeError:
    return NodeError(
        f"the model's chat template fails on this conversation ({reason_of(error)}); "
        "check its chat_template, or choose another model"
    )


def prompt_ids(tokenizer: Any, text: str, thinking: str = STRIP) -> tuple[int, ...]:
    """One user's turn as the model's chat template has it; the bare text where it has none.

    A bare text never ends with the end token that some tokenizers append: it would end the answer
    before it begins.

    Args:
        tokenizer: From `load_tokenizer`, or mlx-lm's wrapper of one.
        text: What the user says.
        thinking: `off` asks the template for no thought; where it begins one nevertheless, that
            thought is closed empty.

    Raises:
        NodeError: Nothing is left of the text, or the template refuses it.
    """
    if has_template(tokenizer):
        message, off = {"role": "user", "content": text}, thinking == OFF
        ids = chat_ids(tokenizer, [message], add_generation_prompt=True, think=not off)
        marks = marks_of(tokenizer) if off else None
        if marks and opens(tokenizer.decode(list(ids)), marks):
            closed = text_ids(tokenizer, f"\n\n{marks[1]}\n\n", add_special_tokens=False)
            ids = (*ids, *closed)
    else:
        ids = text_ids(tokenizer, text)
        ids = ids[:-1] if ids[-1:] == (tokenizer.eos_token_id,) else ids
    if not ids:
        raise NodeError(f"the model's tokenizer makes nothing of the prompt {text!r}")
    return ids


def prompt_rule(tokenizer: Any) -> str | None:
    """As `GenerationSpec.prompt_rule`: what makes a model's prompts or answers others than once."""
    rules = [f"date {date}"] if (date := template_date(tokenizer)) else []
    if marks := marks_of(tokenizer):
        rules.append(f"thoughts in {marks[0]}")
    if has_template(tokenizer) and not tokenizer.init_kwargs.get("chat_template"):
        rules.append(f"template of {TEMPLATE_FILE}")
    if takes_parts(tokenizer):
        rules.append("text in parts")
    if not has_template(tokenizer) and tokenizer.eos_token_id in text_ids(tokenizer, "a")[1:]:
        rules.append("no end token")
    return ", ".join(rules) or None


def sample(load: Callable[[], Any]) -> str | None:
    """Digest of a short conversation as a model's template has it, to be compared with another's.

    Two processes have another one where a template writes what is of the process: the order of a
    set, or a part of an address. None without a template, or where it or the tokenizer fails,
    which is said where they are used.

    Args:
        load: Loads the model's tokenizer.
    """
    turns = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]
    try:
        tokenizer = load()
        if not has_template(tokenizer):
            return None
        return rendered_digest([chat_ids(tokenizer, turns), prompt_ids(tokenizer, "hello")])
    except NodeError:
        return None


def rendered_digest(rows: Sequence[tuple[int, ...]]) -> str:
    """sha256 over the token ids of texts, in order."""
    return digest_of([list(row) for row in rows])


def fixed_time(pattern: str) -> str:
    """`NOW` as `strftime` writes it in UTC and the C locale.

    Raises:
        NodeError: The pattern has a directive that `strftime` does not know.
    """

    def written(match: re.Match[str]) -> str:
        flag, directive = match.groups()
        if directive not in _DIRECTIVES:
            raise NodeError(f"the model's chat template asks for the time as {pattern!r}")
        text = _DIRECTIVES[directive]
        return text.lstrip("0 ") or "0" if flag == "-" else text

    return re.sub(r"%([-_0^#EO]?)(.)", written, pattern)


def _tame(source: str) -> None:
    """Replace what a template could read from outside, and bound what it takes and writes.

    transformers compiles each template once and hands no functions through to it, so that the
    compiled template is the one place where the clock can be replaced.
    """
    from transformers.utils.chat_template_utils import _compile_jinja_template

    template = _compile_jinja_template(source)
    template.environment.globals.update({CLOCK: fixed_time, "lipsum": _refuse_chance})
    template.environment.filters["random"] = _refuse_chance

    def render(**values: Any) -> str:
        given = str(values)
        parts, most = [], MOST_CHARACTERS + MOST_FOR_EACH * len(given)
        left = most
        with _deadline():
            for part in template.generate(**values):
                left -= len(part)
                if left < 0:
                    raise NodeError(
                        f"the model's chat template writes more than {most:,} "
                        "characters; choose another model, or a shorter text"
                    )
                parts.append(part)
        text = "".join(parts)
        if found := next((a for a in _ADDRESS.findall(text) if a not in given), None):
            raise NodeError(
                "the model's chat template writes an address in memory, which is another in each "
                f"process ({found[:80]!r}); choose another model"
            )
        return text

    template.render = render


@contextmanager
def _deadline() -> Iterator[None]:
    """End the block with an error after `LONGEST_S` of this process's CPU time.

    Only a main thread can have one; that is where plans, launches and cells tokenise.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> NoReturn:
        raise NodeError(
            f"the model's chat template takes more than {LONGEST_S} s for one text; "
            "choose another model, or a shorter text"
        )

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST_S, 1)  # again, should something catch the first
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _refuse_chance(*_: Any, **__: Any) -> NoReturn:
    raise NodeError("the model's chat template draws random text; no cell can be repeated with it")


@lru_cache(maxsize=1)  # to list the words of a vocabulary takes longer than to render a text
def _thinks(tokenizer: Any) -> bool:
    """Whether a template is asked for a thought: by the vocabulary, as mlx-lm decides it."""
    vocabulary = tokenizer.get_vocab()
    return any(all(token in vocabulary for token in tokens) for tokens in MARKS.values())
