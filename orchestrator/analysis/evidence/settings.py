"""Settings in which arms differ, beside condition, weight and margin."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

Spec = Mapping[str, Any]
OWN_COLUMNS = {"condition", "seed", "hinge.rho_weight", "hinge.margin", "grad_checkpoint"}
DERIVED = {"data.digest", "data.revision", "hinge.pool_digest", "probes.digest", "model.digest"}


def differing(specs: Iterable[Spec]) -> set[str]:
    """Names of settings that are not the same in all specs that have them."""
    seen: dict[str, set[str]] = defaultdict(set)
    for spec in specs:
        for name, value in flat(spec).items():
            seen[name].add(json.dumps(value))
    return {k for k, values in seen.items() if len(values) > 1} - OWN_COLUMNS - DERIVED


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


def settings(spec: Spec, names: set[str]) -> str:
    """The named settings of a spec as text."""
    values = flat(spec)
    if "data.size" in values:
        names = names - {"sft_records"}
    return " ".join(f"{n}={values[n]}" for n in sorted(names) if n in values)


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
