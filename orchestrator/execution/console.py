"""rich's console for text of others: nothing in it is markup, and hidden characters are shown."""

import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console as RichConsole  # noqa: TID251 - the one place that may
from rich.segment import Segment
from rich.text import Text

from orchestrator.visible import beneath, visible_lines


class Console(RichConsole):
    """Writes past the door in `orchestrator.visible`, as it makes its own escapes.

    Args:
        stderr: Write to stderr.
        width: Columns; None for those of the terminal.
    """

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        stream = beneath(sys.stderr if stderr else sys.stdout)
        super().__init__(file=stream, width=width, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """A text as rich's own, shown before its width is measured."""
        return super().render_str(visible_lines(text), **options)

    def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:
        """The pieces to write; those that are rich's own controls pass unchanged."""
        for piece in super().render(renderable, options):
            own = bool(piece.control)
            yield piece if own else Segment(visible_lines(piece.text), piece.style)
