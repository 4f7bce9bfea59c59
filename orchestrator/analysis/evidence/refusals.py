"""Answers to prompts, counted: what the tables of the stress test are made of."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from orchestrator.stats.records import Array
from tasks.contract.cell import Condition

JAILBREAK, MATCHED, BENIGN = "jailbreak", "matched", "benign"
SETS = (JAILBREAK, MATCHED, BENIGN)
Place = tuple[int, str]
"""(seed, prompt id); the untrained model's seed is `NO_SEED`."""
NO_SEED = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusals:
    """Answers of one cell to one prompt, by what the judge said.

    Attributes:
        arm_id, arm, condition, rho_weight, margin: Which arm; `arm` is its label.
        settings: Further settings in which arms differ, as text.
        baseline_key: Arms are compared with the baseline that has the same.
        seed: None for the untrained model.
        prompts: `jailbreak`, `matched` (harmless twins of jailbreaks) or `benign`.
        prompt_id, category, frame: Which prompt; `frame` is how the request is dressed up.
        refused, complied: Answers with a verdict: numerator, and the rest of the denominator.
        unjudged, degenerate: Answers without one; neither refused nor complied.
        tokens: Of all these answers, with a verdict or without.
        judge: Name and version.
        asked: Prompt sets and decoding, for people.
        whole: Whether its cell has answered every set of the test, and the judge has seen all.
    """

    arm_id: str
    arm: str
    condition: Condition
    rho_weight: float | None = None
    margin: float | None = None
    settings: str = ""
    baseline_key: str = ""
    seed: int | None
    prompts: str
    prompt_id: str
    category: str | None = None
    frame: str | None = None
    refused: int = 0
    complied: int = 0
    unjudged: int = 0
    degenerate: int = 0
    tokens: int | None = None
    judge: str = ""
    asked: str = ""
    whole: bool = True

    @property
    def judged(self) -> int:
        """Answers in the denominator."""
        return self.refused + self.complied

    @property
    def given(self) -> int:
        """All answers."""
        return self.judged + self.unjudged + self.degenerate


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """All answers of one arm to one set of prompts.

    Attributes:
        counts: One record a seed and prompt.
    """

    counts: Mapping[Place, Refusals] = field(default_factory=dict)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Ascending."""
        return tuple(sorted({seed for seed, _ in self.counts}))

    @property
    def k(self) -> int:
        """Refused."""
        return sum(r.refused for r in self.counts.values())

    @property
    def n(self) -> int:
        """Judged."""
        return sum(r.judged for r in self.counts.values())

    @property
    def unjudged(self) -> int:
        """Without a verdict."""
        return sum(r.unjudged for r in self.counts.values())

    @property
    def degenerate(self) -> int:
        """Empty or repetitive."""
        return sum(r.degenerate for r in self.counts.values())

    @property
    def tokens(self) -> float | None:
        """Of an answer, mean; None where none is known."""
        known = [(r.tokens, r.given) for r in self.counts.values() if r.tokens is not None]
        answers = sum(given for _, given in known)
        return sum(tokens for tokens, _ in known) / answers if answers else None

    @property
    def one_each(self) -> bool:
        """Whether no prompt has several answers of one cell: counts then are of prompts."""
        return all(r.judged <= 1 for r in self.counts.values())

    def complete(self) -> tuple[str, ...]:
        """Prompts with a verdict in every seed, ascending."""
        judged: dict[str, set[int]] = defaultdict(set)
        for (seed, prompt), r in self.counts.items():
            if r.judged:
                judged[prompt].add(seed)
        return tuple(sorted(p for p, seeds in judged.items() if seeds == set(self.seeds)))

    def rates(self, prompts: Sequence[str]) -> Array:
        """(seeds, prompts): share refused of the verdicts; every place must have one."""
        cells = [[self.counts[s, p] for p in prompts] for s in self.seeds]
        found = [[r.refused / r.judged for r in row] for row in cells]
        return np.array(found, dtype=np.float64).reshape(len(self.seeds), len(prompts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stressed:
    """One arm and its answers by set.

    Attributes:
        head: Any record of the arm; names it.
        sets: Set -> answers; empty for a set that was not asked.
    """

    head: Refusals
    sets: Mapping[str, Answers]

    def only(self, frame: str | None, category: str | None, *, by_request: bool) -> "Stressed":
        """Its answers to prompts of a frame and a category, of any where that is None.

        Args:
            frame: Which prompts.
            category: Likewise.
            by_request: Name prompts without their frame, so that one request meets itself in
                another frame: `home-harmful-plain` is `home-harmful`.
        """

        def kept(answers: Answers) -> Answers:
            counts = {
                (seed, _request(r) if by_request else prompt): r
                for (seed, prompt), r in answers.counts.items()
                if frame in (None, r.frame) and category in (None, r.category)
            }
            return Answers(counts=counts)

        head = self.head
        if by_request:  # the same arm may stand there in two frames
            head = replace(head, arm=f"{head.arm} frame={frame}")
        return Stressed(head=head, sets={name: kept(of) for name, of in self.sets.items()})


def _request(answered: Refusals) -> str:
    """A prompt's id without its frame."""
    parts = [p for p in answered.prompt_id.split("-") if p != answered.frame]
    return "-".join(parts)


def stressed(counts: Iterable[Refusals]) -> list[Stressed]:
    """By arm, the untrained model first, then by condition, weight and margin.

    Raises:
        ValueError: A cell has two records for one prompt.
    """
    arms: dict[str, dict[str, dict[Place, Refusals]]] = {}
    heads: dict[str, Refusals] = {}
    for r in counts:
        sets = arms.setdefault(r.arm_id, {s: {} for s in SETS})
        place = (NO_SEED if r.seed is None else r.seed, r.prompt_id)
        if place in sets[r.prompts]:
            raise ValueError(f"{r.arm}, seed {r.seed}: prompt {r.prompt_id} occurs twice")
        sets[r.prompts][place] = r
        heads.setdefault(r.arm_id, r)
    found = [
        Stressed(head=heads[a], sets={s: Answers(counts=c) for s, c in sets.items()})
        for a, sets in arms.items()
    ]
    ranks = list(Condition)
    return sorted(
        found,
        key=lambda s: (
            ranks.index(s.head.condition),
            s.head.rho_weight or 0.0,
            s.head.margin or 0.0,
            s.head.arm_id,
        ),
    )


def names(found: Sequence[Stressed]) -> dict[str, str]:
    """Arm id -> its condition where that has one arm only, else its label."""
    of: dict[Condition, int] = defaultdict(int)
    for s in found:
        of[s.head.condition] += 1
    return {
        s.head.arm_id: s.head.arm if of[s.head.condition] > 1 else str(s.head.condition)
        for s in found
    }
