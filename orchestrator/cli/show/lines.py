"""Lines of a command that shows them again and again; loads rich on a terminal only."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import typer


@contextmanager
def shown(*, redraw: bool = False, hanging: int = 4) -> Iterator[Callable[[Sequence[str]], None]]:
    """A function that shows lines, for the block.

    On a terminal they are wrapped, with `hanging` columns before all but the first line of a
    text, and with `redraw` they replace those before. Elsewhere each stays one line, and lines
    that are the same as before are not repeated.
    """
    if sys.stdout.isatty():
        from orchestrator.cli.show.screen import Screen

        with Screen(redraw=redraw, hanging=hanging) as screen:
            yield screen.show
        return
    last: list[str] = []

    def show(lines: Sequence[str]) -> None:
        if list(lines) != last:
            typer.echo("\n".join(lines))
        last[:] = lines

    yield show
