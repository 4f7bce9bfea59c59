"""Torn and flipped files of a results folder."""

from pathlib import Path
from random import Random

GROUPS = {
    "manifest": ("sweep.yaml",),
    "cells": ("cells/*.arrow",),
    "scores": ("scores/*.arrow", "probe_scores/*.arrow", "steps/*.arrow"),
    "attempts": ("attempts/*.arrow",),
    "adapters": ("adapters/*/*",),
    "checkpoints": ("checkpoints/*",),
}


def tear(file: Path, rng: Random) -> str:
    """Cut a file off at a random place; returns a description."""
    before = file.stat().st_size
    size = rng.randrange(before)
    with file.open("r+b") as opened:
        opened.truncate(size)
    return f"cut from {before} to {size} bytes"


def flip(file: Path, rng: Random) -> str:
    """Flip one random bit of a file; returns a description."""
    content = bytearray(file.read_bytes())
    place, bit = rng.randrange(len(content)), rng.randrange(8)
    content[place] ^= 1 << bit
    # in place: the folder of another sweep may hold a hard link to the same file
    with file.open("r+b") as opened:
        opened.write(content)
    return f"bit {bit} of byte {place} of {len(content)} flipped"


def pick(folder: Path, rng: Random) -> Path:
    """A random file to damage; every group of files that is not empty is equally likely."""
    found = [
        [p for pattern in patterns for p in sorted(folder.glob(pattern)) if p.stat().st_size]
        for patterns in GROUPS.values()
    ]
    return rng.choice(rng.choice([files for files in found if files]))


def owner(folder: Path, file: Path) -> str | None:
    """Id of the cell that a file belongs to; None for a file of the whole sweep."""
    parts = file.relative_to(folder).parts
    return parts[1].partition(".")[0] if len(parts) > 1 else None
