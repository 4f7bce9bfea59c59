"""`--behavior`, `--arm` and `--split`: which rows and columns of an analysis are shown."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.inference.record import ANSWERS, Inference
from orchestrator.analysis.tables.arms import Arms
from orchestrator.analysis.tables.view import Row, View
from orchestrator.errors import UserError, hint

ARM_FIELDS = ("arm", "arm_a", "arm_b", "condition")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What is left out of the screen.

    Attributes:
        hidden: Behaviours that are not shown.
        arms: Ids of the arms that are shown; None for all.
        names: Every name of these arms in a table; None for all.
        split: The only split that is shown; None for all.
    """

    hidden: frozenset[str] = frozenset()
    arms: frozenset[str] | None = None
    names: frozenset[str] | None = None
    split: str | None = None

    @classmethod
    def of(
        cls,
        evidence: Sequence[ArmEvidence],
        behaviors: Sequence[str],
        arms: Sequence[str],
        split: str | None,
    ) -> "Filter":
        """The filter that words of a command line ask for.

        Args:
            evidence: Of all arms.
            behaviors: Names; empty for all.
            arms: Each some words of an arm's label, e.g. `rho-guided w=0.5`; empty for all.
            split: As in the class.

        Raises:
            UserError: There is no such behaviour or arm.
        """
        every = dict.fromkeys(e.behavior for e in evidence)
        for word in behaviors:
            if word not in every:
                near = hint(word, tuple(every))
                raise UserError(
                    f'--behavior "{word}" was not evaluated here{near}',
                    f"they are {', '.join(every)}",
                )
        hidden = frozenset(every) - frozenset(behaviors) if behaviors else frozenset()
        if not arms:
            return cls(hidden=hidden, split=split)
        heads = {e.arm_id: e for e in evidence}
        for words in arms:
            if not any(_fits(words, e) for e in heads.values()):
                known = ", ".join(dict.fromkeys(e.label for e in heads.values()))
                raise UserError(f'--arm "{words}" fits no arm', f"they are {known}")
        chosen = [e for e in heads.values() if any(_fits(words, e) for words in arms)]
        short = [Arms(evidence, s).label for s in {e.split for e in evidence}]
        return cls(
            hidden=hidden,
            arms=frozenset(e.arm_id for e in chosen),
            names=frozenset(name for e in chosen for name in (e.label, *(s(e) for s in short))),
            split=split,
        )

    def evidence(self, one: ArmEvidence) -> bool:
        """Whether an arm's scores on a behaviour and split are shown."""
        own = self.arms is None or one.arm_id in self.arms
        return own and one.behavior not in self.hidden and self.split in (None, one.split)

    def claim(self, row: Inference) -> bool:
        """Whether a tested contrast is shown; one about answers has no split."""
        own = self.arms is None or not self.arms.isdisjoint(row.arms)
        return (
            own
            and row.behavior not in self.hidden
            and (self.split is None or row.split in (self.split, ANSWERS))
        )

    def view(self, view: View) -> View:
        """A table without the rows and columns that are about anything else."""
        columns = tuple(
            c
            for c in view.columns
            if not any(c.fields[0] == b or c.fields[0].startswith(f"{b}_") for b in self.hidden)
        )
        return replace(view, columns=columns, rows=tuple(r for r in view.rows if self._row(r)))

    def _row(self, row: Row) -> bool:
        behaviors = [
            b for b in str(row.get("behaviors") or row.get("behavior") or "").split(", ") if b
        ]
        elsewhere = self.split is not None and row.get("split") not in (None, self.split, ANSWERS)
        if elsewhere or (behaviors and self.hidden.issuperset(behaviors)):
            return False
        named = next((str(row[f]) for f in ARM_FIELDS if row.get(f)), "")
        about = {str(row[f]) for f in ("arm_a", "arm_b") if row.get(f)} or {named}
        if row.get("comparison"):
            about = set(str(row["comparison"]).split(" vs "))
        return self.names is None or about == {""} or not self.names.isdisjoint(about)


def _fits(words: str, arm: ArmEvidence) -> bool:
    return set(words.split()) <= set(arm.label.split())
