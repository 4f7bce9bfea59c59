"""Settings in which arms differ."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from orchestrator.cells.facts import RECORDS, Facts
from orchestrator.config.fields import EPOCH, STEP

OF_THE_HINGE = frozenset({"condition", "rho_weight", "margin"})
"""They name an arm, and any two arms may differ in them."""
IMPLIED: Mapping[str, frozenset[str]] = {
    EPOCH: frozenset({STEP}),
    "model": frozenset({"model_revision"}),
    "probes.train": frozenset({"train.pairs_per_step"}),
    **dict.fromkeys(
        ("data.sft", "data.size", "data.trap_fraction", "data.refusal_fraction"),
        frozenset({RECORDS}),
    ),
}
"""Setting -> others that may change with it although nobody varied them."""
DRAWS = (
    "model",
    "data.",
    RECORDS,
    "train.lora_rank",
    "train.lora_keys",
    "train.lora_dropout",
    "train.batch_size",
    "train.grad_accumulation",
    "train.epochs",
)
"""How names of settings begin on which a seed's initial adapter, batches and dropout depend."""


def differing(arms: Iterable[Facts], but: Collection[str] = OF_THE_HINGE) -> set[str]:
    """Names of settings that are not the same in all arms that have them, some aside.

    A setting that follows from another one of them is left out, e.g. the revision of a model.
    """
    known = [*arms]
    found = {name for name, values in _values(known).items() if len(values) > 1}.difference(but)
    for parent in IMPLIED.keys() & found:
        for child in IMPLIED[parent] & found:
            having = [a for a in known if child in a]
            pairs = {json.dumps([a[parent], a[child]]) for a in having if parent in a}
            parents = {json.dumps(a[parent]) for a in having if parent in a}
            if all(parent in a for a in having) and len(pairs) == len(parents):
                found.discard(child)
    return found


def _values(arms: Iterable[Facts]) -> dict[str, set[str]]:
    """Name -> its values in all arms that have it, as JSON."""
    seen: dict[str, set[str]] = defaultdict(set)
    for arm in arms:
        for name, value in arm.items():
            seen[name].add(json.dumps(value))
    return seen


def disagreements(a: Facts, b: Facts, varied: Collection[str] = ()) -> tuple[str, ...]:
    """Settings that two arms both have with other values, by name.

    The condition is not asked about, nor what a contrast varies and what follows from that.
    """
    free = {"condition"}.union(varied, *(IMPLIED.get(n, ()) for n in varied))
    return tuple(sorted(n for n in (a.keys() & b.keys()) - free if a[n] != b[n]))


def may_pair(a: Facts, b: Facts) -> bool:
    """Whether equal seeds give two arms the same start, batches and dropout, as far as planned."""
    return not any(name.startswith(DRAWS) for name in disagreements(a, b))


def settings(arm: Facts, names: Collection[str]) -> str:
    """The named settings of an arm as text."""
    if "data.size" in arm:
        names = {*names} - {RECORDS}
    return " ".join(f"{n}={value_text(arm[n])}" for n in sorted(names) if n in arm)


def value_text(value: Any) -> str:
    """e.g. `0.2`, `bias,toxicity`."""
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
