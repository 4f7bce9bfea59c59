"""Models and files that were copied to a host of a cluster, found by their content.

    <folder>/<digest>/<file or folder>     as it was called where it came from
    <folder>/names/<digest of a name>      which content a name means

`RHO_SWEEP_CONTENT` names the folder; where it is not set, names mean what lies on this machine.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from tasks.sources.foreign import is_foreign

VARIABLE = "RHO_SWEEP_CONTENT"
NAMES = "names"
MODEL, DATASET, FILE = "model", "dataset", "file"


def digest_of_files(files: Mapping[str, str]) -> str:
    """sha256 over relative paths and their files' sha256, whatever the order."""
    lines = [f"{path} {digest}" for path, digest in sorted(files.items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def named(kind: str, name: str, revision: str | None = None) -> Path | None:
    """The copy that a name means; None if there is none.

    Args:
        kind: `model`, `dataset` or `file`.
        name: As a sweep has it: a hub id or an absolute path of the machine it came from.
        revision: Of a hub id; None for the one that was copied last.
    """
    folder = _folder()
    if folder is None:
        return None
    note = folder / NAMES / note_name(kind, name, revision)
    return with_digest(note.read_text()) if note.is_file() else None


def with_digest(digest: str | None) -> Path | None:
    """The copy with this content; None if there is none."""
    folder = _folder()
    if folder is None or digest is None:
        return None
    place = folder / digest
    if not place.is_dir():
        return None
    return next((p for p in place.iterdir() if not is_foreign(p.name)), None)


def note_name(kind: str, name: str, revision: str | None) -> str:
    """File name of the note that says what a name means."""
    return hashlib.sha256("\0".join((kind, name, revision or "")).encode()).hexdigest()


def _folder() -> Path | None:
    place = os.environ.get(VARIABLE)
    return Path(place) if place else None
