"""Settings of a test of generated answers that is asked for on the command line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.config.checked import read
from orchestrator.config.fields import StressSettings
from orchestrator.config.yaml_lines import Document
from orchestrator.errors import UserError, as_typed
from tasks.data.prompts import BUILT_IN
from tasks.judges.names import RULES

SECTION = "stress"


def settings_of(
    folder: Path, written: Mapping[str, Any] | None, given: Mapping[str, Any]
) -> StressSettings:
    """Settings of a test that is asked for by hand.

    Args:
        folder: The results, which may be anyone's.
        written: The block of the sweep that made them; None without one.
        given: Field -> value, checked here; None leaves it as in the sweep, or as by default.

    Raises:
        UserError: Everything that is wrong with the given values; or the block, and not the user,
            names a judge that is a model or a server, or prompts that are not built in.
    """
    asked = {k: v for k, v in given.items() if v is not None}
    block = {k: v for k, v in (written or {}).items() if k in StressSettings.model_fields}
    found, problems, _ = read(StressSettings, Document("", Path(), block | asked))
    if problems or found is None:
        options = {name: f"--{name.replace('_', '-')}" for name in asked}
        where = {p: options.get(p.path, f"sweep.yaml: {SECTION}.{p.path}") for p in problems}
        raise UserError("\n".join(f"{where[p]}: {p.message}" for p in problems))
    words = [] if "judge" in asked or found.judge == RULES else ["--judge", found.judge]
    if "prompts" not in asked and not BUILT_IN.keys() >= set(found.prompts):
        words += (w for name in found.prompts for w in ("--prompts", name))
    if words:
        raise UserError(
            f"{folder}: its sweep.yaml names {', '.join(words[1::2])}; a folder does not decide "
            "where to connect or what is read elsewhere",
            f"if it is yours, say so: {as_typed('stress', folder, *words)}",
        )
    return found


def as_options(settings: StressSettings) -> list[str]:
    """Words of the command line that say the same, the prompt sets aside."""
    facts = {k: v for k, v in settings if k != "prompts"}
    return [w for name, v in facts.items() for w in (f"--{name.replace('_', '-')}", str(v))]
