"""`live.json` in the results: what runs at this moment, written by the driver each second."""

import json
from pathlib import Path
from typing import Any

from orchestrator.config.foreign_json import BadAnswerError, parse
from orchestrator.results.files import write_whole
from orchestrator.results.folder import LIVE

FILE = LIVE
SHAPE = {
    "running": [
        {
            "label": str,
            "host": (None, str),
            "stage": str,
            "step": (None, int),
            "steps": (None, int),
            "loss": (None, float),
        }
    ],
    "at": (None, str),
    "left_s?": (None, float),
    "elapsed_s?": (None, float),
}
NOTHING: dict[str, Any] = {"running": [], "at": None, "left_s": None, "elapsed_s": None}


def write_live(folder: Path, content: dict[str, Any]) -> None:
    """Replace what is known of the moment.

    Raises:
        UserError: The folder cannot be written to.
    """
    write_whole(folder / FILE, json.dumps(content).encode())


def read_live(folder: Path) -> dict[str, Any]:
    """Read what the driver wrote last; `NOTHING` where there is no whole file."""
    try:
        found: dict[str, Any] = parse((folder / FILE).read_bytes(), SHAPE)
    except (OSError, BadAnswerError):
        return NOTHING
    return found
