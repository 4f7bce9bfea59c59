"""The settings of a cell by the names of a sweep file, by which contrasts find arms."""

from collections.abc import Mapping
from typing import Any

from orchestrator.config.fields import AXES, FIELD_OF

Spec = Mapping[str, Any]
Facts = Mapping[str, Any]
RECORDS = "sft_records"
"""Texts of one epoch: what is left of the data where an arm trains on the hinge alone."""
_OTHER_NAMES = {
    "hinge.rho_weight": "rho_weight",
    "hinge.pairs_per_step": "train.pairs_per_step",
    "model.name": "model",
    "model.revision": "model_revision",
    "max_length": "train.max_length",
} | {f"hinge.{name}": field for name, field in FIELD_OF.items()}
"""Name in a spec -> name in a sweep file, where they are not the same."""


def facts(spec: Spec) -> dict[str, Any]:
    """The settings that can affect a cell's outcome, under the names of a sweep file.

    `sft_records` stands beside them for trained cells. What the cell has no use for is absent:
    the trained behaviours, where there is neither a loss of pairs nor a trap, a setting of another
    loss of pairs, and the template of records that are plain text. None is a value like any other:
    a `data.size` that takes all texts.
    """
    values = {
        _OTHER_NAMES.get(n, n): v
        for n, v in flat(spec).items()
        if v is not None or not n.startswith("hinge.")
    }
    found = {
        n: tuple(v) if isinstance(v, list) else v
        for n, v in values.items()
        if n in AXES or n == RECORDS
    }
    del found["condition"]
    found.pop("seed", None)
    if "rho_weight" not in found and not found.get("data.trap_fraction"):
        found.pop("probes.train", None)
    if found.get("data.template") is None:
        found.pop("data.template", None)
    return {"condition": str(spec["condition"]), **found}


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
