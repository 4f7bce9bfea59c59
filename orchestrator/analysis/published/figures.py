"""The figures of the published notes as evidence: means and sds as printed, no seeds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.stats.records import Summary
from tasks.contract.cell import Condition

SPLIT = "train"
"""The notes scored the pairs that they trained on."""
BASELINE_KEY = "published"
Key = tuple[Condition, float | None, float | None, str]
"""(condition, weight, margin, behaviour)."""


@cache
def figures() -> Mapping[str, Any]:
    """The printed tables, by name."""
    text = files(__package__).joinpath("published.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)["tables"]
    return found


def printed_evidence() -> tuple[ArmEvidence, ...]:
    """Every arm and behaviour of which a mean is printed."""
    baselines = _baselines()
    printed = _printed()
    found = [_baseline(behavior, rho) for behavior, rho in baselines.items()]
    ranges = _ranges()
    for key, delta in printed.items():
        found.append(_trained(key, delta, baselines.get(key[3]), ranges.get(key)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Score:
    """A mean printed as an absolute score."""

    n: int
    rho: float


def arm_id(condition: Condition, weight: float | None, margin: float | None) -> str:
    """Of a printed arm."""
    return f"published {condition} {weight} {margin}"


def arm_of(condition: str, weight: float, margin: float) -> tuple[Condition, Any, Any]:
    """Weight and margin only where the condition has them; weight 0 is sft-only."""
    kind = Condition(condition).at_weight(weight)
    return (kind, weight, margin) if kind.has_hinge else (kind, None, None)


def _baselines() -> dict[str, float]:
    table = figures()["T4_ablation_means"]
    row = next(r for r in table["rows"] if r["condition"] == Condition.BASELINE)
    return {b: row[b] for b in table["columns"]}


def _printed() -> dict[Key, Summary | _Score]:
    """A delta with its sd where one table has it, else without, else a score."""
    return {**_scores(), **_margins(), **_doses(), **_refusals()}


def _scores() -> dict[Key, Summary | _Score]:
    table = figures()["T4_ablation_means"]
    return {
        (*arm_of(row["condition"], table["lambda_rho"], table["gamma"]), b): _Score(
            table["n_seeds_printed"], row[b]
        )
        for row in table["rows"]
        if row["condition"] != Condition.BASELINE
        for b in table["columns"]
    }


def _margins() -> dict[Key, Summary | _Score]:
    table = figures()["T2_margin"]
    return {
        (Condition.RHO_GUIDED, table["lambda_rho"], row["gamma"], b): Summary(
            n=table["n_seeds_printed"], mean=row[b], sd=row["sd"]
        )
        for row in table["rows"]
        for b in ("bias", "factual", "toxicity")
    }


def _doses() -> dict[Key, Summary | _Score]:
    table, margin = figures()["T6_dose_response"], figures()["T9_config"]["gamma"]
    return {
        (*arm_of("rho-guided", row["lambda_rho"], margin), b): Summary(
            n=table["n_seeds_printed"], **row[b]
        )
        for row in table["rows"]
        for b in table["columns"]
    }


def _refusals() -> dict[Key, Summary | _Score]:
    table, main = figures()["T1_refusal_buffer"], figures()["T4_ablation_means"]
    return {
        (*arm_of(row["condition"], main["lambda_rho"], main["gamma"]), table["behavior"]): Summary(
            n=table["n_seeds_printed"], mean=row["delta_mean"], sd=row["delta_sd"]
        )
        for row in table["rows"]
    }


def _ranges() -> dict[Key, tuple[float, float]]:
    """Smallest and largest delta, where printed."""
    margin = figures()["T9_config"]["gamma"]
    return {
        (*arm_of(r["condition"], r.get("lambda_rho", 0.0), margin), r["behavior"]): (
            r["min"],
            r["max"],
        )
        for r in figures()["T3_variance"]["ranges"]
    }


def _baseline(behavior: str, rho: float) -> ArmEvidence:
    return ArmEvidence(
        arm_id=arm_id(Condition.BASELINE, None, None),
        condition=Condition.BASELINE,
        rho_weight=None,
        margin=None,
        behavior=behavior,
        split=SPLIT,
        score=Summary(n=1, mean=rho, sd=None),
        delta=None,
        baseline=rho,
        baseline_key=BASELINE_KEY,
    )


def _trained(
    key: Key,
    printed: Summary | _Score,
    baseline: float | None,
    span: tuple[float, float] | None,
) -> ArmEvidence:
    """Of a delta and a baseline follows the score, and the other way round; sds are the same."""
    condition, weight, margin, behavior = key
    delta: Summary | None
    score: Summary | None
    if isinstance(printed, _Score):
        score = Summary(n=printed.n, mean=printed.rho, sd=None)
        delta = None if baseline is None else _moved(score, -baseline)
    else:
        delta = printed
        score = None if baseline is None else _moved(delta, baseline)
    return ArmEvidence(
        arm_id=arm_id(condition, weight, margin),
        condition=condition,
        rho_weight=weight,
        margin=margin,
        behavior=behavior,
        split=SPLIT,
        score=score,
        delta=delta,
        baseline=baseline,
        baseline_key=BASELINE_KEY,
        printed_range=span,
    )


def _moved(sample: Summary, by: float) -> Summary:
    return Summary(n=sample.n, mean=sample.mean + by, sd=sample.sd)
