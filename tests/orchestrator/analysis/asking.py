"""Builds results with pairing keys, and tests one contrast on them."""

from dataclasses import replace

from orchestrator.analysis.analyze import Asked, analyze
from orchestrator.analysis.inference.record import Inference
from orchestrator.config.contrasts import Contrast, Questions
from orchestrator.results.store import Store
from tasks.contract.cell import CellResult
from tests.builders import a_result, a_spec

TRAIN = ("factual", "train")


def scored(condition: str, rho: float | None, *, key: bool = False, **spec: object) -> CellResult:
    """A cell with one score; with `key`, its pairing key follows from the seed."""
    result = a_result(a_spec(condition, **spec), {TRAIN: rho})
    if not key:
        return result
    named = f"seed {result.spec.seed}"
    return replace(result, measurements=replace(result.measurements, pairing_key=named))


def keyed(condition: str, rho: float | None, seed: int, **spec: object) -> CellResult:
    """As `scored` with `key`."""
    return scored(condition, rho, seed=seed, key=True, **spec)


def guided(weight: float = 0.2) -> dict[str, object]:
    """Fields that name the rho-guided arm of the builders."""
    return {"condition": "rho-guided", "rho_weight": weight}


def plain() -> dict[str, object]:
    """Fields that name the sft-only arm."""
    return {"condition": "sft-only"}


def ask(store: Store, **contrast: object) -> tuple[Inference, ...]:
    """Rows of one contrast on a store, asked when the results exist, so exploratory."""
    one = Contrast.from_dict({"id": "q", "claim": "c", "split": "train", **contrast})
    found = analyze([store], Asked(questions=Questions(contrasts=(one,))))
    return tuple(r for r in found.inference if r.contrast_id == "q")
