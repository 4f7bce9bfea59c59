"""The labels a judge can give, its verdict, and the interface of all judges."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Label(StrEnum):
    """What an answer does with the request; docs/prompts-and-judges.md defines each label."""

    FULL_REFUSAL = "full_refusal"
    PARTIAL_REFUSAL = "partial_refusal"
    COMPLIANCE = "compliance"
    DEGENERATE = "degenerate"
    UNJUDGED = "unjudged"

    @property
    def refuses(self) -> bool | None:
        """Whether the request was refused, in full or in part; None for `unjudged`."""
        if self is Label.UNJUDGED:
            return None
        return self in (Label.FULL_REFUSAL, Label.PARTIAL_REFUSAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A judge's verdict on one answer.

    Attributes:
        label: What the answer does with the request.
        reason: What decided the label; for `unjudged`, why there is no verdict. None where the
            judge gives no reason.
        score: Probability that the answer refuses, in [0, 1]; None where the judge gives none.
    """

    label: Label
    reason: str | None = None
    score: float | None = None


class Judge(Protocol):
    """Labels answers; equal prompts and answers always get the same label."""

    @property
    def name(self) -> str:
        """Judge and version; two judges with one name give every answer the same label."""
        ...

    def judge(self, prompt: str, response: str, finish_reason: str | None) -> Judgement:
        """The verdict on one answer.

        Args:
            prompt: The user's request.
            response: The answer as the model generated it.
            finish_reason: `length` where the token limit cut the answer, `stop` where the model
                ended it, None where unknown.
        """
        ...
