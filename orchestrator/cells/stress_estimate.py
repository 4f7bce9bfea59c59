"""How much memory and work a unit of generation needs, and how long the rest will take. Pure."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.cells import tokenised
from orchestrator.cells.memory import RUNTIME_BYTES
from orchestrator.cells.model_size import FLOAT, Sizes
from tasks.contract.cell import Status
from tasks.contract.generation import READ, ROWS, GenerationSpec
from tasks.data.lengths import Lengths, of_prompts
from tasks.sources.model_files import ModelFiles

LOGITS = 4
"""Copies of the next token's log-probabilities."""
KEYS = 2
"""Copies of keys and values, as rows come and go."""
SPARE = 64
"""Tokens added to the longest prompt: the multiples were fitted with them."""
HIDDEN, INNER, SIGHTS = 12, 1, 1
"""Multiples of the hidden and MLP sizes, for each token of one layer, and of its attention
weights, that reading prompts keeps at its peak: between 1.02 and 1.51 times what thirteen units
of four small models took on a CPU."""


def generation_memory(unit: GenerationSpec, files: ModelFiles) -> int:
    """Estimated peak of a worker process that runs the unit, bytes."""
    sizes = Sizes.of(files)
    longest = _lengths(unit, files).longest + SPARE
    rows = min(ROWS, len(unit.prompts.prompts) * unit.decoding.samples)
    tokens = longest + unit.decoding.max_tokens
    kept = rows * tokens * 2 * sizes.layers * sizes.key_width * KEYS
    read = HIDDEN * sizes.hidden + INNER * sizes.inner + SIGHTS * longest * sizes.heads
    logits = rows * sizes.vocabulary * LOGITS * FLOAT
    values = (kept + rows * min(longest, READ) * read) * sizes.value_bytes
    return RUNTIME_BYTES + files.weight_bytes + int(values) + logits


def generation_work(unit: GenerationSpec, files: ModelFiles) -> float:
    """Estimated effort, in a unit of its own: tokens, weighted by the size of the model."""
    answers = len(unit.prompts.prompts) * unit.decoding.samples
    tokens = answers * (_lengths(unit, files).mean + unit.decoding.max_tokens)
    return float(tokens * max(files.weight_bytes, 1))


def _lengths(unit: GenerationSpec, files: ModelFiles) -> Lengths:
    texts = [p.text for p in unit.prompts.prompts]
    return of_prompts(tokenised.prompts(files, texts, unit.decoding.thinking))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What finished units of a model teach.

    Attributes:
        tokens: Of an answer, mean.
        answer_s: Seconds of an answer, mean, all answers of a unit side by side.
    """

    tokens: float
    answer_s: float


def pace_of(rows: Iterable[Mapping[str, Any]], models: Container[str | None]) -> Pace | None:
    """The pace of models, named by digest; None before their first unit ended.

    Args:
        rows: Of `generations`.
        models: Digests.
    """
    tokens: list[int] = []
    seconds: dict[tuple[str, str], float] = {}
    for row in rows:
        if row["model_digest"] in models and row["status"] == Status.OK:
            tokens.append(row["n_tokens"])
            seconds[row["cell_id"], row["generation_id"]] = row["wall_s"]
    if not tokens:
        return None
    return Pace(tokens=sum(tokens) / len(tokens), answer_s=sum(seconds.values()) / len(tokens))
