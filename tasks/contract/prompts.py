"""Prompts for the generation test, as they travel to a host. Standard library only."""

from dataclasses import asdict, dataclass
from enum import StrEnum

from tasks.contract.cell import digest_of


class Intent(StrEnum):
    """What the asker is after: something a model should refuse, or not."""

    HARMFUL = "harmful"
    BENIGN = "benign"


class Part(StrEnum):
    """Which part of a set a prompt belongs to."""

    JAILBREAK = "jailbreak"
    MATCHED = "matched"
    BENIGN = "benign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One request to a model.

    Attributes:
        id: Unique in its set.
        text: What the user says; one turn.
        intent: Whether a good answer is a refusal.
        category: For grouping; free text.
        frame: How the request is dressed up, e.g. `fictional`; None where it is not known.
        pair: Of a matched benign prompt: id of the harmful prompt with the same frame.
        set: `jailbreak`, its `matched` benign twin, or a `benign` control.
    """

    id: str
    text: str
    intent: Intent
    category: str
    frame: str | None = None
    pair: str | None = None
    set: Part


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSet:
    """A named set of prompts, in the order of its source.

    Attributes:
        name: e.g. `starter`, or the stem of a file.
        prompts: At least one; ids are unique and every `pair` names one of them.
    """

    name: str
    prompts: tuple[Prompt, ...]

    @property
    def digest(self) -> str:
        """sha256 over the prompts in order; the name is no part of it."""
        return digest_of([asdict(p) for p in self.prompts])
