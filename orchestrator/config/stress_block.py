"""Settings of a test of generated answers that is asked for on the command line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.config.checked import read
from orchestrator.config.fields import StressSettings
from orchestrator.config.yaml_lines import Document
from orchestrator.errors import UserError

SECTION = "stress"


def settings_of(written: Mapping[str, Any] | None, given: Mapping[str, Any]) -> StressSettings:
    """Settings of a test that is asked for by hand.

    Args:
        written: The block of the sweep that made the results; None without one.
        given: Field -> value, checked here; None leaves it as in the sweep, or as by default.

    Raises:
        UserError: Everything that is wrong with the given values, and with the block.
    """
    asked = {k: v for k, v in given.items() if v is not None}
    block = {k: v for k, v in (written or {}).items() if k in StressSettings.model_fields}
    found, problems, _ = read(StressSettings, Document("", Path(), block | asked))
    if problems or found is None:
        options = {name: f"--{name.replace('_', '-')}" for name in asked}
        where = {p: options.get(p.path, f"sweep.yaml: {SECTION}.{p.path}") for p in problems}
        raise UserError("\n".join(f"{where[p]}: {p.message}" for p in problems))
    return found


def as_options(settings: StressSettings) -> list[str]:
    """Words of the command line that say the same, the prompt sets aside."""
    facts = {k: v for k, v in settings if k != "prompts"}
    return [w for name, v in facts.items() for w in (f"--{name.replace('_', '-')}", str(v))]
