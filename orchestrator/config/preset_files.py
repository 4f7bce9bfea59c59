"""The built-in sweeps as texts; nothing here loads pydantic, so that they are listed at once."""

from pathlib import Path

from orchestrator.config.yaml_lines import parse_yaml
from orchestrator.errors import UserError, hint
from tasks.sources.foreign import is_foreign


def presets() -> list[str]:
    """Names of the built-in sweeps."""
    return sorted(_files())


def _files() -> dict[str, Path]:
    """Name -> file of every built-in sweep, from all folders of presets."""
    found = (Path(__file__).parent / "presets").rglob("*.yaml")
    return {path.stem: path for path in found if not is_foreign(path.name)}


def preset_text(name: str) -> str:
    """The commented file of a built-in sweep.

    Raises:
        UserError: There is none of that name.
    """
    if (path := _files().get(name)) is None:
        known = ", ".join(presets())
        raise UserError(f"no preset {name!r}{hint(name, tuple(presets()))} (presets: {known})")
    return path.read_text(encoding="utf-8")


def descriptions() -> dict[str, str]:
    """Name of every built-in sweep, and its one line."""
    return {n: parse_yaml(preset_text(n), n, Path()).value["description"] for n in presets()}
