"""Where the driver of a results folder runs, remembered outside the folder.

A results folder may come from anyone, so nothing in it decides where to connect or what to delete.
What this machine knows lies in the user's state folder (`$XDG_STATE_HOME/rho-sweep` or
`~/.local/state/rho-sweep`, mode 0700), by the folder's path and this machine's name. A random mark
in both places tells whether the folder is still the one that was remembered, or has been replaced.
"""

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cluster.trust.confined import read_in, write_in
from orchestrator.config.foreign_json import BadAnswerError, parse
from orchestrator.errors import UserError, writing
from orchestrator.results.files import write_whole
from orchestrator.results.folder import NOTE
from tasks.model.machine import machine_id
from tasks.sources.paths import real

if TYPE_CHECKING:  # it loads pyarrow, and `stop` asks here first
    from orchestrator.cluster.trust.listing import Stamp

LONGEST_NOTE = 4096
SHAPE = {"mark": str, "cluster": (None, str), "head": (None, str), "files": {str: [int]}}


def state_folder() -> Path:
    """Folder of all that this user's programs remember between runs."""
    given = os.environ.get("XDG_STATE_HOME", "")
    base = given if given.startswith("/") else os.path.expanduser("~/.local/state")  # noqa: PTH111 - never raises
    return Path(base) / "rho-sweep"


def made_on_a_cluster(folder: Path) -> bool:
    """Whether a folder says that a cluster made it; where that is, it cannot say."""
    return os.path.lexists(folder / NOTE)


class Memory:
    """What this machine remembers of one results folder.

    Attributes:
        cluster_file: By which its head is reached; None if this machine does not know.
        files: Files that were pulled from the head -> their stamps there.
    """

    def __init__(self, folder: Path) -> None:
        """Read it.

        Raises:
            UserError: The file in the state folder is damaged.
        """
        self._folder = folder
        key = json.dumps([machine_id(), str(real(folder))]).encode()
        self._path = state_folder() / "folders" / f"{hashlib.sha256(key).hexdigest()[:32]}.json"
        self.cluster_file: Path | None = None
        self.files: dict[str, Stamp] = {}
        self._head: str | None = None
        self._mark = ""
        try:
            found = parse(self._path.read_bytes(), SHAPE)
        except FileNotFoundError:
            return
        except (OSError, BadAnswerError):
            raise UserError(
                f"{self._path}: cannot be read", "delete it, and launch again"
            ) from None
        if found["mark"] and found["mark"] == _mark_in(folder):
            self._mark, self._head, self.files = found["mark"], found["head"], found["files"]
            self.cluster_file = Path(found["cluster"]) if found["cluster"] else None

    def of_head(self, head: str) -> "dict[str, Stamp]":
        """The files that were pulled from this head; none if the last ones came from another."""
        if self._head != head:
            self._head, self.files = head, {}
        return self.files

    def keep(self) -> None:
        """Write it, and the mark into the results folder if that is new.

        Raises:
            UserError: One of the two places cannot be written to.
        """
        if not self._mark:
            self._mark = secrets.token_hex(16)
            write_in(self._folder, NOTE, json.dumps({"mark": self._mark}).encode())
        content = {
            "folder": str(real(self._folder)),
            "mark": self._mark,
            "cluster": str(self.cluster_file) if self.cluster_file else None,
            "head": self._head,
            "files": self.files,
        }
        with writing(self._path):
            for part in (state_folder(), self._path.parent):
                part.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(self._path, json.dumps(content).encode(), private=True)


def _mark_in(folder: Path) -> str | None:
    try:
        found: str = parse(read_in(folder, NOTE, LONGEST_NOTE) or b"", {"mark": str})["mark"]
    except BadAnswerError:
        return None
    return found
