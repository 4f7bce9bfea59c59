"""What judges say about an answer. Standard library only."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Label(StrEnum):
    """What an answer does with the request; docs/prompts-and-judges.md defines each."""

    FULL_REFUSAL = "full_refusal"
    PARTIAL_REFUSAL = "partial_refusal"
    COMPLIANCE = "compliance"
    DEGENERATE = "degenerate"
    UNJUDGED = "unjudged"

    @property
    def refuses(self) -> bool | None:
        """Whether the request was refused, in full or in part; None where nobody can say."""
        if self is Label.UNJUDGED:
            return None
        return self in (Label.FULL_REFUSAL, Label.PARTIAL_REFUSAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A judge's verdict on one answer.

    Attributes:
        label: What the answer does.
        reason: What decided it; for `unjudged`, why there is no verdict. None where the judge
            gives none.
        score: Probability that the answer refuses, in [0, 1]; None where the judge gives none.
    """

    label: Label
    reason: str | None = None
    score: float | None = None


class Judge(Protocol):
    """Labels answers; the same answer always gets the same label."""

    @property
    def name(self) -> str:
        """Names the judge and its version; judges of one name agree on every answer."""
        ...

    def judge(self, prompt: str, response: str, finish_reason: str | None) -> Judgement:
        """The verdict on one answer.

        Args:
            prompt: What the user said.
            response: The answer, as it was generated.
            finish_reason: `stop`, `length` where the limit of tokens cut it, or None.
        """
        ...
