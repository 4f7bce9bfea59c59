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
    """Cut a file somewhere; returns what was done."""
    before = file.stat().st_size
    size = rng.randrange(before)
    with file.open("r+b") as opened:
        opened.truncate(size)
    return f"cut from {before} to {size} bytes"


def flip(file: Path, rng: Random) -> str:
    """Flip one bit; returns what was done."""
    content = bytearray(file.read_bytes())
    place, bit = rng.randrange(len(content)), rng.randrange(8)
    content[place] ^= 1 << bit
    # into the file as it is: a sibling may have a second name for it
    with file.open("r+b") as opened:
        opened.write(content)
    return f"bit {bit} of byte {place} of {len(content)} flipped"


def pick(folder: Path, rng: Random) -> Path:
    """A file that is worth damaging; each group that has one is as likely as the others."""
    found = [
        [p for pattern in patterns for p in sorted(folder.glob(pattern)) if p.stat().st_size]
        for patterns in GROUPS.values()
    ]
    return rng.choice(rng.choice([files for files in found if files]))


def owner(folder: Path, file: Path) -> str | None:
    """The cell that a file belongs to; None for the sweep's own."""
    parts = file.relative_to(folder).parts
    return parts[1].partition(".")[0] if len(parts) > 1 else None
