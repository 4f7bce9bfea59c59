"""The names of judges, looked at before one is made: no judge is loaded here."""

import os
import re

from tasks.contract.cell import NodeError
from tasks.sources.hub import NotHereError
from tasks.sources.model_files import locate

RULES, MODEL, ENDPOINT = "rules", "model", "endpoint"
FORMS = f"{RULES}, {MODEL}:PATH, {MODEL}:OWNER/NAME[@REVISION] or {ENDPOINT}:URL[#MODEL]"


def parts_of(text: str) -> tuple[str, str]:
    """Kind and what follows the colon, of a name in one of `FORMS`.

    Raises:
        NodeError: It is in none of them.
    """
    kind, _, rest = text.partition(":")
    if text == RULES or (kind in (MODEL, ENDPOINT) and rest):
        return kind, rest
    raise NodeError(f"no judge is called {text!r}; there are {FORMS}")


def model_of(text: str) -> tuple[str, str | None]:
    """Name and revision of a model; the `@` of a directory that exists is part of its path."""
    found = re.fullmatch(r"(?P<name>[\w.-]+/[\w.-]+)@(?P<revision>[\w./-]+)", text)
    if found is None or os.path.isdir(text):  # noqa: PTH112 - never raises
        return text, None
    return found["name"], found["revision"]


def demand_judge(text: str) -> None:
    """Check a judge as far as this machine can tell; nothing is fetched and no server is asked.

    Raises:
        NodeError: No judge has this name, its model is missing, or its URL is malformed.
    """
    kind, rest = parts_of(text)
    if kind == MODEL:
        try:
            locate(*model_of(rest), download=False)
        except NotHereError:
            return
    if kind == ENDPOINT:
        from tasks.judges.endpoint import EndpointJudge  # loads the parts that talk to a server

        EndpointJudge(rest.partition("#")[0])
