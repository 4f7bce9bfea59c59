"""The newest checkpoint of every unfinished cell, one file each: whole or absent."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from orchestrator.results.adapters import LARGEST_ADAPTER
from orchestrator.results.files import write_whole
from tasks.contract.cell import NodeError
from tasks.contract.checkpoint_envelope import Envelope, UnusableError, unseal
from tasks.sources.jsonl import demand_file

FOLDER = "checkpoints"
MOST_BYTES = 3 * LARGEST_ADAPTER
"""Beside the adapter a checkpoint holds two moments of each of its numbers."""


class Checkpoints:
    """Checkpoints in a folder; a file that is torn or of another version counts as none.

    Attributes:
        folder: e.g. `results/dose-response/checkpoints`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, cell_id: str, sealed: bytes) -> Envelope | None:
        """Put a checkpoint in the place of an earlier one, unless that one is further on.

        Returns:
            The one that was kept, or None.

        Raises:
            UserError: It cannot be written.
        """
        try:
            found = unseal(sealed)
        except UnusableError:
            return None
        before = self.look(cell_id)
        ours = before is not None and before.origin == found.origin
        if found.origin.cell_id != cell_id or (before and ours and before.step >= found.step):
            return None
        write_whole(self.folder / cell_id, sealed)
        return found

    def read(self, cell_id: str) -> bytes | None:
        """The bytes as they lie there; who uses them checks them."""
        path = self.folder / cell_id
        try:
            demand_file(path, MOST_BYTES)
            return path.read_bytes()
        except (OSError, NodeError):
            return None

    def look(self, cell_id: str) -> Envelope | None:
        """A cell's checkpoint, or None where there is none of use."""
        try:
            return unseal(self.read(cell_id) or b"")
        except UnusableError:
            return None

    def families(self, cells: Iterable[str]) -> Iterator[tuple[str, str]]:
        """(cell, chip family) of the checkpoints that are of use."""
        for cell in cells:
            if (found := self.look(cell)) is not None:
                yield cell, found.origin.family

    def drop(self, cell_id: str) -> None:
        """Delete a cell's checkpoint; one that stays harms nobody."""
        with suppress(OSError):
            (self.folder / cell_id).unlink()

    def drop_all(self, cells: Iterable[str]) -> None:
        """Delete those of cells that are done."""
        for cell in cells:
            self.drop(cell)
