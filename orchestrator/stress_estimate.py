"""How much memory and work a unit of generation needs, and how long the rest will take. Pure."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.estimate import RUNTIME_BYTES
from orchestrator.sizes import FLOAT, Sizes
from tasks.contract import Status
from tasks.generation import READ, ROWS, GenerationSpec
from tasks.model_files import ModelFiles
from tasks.prompts import PromptSet

LETTERS = 3
"""Of a token, at least, in the languages of most prompts."""
TEMPLATE = 64
"""Tokens that a chat template adds."""
LOGITS = 4
"""Copies of the next token's log-probabilities."""
HIDDEN, INNER = 12, 4
"""Multiples that reading a prompt keeps at its peak, for each token of one layer."""


def prompt_tokens(prompts: PromptSet) -> list[int]:
    """Tokens of each prompt, roughly and rather too many."""
    return [len(p.text) // LETTERS + TEMPLATE for p in prompts.prompts]


def generation_memory(unit: GenerationSpec, files: ModelFiles) -> int:
    """Estimated peak of a worker process that runs the unit, bytes."""
    sizes = Sizes.of(files)
    longest = max(prompt_tokens(unit.prompts))
    rows = min(ROWS, len(unit.prompts.prompts) * unit.decoding.samples)
    kept = rows * (longest + unit.decoding.max_tokens) * 2 * sizes.layers * sizes.key_width
    read = rows * min(longest, READ) * (HIDDEN * sizes.hidden + INNER * sizes.inner)
    logits = rows * sizes.vocabulary * LOGITS * FLOAT
    return RUNTIME_BYTES + files.weight_bytes + (kept + read) * sizes.value_bytes + logits


def generation_work(unit: GenerationSpec, weight_bytes: int) -> float:
    """Estimated effort, in a unit of its own: tokens, weighted by the size of the model."""
    samples = unit.decoding.samples
    answers = len(unit.prompts.prompts) * samples * unit.decoding.max_tokens
    return float((samples * sum(prompt_tokens(unit.prompts)) + answers) * max(weight_bytes, 1))


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
