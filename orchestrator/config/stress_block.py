"""What a test of generated answers is to do: the `stress:` block of a sweep file."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.config.fields import FIELDS
from orchestrator.errors import UserError
from tasks.contract.generation import GREEDY, Decoding

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


def settings_of(written: Mapping[str, Any] | None, given: Mapping[str, Any]) -> StressSettings:
    """Settings of a test that is asked for by hand.

    Args:
        written: The block of the sweep that made the results; None without one.
        given: Field -> value, checked here; None leaves it as in the sweep, or as by default.

    Raises:
        UserError: Everything that is wrong with the given values.
    """
    base: dict[str, Any] = {}
    problems: list[str] = []
    for name in StressSettings.__dataclass_fields__:
        field = FIELDS[f"{SECTION}.{name}"]
        value = given.get(name)
        if value is None:
            value = (written or {}).get(name, field.default)
        if complaint := field.complaint(value):
            problems.append(f"--{name.replace('_', '-')}: {complaint}")
        else:
            base[f"{SECTION}.{name}"] = field.clean(value)
    if not problems:
        clashes = stress_clashes(base)
        problems = [f"--{f.partition('.')[2].replace('_', '-')}: {m}" for f, m in clashes]
    if problems:
        raise UserError("\n".join(problems))
    return stress_settings(base)


def as_options(settings: StressSettings) -> list[str]:
    """Words of the command line that say the same, the prompt sets aside."""
    facts = {k: v for k, v in asdict(settings).items() if k != "prompts"}
    return [w for name, v in facts.items() for w in (f"--{name.replace('_', '-')}", str(v))]


def stress_clashes(base: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(field, message) of what only shows when fields are seen together."""
    if base[f"{SECTION}.temperature"] == GREEDY and base[f"{SECTION}.samples"] > 1:
        yield (
            f"{SECTION}.samples",
            f"temperature {GREEDY:g} gives the same answer each time; samples must be 1, "
            f"got {base[f'{SECTION}.samples']}",
        )
