"""Tables in the terminal; loads no statistics, so that a list of cells appears at once."""

import sys
from collections.abc import Sequence

from orchestrator.analysis.tables.render import terminal
from orchestrator.analysis.tables.view import Missing, View
from orchestrator.execution.console import Console

PIPED_TABLE_WIDTH = 240
"""Columns where no terminal says how wide it is."""


def show_views(views: Sequence[View | Missing]) -> None:
    """Print tables, or why there is none."""
    console = Console(width=None if sys.stdout.isatty() else PIPED_TABLE_WIDTH)
    for view in views:
        if isinstance(view, View):
            console.print(terminal(view), "")
        else:
            console.print(f"{view.key}  {view.name}: not shown, {view.reason}\n")
