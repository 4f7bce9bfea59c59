"""Questions that were asked of finished results: a log beside them, which only grows.

Whoever asks until something turns up has asked many questions; they are counted together.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from orchestrator.config.contrasts import Contrast
from orchestrator.errors import UserError, writing
from orchestrator.results.folder import ASKED
from tasks.contract.cell import NodeError
from tasks.sources.jsonl import parse_json, read_text


def asked_later(folder: Path) -> Iterator[Contrast]:
    """The questions of the log, in order, each once.

    Raises:
        UserError: The log is damaged.
    """
    path = folder / ASKED
    seen: set[str] = set()
    if not path.is_file():
        return
    try:
        for line in read_text(path).splitlines():
            contrast = Contrast.from_dict(parse_json(line)["contrast"])
            if contrast.digest not in seen:
                seen.add(contrast.digest)
                yield contrast
    except (NodeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: is damaged ({error})",
            "it lists the questions asked of these results; delete it only if none was asked",
        ) from None


def log_questions(folder: Path, contrasts: Iterable[Contrast], now: datetime) -> None:
    """Add questions to the log that are not in it.

    Raises:
        UserError: The log is damaged, or cannot be written.
    """
    known = {c.digest for c in asked_later(folder)}
    new = [c for c in contrasts if c.digest not in known]
    at = now.isoformat(timespec="seconds")
    lines = [json.dumps({"asked_at": at, "contrast": c.plain()}) + "\n" for c in new]
    path = folder / ASKED
    if lines:
        with writing(path), path.open("a", encoding="utf-8") as log:
            log.write("".join(lines))
