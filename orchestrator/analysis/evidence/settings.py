"""Settings in which arms differ, beside condition, weight and margin."""

import json
from collections import defaultdict
from collections.abc import Iterable

from orchestrator.cells.facts import Spec, flat

OWN_COLUMNS = {"condition", "seed", "hinge.rho_weight", "hinge.margin", "grad_checkpoint"}
DERIVED = {"data.digest", "data.revision", "hinge.pool_digest", "probes.digest", "model.digest"}


def differing(specs: Iterable[Spec]) -> set[str]:
    """Names of settings that are not the same in all specs that have them."""
    seen: dict[str, set[str]] = defaultdict(set)
    for spec in specs:
        for name, value in flat(spec).items():
            seen[name].add(json.dumps(value))
    return {k for k, values in seen.items() if len(values) > 1} - OWN_COLUMNS - DERIVED


def settings(spec: Spec, names: set[str]) -> str:
    """The named settings of a spec as text."""
    values = flat(spec)
    if "data.size" in values:
        names = names - {"sft_records"}
    return " ".join(f"{n}={values[n]}" for n in sorted(names) if n in values)
