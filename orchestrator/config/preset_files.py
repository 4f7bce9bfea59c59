"""The built-in sweeps as texts; nothing here loads pydantic, so that they are listed at once."""

from importlib import resources
from pathlib import Path

from orchestrator.config.yaml_lines import parse_yaml
from orchestrator.errors import UserError, hint
from tasks.sources.foreign import is_foreign


def presets() -> list[str]:
    """Names of the built-in sweeps."""
    folder = resources.files(__package__) / "presets"
    return sorted(
        p.name.removesuffix(".yaml")
        for p in folder.iterdir()
        if p.name.endswith(".yaml") and not is_foreign(p.name)
    )


def preset_text(name: str) -> str:
    """The commented file of a built-in sweep.

    Raises:
        UserError: There is none of that name.
    """
    if name not in presets():
        known = ", ".join(presets())
        raise UserError(f"no preset {name!r}{hint(name, tuple(presets()))} (presets: {known})")
    return (resources.files(__package__) / "presets" / f"{name}.yaml").read_text()


def descriptions() -> dict[str, str]:
    """Name of every built-in sweep, and its one line."""
    return {n: parse_yaml(preset_text(n), n, Path()).value["description"] for n in presets()}
