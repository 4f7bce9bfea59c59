"""Where a path leads, and what is there of it."""

import os
from pathlib import Path


def real(path: str | Path) -> Path:
    """An absolute path without links; a loop of links stays one, and whoever reads it says so.

    `Path.resolve` raises RuntimeError for it in some versions of Python.
    """
    return Path(os.path.realpath(path))


def nearest(path: Path) -> Path:
    """The path without links, or the lowest folder above it that exists."""
    place = real(path)
    return next(p for p in (place, *place.parents) if p.exists())
