"""Verdicts of tested contrasts, for tables that show them: a table makes none itself."""

from collections.abc import Iterable, Sequence

from orchestrator.analysis.inference.record import Inference
from orchestrator.config.contrast_kinds import Kind


class Verdicts:
    """What was said of contrasts, by their kind, arms, behaviour and split."""

    def __init__(self, inference: Iterable[Inference] = ()) -> None:
        self._found: dict[tuple[Kind, tuple[str, ...], str, str], str] = {}
        for row in inference:  # registered contrasts come first
            self._found.setdefault((row.kind, row.arms, row.behavior, row.split), row.verdict)

    def of(self, kind: Kind, arms: Sequence[str], behavior: str, split: str) -> str | None:
        """The word; None where nobody asked this of these arms (ids)."""
        return self._found.get((kind, tuple(arms), behavior, split))
