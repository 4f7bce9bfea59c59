"""The settings of a cell by the names of a sweep file, by which contrasts find arms."""

from collections.abc import Mapping
from typing import Any

Spec = Mapping[str, Any]


def flat(spec: Spec, prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name; a part that a condition lacks says nothing.

    Within a part, None is a setting like any other, e.g. a `data.size` that takes all texts.
    """
    found: dict[str, Any] = {}
    for name, value in spec.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        elif value is not None or prefix:
            found[prefix + name] = value
    return found


def facts(spec: Spec) -> dict[str, Any]:
    """A cell's settings under the names of a sweep file."""
    values = flat(spec)
    found: dict[str, Any] = {}
    for name, value in values.items():
        plain = tuple(value) if isinstance(value, list) else value
        found[_NAMES.get(name, name)] = plain
    return found


_NAMES = {
    "hinge.rho_weight": "rho_weight",
    "hinge.margin": "margin",
    "hinge.pairs_per_step": "train.pairs_per_step",
    "model.name": "model",
    "max_length": "train.max_length",
}
