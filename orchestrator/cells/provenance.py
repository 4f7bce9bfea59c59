"""Which code is running."""

import subprocess
from functools import cache

import orchestrator
from tasks.model import children
from tasks.sources.jsonl import real


@cache
def git_revision() -> str | None:
    """Commit of the checkout this runs from, `-dirty` with local changes; None if installed."""
    root = real(orchestrator.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=children.environment(),
            check=False,
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None
