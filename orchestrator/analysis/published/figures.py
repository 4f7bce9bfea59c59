"""The figures of the published notes as evidence: means and sds as printed, no seeds."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.stats.records import Summary
from tasks.contract.cell import Condition

SPLIT = "train"
"""The notes scored the pairs that they trained on."""
BASELINE_KEY = "published"
MARGIN_BEHAVIORS = ("bias", "factual", "toxicity")
"""Behaviours of which the notes print the means at several margins."""
Key = tuple[Condition, float | None, float | None, str]
"""(condition, weight, margin, behaviour)."""


@cache
def figures() -> Mapping[str, Any]:
    """The printed tables, by name."""
    text = files(__package__).joinpath("published.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)["tables"]
    return found


def printed_evidence() -> tuple[ArmEvidence, ...]:
    """Evidence of every arm and behaviour of which a mean is printed.

    A printed delta plus the baseline gives the score, and a printed score minus the baseline gives
    the delta. Both have the same sd, because the baseline is a constant. Where a table prints the
    delta and another the score, the delta counts, because it may have an sd.
    """
    tables = figures()
    main, gamma = tables["T4_ablation_means"], tables["T9_config"]["gamma"]
    scores: dict[Key, Summary] = {}
    for row in main["rows"]:
        arm = arm_of(row["condition"], main["lambda_rho"], main["gamma"])
        n = 1 if arm[0] is Condition.BASELINE else main["n_seeds_printed"]
        scores |= {(*arm, b): Summary(n=n, mean=row[b], sd=None) for b in main["columns"]}
    baselines = {key[3]: s.mean for key, s in scores.items() if key[0] is Condition.BASELINE}
    ranges = {
        (*arm_of(r["condition"], r.get("lambda_rho", 0.0), gamma), r["behavior"]): (
            r["min"],
            r["max"],
        )
        for r in tables["T3_variance"]["ranges"]
    }
    deltas = _deltas()
    found = []
    for key in scores | deltas:
        condition, weight, margin, behavior = key
        score, delta, baseline = scores.get(key), deltas.get(key), baselines.get(behavior)
        if delta is not None:
            score = None if baseline is None else replace(delta, mean=delta.mean + baseline)
        elif score is not None and baseline is not None and condition is not Condition.BASELINE:
            delta = replace(score, mean=score.mean - baseline)
        one = ArmEvidence(
            arm_id=f"published {condition} {weight} {margin}",
            condition=condition,
            rho_weight=weight,
            margin=margin,
            behavior=behavior,
            split=SPLIT,
            score=score,
            delta=delta,
            baseline=baseline,
            baseline_key=BASELINE_KEY,
            printed_range=ranges.get(key),
        )
        found.append(one)
    return tuple(found)


def arm_of(condition: str, weight: float, margin: float) -> tuple[Condition, Any, Any]:
    """Weight and margin only where the condition has them; weight 0 is sft-only."""
    kind = Condition(condition).at_weight(weight)
    return (kind, weight, margin) if kind.has_pairs else (kind, None, None)


def _deltas() -> dict[Key, Summary]:
    """Deltas as printed, in nats per token.

    The table of margins prints no sd. It is read first, so that a delta that the table of doses
    prints with its sd replaces it.
    """
    tables = figures()
    found: dict[Key, Summary] = {}
    margins, doses, refusals = (
        tables[name] for name in ("T2_margin", "T6_dose_response", "T1_refusal_buffer")
    )
    for row in margins["rows"]:
        arm = Condition.RHO_GUIDED, margins["lambda_rho"], row["gamma"]
        for b in MARGIN_BEHAVIORS:
            found[*arm, b] = Summary(n=margins["n_seeds_printed"], mean=row[b], sd=row["sd"])
    for row in doses["rows"]:
        arm = arm_of("rho-guided", row["lambda_rho"], tables["T9_config"]["gamma"])
        for b in doses["columns"]:
            found[*arm, b] = Summary(n=doses["n_seeds_printed"], **row[b])
    main = tables["T4_ablation_means"]
    for row in refusals["rows"]:
        arm = arm_of(row["condition"], main["lambda_rho"], main["gamma"])
        found[*arm, refusals["behavior"]] = Summary(
            n=refusals["n_seeds_printed"], mean=row["delta_mean"], sd=row["delta_sd"]
        )
    return found
