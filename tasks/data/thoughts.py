"""Thoughts that a model writes before its answer. Pure."""

from collections.abc import Mapping
from typing import Any

Marks = tuple[str, str]
MARKS: Mapping[Marks, tuple[str, ...]] = {
    **{
        marks: marks
        for marks in (
            ("<think>", "</think>"),
            ("<longcat_think>", "</longcat_think>"),
            ("<|think:start|>", "<|think:end|>"),
        )
    },
    ("<|channel>thought", "<channel|>"): ("<|channel>", "<channel|>"),
    ("<|open|>think<|sep|>", "<|close|>think<|sep|>"): (
        "<|open|>",
        "<|close|>",
        "<|sep|>",
        "<|end_of_msg|>",
    ),
}
"""What begins and what ends a thought -> the tokens by which mlx-lm knows a model that thinks."""
OTHERS: tuple[Marks, ...] = (
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("\u25c1think\u25b7", "\u25c1/think\u25b7"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
)
"""Marks of models that mlx-lm does not know to think, and so never asks not to."""
EVERY = (*MARKS, *OTHERS)
CUT = "thought"
"""The `finish_reason` of an answer that ends before its thought does."""


def marks_of(tokenizer: Any) -> Marks | None:
    """The marks of a model that thinks; None where its template and vocabulary know of none."""
    found = getattr(tokenizer, "chat_template", None) or ""
    template = "".join(found.values()) if isinstance(found, Mapping) else found
    vocabulary = tokenizer.get_vocab()
    for begin, end in EVERY:
        if begin in template or (begin in vocabulary and end in vocabulary):
            return begin, end
    return None


def opens(prompt: str, marks: Marks) -> bool:
    """Whether a prompt ends with the beginning of a thought, which the model is to go on with."""
    return prompt.rstrip().endswith(marks[0])


def is_cut(response: str) -> bool:
    """Whether an answer begins with a thought and ends before it does."""
    return any(response.lstrip().startswith(begin) and end not in response for begin, end in EVERY)


def spoken(response: str) -> str:
    """What an answer says after the thought that it begins with; the answer where it has none.

    Nothing is left of an answer that ends inside its thought.
    """
    for begin, end in EVERY:
        if response.lstrip().startswith(begin):
            return response.partition(end)[2].lstrip()
    return response
