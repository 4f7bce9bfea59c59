"""Which code is running."""

from functools import cache

import orchestrator
from tasks.model import children
from tasks.sources.paths import real


@cache
def git_revision() -> str | None:
    """Commit of the checkout this runs from, `-dirty` with local changes; None if installed."""
    root = real(orchestrator.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return children.ran(command).stdout.strip() or None
    except FileNotFoundError:
        return None
