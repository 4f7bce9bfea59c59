"""What a point of a grid comes down to. Shared by cells and by contrasts between them."""

from typing import Any

from orchestrator.config.fields import uses
from tasks.contract.cell import Condition

Point = dict[str, Any]


def condition_of(point: Point) -> Condition:
    """Weight 0 is sft-only, whatever the pairs were to be."""
    return Condition(point["condition"]).at_weight(point["rho_weight"])


def facts_of(point: Point) -> Point:
    """The fields that its condition uses, with their values."""
    condition = condition_of(point)
    used = {name: value for name, value in point.items() if uses(name, condition)}
    return used | {"condition": str(condition)}
