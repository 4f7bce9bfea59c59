"""A saved adapter, or the untrained model, scores pairs: load, prepare, score; no training."""

from contextlib import nullcontext

from tasks.model.blas import prefer_fast_blas
from tasks.model.open_files import import_mlx_lm

prefer_fast_blas()  # before anything imports MLX
import_mlx_lm()

import mlx.core as mx  # noqa: E402 - see above

from tasks.contract.phases import Phases, Report  # noqa: E402
from tasks.contract.scoring import ScoringResult, ScoringSpec  # noqa: E402
from tasks.data.limits import demand_pairs  # noqa: E402
from tasks.data.tokens import encode_pairs  # noqa: E402
from tasks.model.machine import describe  # noqa: E402
from tasks.model.model import Models, demand_adapter, restored  # noqa: E402
from tasks.passes.choose import passes  # noqa: E402
from tasks.scoring.score import score  # noqa: E402


def run(spec: ScoringSpec, models: Models, report: Report, phases: Phases) -> ScoringResult:
    """Score one set of pairs, to the bits that the end of a training would have.

    Args:
        spec: What to do, with the adapter's bytes.
        models: Keeps the base model between the units of a process.
        report: Called at every phase.
        phases: Filled as the unit goes on; names the phase that an error came from.

    Raises:
        NodeError: The model or the adapter is missing or not the one that the spec names, or a
            text is too long for the model.
    """
    with phases.phase("load", report):
        adapter = demand_adapter(spec)
        base = models.get(spec.model)
    with phases.phase("prepare", report):
        pairs = encode_pairs(base.tokenizer, spec.pairs.pairs, spec.max_length)
        demand_pairs(pairs, base.limits)
    with (
        restored(base, spec.train, adapter) if adapter and spec.train else nullcontext(),
        phases.phase("score", report),
        passes(base.model, base.path) as packed,
    ):
        found = score(base.model, pairs, spec.pairs.split, base.vocabulary, packed)
    mx.clear_cache()
    return ScoringResult(
        spec=spec.bare(),
        scores=found.scores,
        probe_scores=found.probe_scores,
        machine=describe(),
    )
