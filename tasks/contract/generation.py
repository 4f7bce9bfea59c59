"""The records of generated answers that cross the border. Standard library only.

A `GenerationSpec` goes out, a `GenerationResult` or a `CellFailure` comes back.
"""

import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from tasks.contract.cell import Machine, SavedSpec, digest_of
from tasks.contract.columns import Column
from tasks.contract.prompts import PromptSet

GENERATION_RECIPE = 1
"""Part of every generation's identity; raised when the same spec would give other tokens."""
GREEDY = 0.0
STRIP, OFF = "strip", "off"
"""Whether a model may think before it answers; see `Decoding`."""
ROWS = 48
"""Answers that advance side by side, a block; and prompts that are read at once."""
READ = 320
"""Tokens of each of those prompts that one pass reads: more would take too much memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How answers are drawn from a model.

    Attributes:
        max_tokens: Tokens of an answer at most; > 0.
        temperature: Divides the logits; 0 takes the likeliest token each time.
        samples: Answers to each prompt; 1 where nothing is drawn.
        seed: Of the draws; None where nothing is drawn.
        thinking: `strip`: the model may think first, and its answer is what follows the thought;
            `off`: it is asked not to think.
    """

    max_tokens: int
    temperature: float = GREEDY
    samples: int = 1
    seed: int | None = None
    thinking: str = STRIP

    @property
    def facts(self) -> dict[str, Any]:
        """JSON-ready; without `thinking` as it is by default, so that earlier ids stay."""
        return {k: v for k, v in asdict(self).items() if (k, v) != ("thinking", STRIP)}

    @property
    def text(self) -> str:
        """Canonical JSON; equal texts are equal decodings."""
        return json.dumps(self.facts, sort_keys=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSpec(SavedSpec):
    """One unit of work: every answer of one cell to one set of prompts.

    Attributes:
        prompts: What is asked.
        decoding: How answers are drawn.
        rendered: sha256 over the token ids of the prompts, in order; None where the driver does
            not have the model.
        prompt_rule: What makes the answers others than those of version 1 of this program: a
            template's fixed date, thoughts, text in parts, no end token; None where nothing does.
    """

    prompts: PromptSet
    decoding: Decoding
    rendered: str | None = None
    prompt_rule: str | None = None

    def identity(self) -> dict[str, Any]:
        """The facts that decide every token, as JSON-ready values."""
        facts: dict[str, Any] = {
            "generation": GENERATION_RECIPE,
            "model": self.model.identity,
            "adapter": self.adapter_sha256 or "baseline",
            "prompts": self.prompts.digest,
            "decoding": self.decoding.facts,
        }
        if self.prompt_rule is not None:
            facts["rendered"] = [self.prompt_rule, self.rendered]
        return facts

    @property
    def generation_id(self) -> str:
        """16 hex digits; cells with equal adapters share it."""
        return digest_of(self.identity())[:16]

    @property
    def key(self) -> str:
        """As `tasks.contract.cell.Spec` has it."""
        return self.generation_id

    @property
    def label(self) -> str:
        """A short name for people, e.g. `sft-only seed=42 on starter`."""
        return f"{self.cell_label} on {self.prompts.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer to one prompt.

    Attributes:
        prompt_id: Which prompt.
        sample_index: Which of its answers, from 0.
        response: The whole text, special tokens included, the one that ends it aside; it begins
            with the mark of a thought also where the prompt has it.
        n_prompt_tokens: Tokens of the prompt as the model saw it.
        n_tokens: Tokens of the answer, without the one that ends it.
        finish_reason: `stop` where the model ended it, `length` where `max_tokens` did, `thought`
            where it ended before its thought did.
        tokens_sha256: Digest of the answer's token ids.
        least_lead: Smallest distance of a chosen token to the next likely one, nats: below what
            rounding explains, another chip may give another answer. None where tokens are drawn.
    """

    prompt_id: Annotated[str, Column(required=True)]
    sample_index: Annotated[int, Column(unit="sample", required=True)]
    response: Annotated[str, Column()]
    n_prompt_tokens: Annotated[int, Column(unit="token")]
    n_tokens: Annotated[int, Column(unit="token")]
    finish_reason: Annotated[str, Column()]
    tokens_sha256: Annotated[str, Column()]
    least_lead: Annotated[float | None, Column(unit="nat")]


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationResult:
    """Everything a finished unit brings home.

    Attributes:
        spec: What was asked for, without the adapter's bytes.
        answers: One for each prompt and sample, in order.
        machine: Where.
        memory_peak_bytes: Peak of the MLX allocator.
        load_s, generate_s: Seconds by phase; with those that lie behind its checkpoint.
        resumed_answers: Answers that were taken over from a checkpoint of an earlier attempt.
    """

    spec: GenerationSpec
    answers: tuple[Answer, ...]
    machine: Machine
    memory_peak_bytes: int
    load_s: float
    generate_s: float
    resumed_answers: int = 0
