"""`live.json` in the results: what runs at this moment, written by the driver each second."""

import json
from pathlib import Path
from typing import Any

from orchestrator.results.files import write_whole
from tasks.sources.jsonl import parse_json

FILE = "live.json"
NOTHING: dict[str, Any] = {"running": [], "at": None, "left_s": None}


def write_live(folder: Path, content: dict[str, Any]) -> None:
    """Replace what is known of the moment.

    Raises:
        UserError: The folder cannot be written to.
    """
    write_whole(folder / FILE, json.dumps(content).encode())


def read_live(folder: Path) -> dict[str, Any]:
    """Read what the driver wrote last; `NOTHING` where there is no whole file."""
    try:
        found = parse_json((folder / FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        return NOTHING
    return found if isinstance(found, dict) and found.keys() >= NOTHING.keys() else NOTHING
