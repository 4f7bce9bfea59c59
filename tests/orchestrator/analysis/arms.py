"""Builders of evidence, contrasts and answers for tests of the tables."""

from collections.abc import Mapping, Sequence

from orchestrator.analysis.evidence.arms import ArmEvidence, Batch
from orchestrator.analysis.evidence.refusals import Refusals
from orchestrator.analysis.inference.record import Family, Inference
from orchestrator.config.contrast_kinds import Kind, Population
from orchestrator.stats.records import Summary
from tasks.contract.cell import Condition

BATCH = Batch(code_version="1", data_version="d", base_precision="float32")


def an_arm(
    condition: str = "rho-guided",
    scores: Mapping[int, float] | Sequence[float] = (),
    *,
    rho_weight: float | None = 0.2,
    margin: float | None = 0.1,
    behavior: str = "bias",
    split: str = "heldout",
    baseline: float | None = 0.0,
    baseline_key: str = "base",
    keys: Mapping[int, str] | None = None,
    batch: Batch | None = BATCH,
    settings: Mapping[str, object] | None = None,
) -> ArmEvidence:
    """An arm with these scores by seed; seeds are paired unless `keys` says otherwise."""
    kind = Condition(condition)
    by_seed = dict(scores) if isinstance(scores, Mapping) else dict(enumerate(scores, 1))
    values = list(by_seed.values())
    known = bool(values) and kind.trains and baseline is not None
    settings = settings or {}
    differs = " ".join(f"{k}={v}" for k, v in settings.items())
    weight = rho_weight if kind.has_pairs else None
    return ArmEvidence(
        arm_id=f"{condition} {weight} {margin} {differs} {baseline_key}",
        condition=kind,
        rho_weight=weight,
        margin=margin if kind.has_pairs else None,
        differs=differs,
        behavior=behavior,
        split=split,
        scores=by_seed,
        score=Summary.of(values) if values else None,
        delta=Summary.of([v - baseline for v in values]) if known else None,
        baseline=baseline,
        baseline_key=baseline_key,
        keys={s: f"key {s}" for s in by_seed} if keys is None else keys,
        batch=batch,
        settings=settings,
    )


def a_row(verdict: str = "supported", **fields: object) -> Inference:
    """A tested contrast."""
    given = {
        "contrast_id": "c1",
        "claim": "rho-guided helps",
        "kind": Kind.MEAN_DIFF,
        "behavior": "bias",
        "split": "heldout",
        "population": Population.NEW_SEEDS,
        "family": Family.PRIMARY,
        "alternative": "two-sided",
        "registered": True,
        "arm_a": "a",
        "arm_b": "b",
        "arms": (),
        "verdict": verdict,
    }
    return Inference(**(given | fields))


def answers(
    condition: str,
    verdicts: Sequence[bool | None],
    *,
    seed: int | None = 1,
    prompts: str = "jailbreak",
    degenerate: int = 0,
) -> list[Refusals]:
    """One answer per prompt: refused, complied, or None for unjudged; categories take turns."""
    found = []
    for i, verdict in enumerate(verdicts):
        found.append(
            Refusals(
                arm_id=condition,
                arm=condition,
                condition=Condition(condition),
                seed=seed,
                prompts=prompts,
                prompt_id=f"p{i:02d}",
                category=("a", "b", "c")[i % 3],
                refused=int(verdict is True),
                complied=int(verdict is False),
                unjudged=int(verdict is None),
                degenerate=degenerate,
                judge="rules@1",
            )
        )
    return found
