"""Lines on a terminal: wrapped between words, and drawn again in the same place."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.text import Text

from orchestrator.execution.console import Console
from orchestrator.visible import door, visible


def say(console: Console, text: Text, indent: int = 0) -> None:
    """Print a text of others on as many lines as it needs, each with the indent."""
    for line in wrapped(console, text, indent):
        console.print(line, soft_wrap=True)


def wrapped(console: Console, text: Text, indent: int = 0, hanging: int = 0) -> list[Text]:
    """A text as lines of the console's width; `hanging` more columns before all but the first."""
    shown = Text(visible(text.plain), spans=text.spans, style=text.style)
    room = console.width - indent
    lines = shown.wrap(console, max(1, room))[:1]
    rest = shown[sum(map(len, lines)) :]  # wrapped anew: it has less room than the first line
    while rest.plain[:1].isspace():
        rest = rest[1:]
    lines += rest.wrap(console, max(1, room - hanging)) if rest else []
    found = []
    for i, line in enumerate(lines):
        line.rstrip()
        found.append(Text(" " * (indent + (hanging if i else 0))) + line)
    return found


class Screen:
    """A terminal on which the lines of one command are wrapped; a context manager.

    With `redraw` they replace those before.
    """

    def __init__(self, *, redraw: bool, hanging: int) -> None:
        self._console = Console()
        self._hanging = hanging
        self._stack = ExitStack()
        self._live = Live(console=self._console, auto_refresh=False) if redraw else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._stack.enter_context(self._live)
            self._stack.enter_context(door())  # rich puts streams of its own before the door
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, lines: Sequence[str]) -> None:
        """Show the lines of this moment."""
        texts = [t for line in lines for t in wrapped(self._console, Text(line), 0, self._hanging)]
        if self._live is None:
            self._console.print(Group(*texts))
        else:
            self._live.update(Group(*texts), refresh=True)
