"""Verdicts of tested contrasts, for tables that show them: a table makes none itself."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import isclose

from orchestrator.analysis.inference.record import Inference
from orchestrator.analysis.tables.columns import words
from orchestrator.config.contrast_kinds import Kind, Population

OF_CLAIMS = "Verdicts are those of claims, where p is adjusted."
"""Note of a table that shows some."""
COLUMNS = (words("verdict", "verdict"), words("claim", "claim"))
"""Of `Verdicts.beside`."""


class Verdicts:
    """What was said of contrasts, by their kind, arms, behaviour and split."""

    def __init__(self, inference: Iterable[Inference] = ()) -> None:
        self._found: dict[tuple[Kind, tuple[str, ...], str, str], list[Inference]] = defaultdict(
            list
        )
        for row in inference:  # registered contrasts come first
            self._found[row.kind, row.arms, row.behavior, row.split].append(row)

    def of(
        self, kind: Kind, arms: Sequence[str], behavior: str, split: str, **asked: object
    ) -> str | None:
        """The word; None where nobody asked this of these arms (ids) and new seeds.

        `asked` is what else it asks, as its row has it, e.g. `sesoi`.
        """
        asked |= {"population": Population.NEW_SEEDS}
        found = self._found.get((kind, tuple(arms), behavior, split), [])
        fitting = (r for r in found if all(getattr(r, k) == v for k, v in asked.items()))
        return next((row.verdict for row in fitting), None)

    def beside(
        self, kind: Kind, arms: tuple[str, str], behavior: str, split: str, estimate: float | None
    ) -> dict[str, str | None]:
        """Verdict and name of the contrast of two arms, either one first, that has this estimate.

        One with another number is about something else, e.g. about some of the prompts.
        """
        for sign, ids in ((1, arms), (-1, arms[::-1])):
            for row in self._found.get((kind, ids, behavior, split), []):
                known, mine = row.estimate, estimate
                if known is None or mine is None:
                    same = known is mine
                else:
                    same = isclose(sign * known, mine, rel_tol=1e-6, abs_tol=1e-9)
                if same:
                    return {"verdict": row.verdict, "claim": row.name}
        return {"verdict": None, "claim": None}


NOTHING_ASKED = Verdicts()
