"""`cluster.yaml`: where the cells run."""

from pathlib import Path

from orchestrator.document import parse_yaml, raise_problems
from orchestrator.errors import UserError
from orchestrator.fields import hint, show
from tasks.contract import NodeError
from tasks.jsonl import read_text

KEYS = ("name", "address")
LOCAL = "local"


def load_cluster(path: Path) -> str | None:
    """Address of the Ray to use; None for one that is started on this machine.

    Raises:
        UserError: The file is missing or malformed.
    """
    try:
        text = read_text(path)
    except NodeError as error:
        raise UserError(str(error)) from None
    document = parse_yaml(text, str(path), path.resolve().parent)
    problems = list(document.problems)
    for key, value in document.value.items():
        if key not in KEYS:
            problems.append(document.problem((key,), f"unknown key{hint(key, KEYS)}"))
        elif not isinstance(value, str):
            problems.append(document.problem((key,), f"must be a text, got {show(value)}"))
    address = document.value.get("address", LOCAL)
    if isinstance(address, str) and address != LOCAL and ":" not in address:
        problems.append(document.problem(("address",), f"must be host:port or {LOCAL}"))
    raise_problems(document, problems)
    return None if address == LOCAL else str(address)
