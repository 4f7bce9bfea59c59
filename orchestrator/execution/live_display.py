"""Progress of a launch on a terminal: a panel that redraws itself."""

from typing import Self

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.execution.console import Console
from orchestrator.execution.display import CELLS, Tally, opening
from tasks.contract.cell import Progress, Status


class LiveDisplay:
    """A panel that redraws itself; a context manager."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def begin(self, *, total: int, done: int, linked: int, what: str = CELLS) -> None:
        """Print the size of the launch."""
        self._tally.begin(total, done)
        self.note(opening(total, done, linked, what))

    def running(self, cells: dict[str, Progress | None], left_s: float | None = None) -> None:
        """Redraw the panel."""
        self._tally.left_s = left_s
        rows = Table.grid(padding=(0, 2))
        for label, progress in cells.items():
            if progress is None:
                rows.add_row(f"  {label}", "starting", "")
                continue
            step = f" {progress.step}/{progress.steps}" if progress.steps else ""
            loss = "" if progress.loss is None else f"loss {progress.loss:.3f}"
            rows.add_row(f"  {label}", f"{progress.stage}{step}", loss)
        ended = self._tally.done + self._tally.failed
        bar = ProgressBar(total=max(self._tally.total, 1), completed=ended, width=40)
        foot = Table.grid(padding=(0, 2))
        foot.add_row(bar, self._tally.line())
        self._live.update(Group(rows, foot))

    def settled(self, label: str, status: Status, message: str | None) -> None:
        """Count the cell; print a line that stays if it has no scores."""
        self._tally.add(status)
        if status is not Status.OK:
            self.note(f"{status} {label}: {message}")

    def note(self, text: str) -> None:
        """Print above the panel."""
        self._console.print(Text(text))
