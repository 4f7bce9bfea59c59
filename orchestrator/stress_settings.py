"""What a test of generated answers is to do: the `stress:` block of a sweep file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.generation import GREEDY, Decoding

SECTION = "stress"


@dataclass(frozen=True, slots=True, kw_only=True)
class StressSettings:
    """Prompts, decoding and judge; no part of any cell's identity.

    Attributes:
        prompts: Names or files of prompt sets.
        samples: Answers to each prompt.
        temperature: 0 is greedy.
        max_tokens: Tokens of an answer at most.
        seed: Of the draws; of no use at temperature 0.
        judge: Labels the answers.
    """

    prompts: tuple[str, ...]
    samples: int
    temperature: float
    max_tokens: int
    seed: int
    judge: str

    @property
    def decoding(self) -> Decoding:
        """How answers are drawn; what cannot affect them is left out."""
        return Decoding(
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            samples=self.samples,
            seed=None if self.temperature == GREEDY else self.seed,
        )


def stress_settings(base: Mapping[str, Any]) -> StressSettings:
    """The settings among a sweep's checked values."""
    names = StressSettings.__dataclass_fields__
    return StressSettings(**{name: base[f"{SECTION}.{name}"] for name in names})


def stress_clashes(base: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(field, message) of what only shows when fields are seen together."""
    if base[f"{SECTION}.temperature"] == GREEDY and base[f"{SECTION}.samples"] > 1:
        yield (
            f"{SECTION}.samples",
            f"temperature {GREEDY:g} gives the same answer each time; samples must be 1, "
            f"got {base[f'{SECTION}.samples']}",
        )
