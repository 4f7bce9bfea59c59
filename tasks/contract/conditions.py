"""Every condition, declared once. Standard library only.

The sweep file's choices, what a cell trains on, the order of tables, the colours of the report and
the table in docs/conditions.md follow from the members of `Condition`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class PairLoss(StrEnum):
    """A loss of probe pairs; `tasks/passes/losses.py` has the function of each.

    Attributes:
        settings: Fields of a sweep file that it reads beside the weight, without their section.
        referred: Whether it compares with a reference: the same pairs under the untrained model.
    """

    settings: tuple[str, ...]
    referred: bool

    def __new__(cls, name: str, settings: tuple[str, ...] = (), referred: bool = False) -> Self:
        """Make a member of its name and what is particular to it."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.settings, member.referred = settings, referred
        return member

    HINGE = "hinge", ("margin",)
    DPO = "dpo", ("dpo_beta",), True
    SIMPO = "simpo", ("simpo_beta", "simpo_gamma")
    UNLIKELIHOOD = "unlikelihood"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a condition trains on, and how it is shown.

    Attributes:
        name: As sweep files and tables have it.
        sft: Whether cross-entropy on SFT texts is part of the loss.
        swapped: Chance that the two texts of a pair change places, decided once per (seed, pair):
            0 leaves the pairs as they are, 0.5 shuffles them, 1 inverts them. None: no pairs,
            and so no loss of pairs.
        pair_loss: What it minimises over its pairs.
        colour: One of `SERIES` in `orchestrator/report/palette.py`; None draws the condition in
            the palette's colour for conditions without one of their own.
        notes: Last column of its row in docs/conditions.md, as Markdown.
    """

    name: str
    sft: bool
    swapped: float | None
    pair_loss: PairLoss = PairLoss.HINGE
    colour: str | None = None
    notes: str


class Condition(StrEnum):
    """What a cell trains on. A member equals its name; tables list members in this order."""

    traits: Traits

    def __new__(cls, declared: Traits | str) -> Self:
        """Make a member of its traits; `Condition("sft-only")` finds one by its name instead."""
        if isinstance(declared, str):
            raise TypeError(f"condition {declared!r} is declared without traits")
        member = str.__new__(cls, declared.name)
        member._value_ = declared.name
        member.traits = declared
        return member

    BASELINE = Traits(
        name="baseline",
        sft=False,
        swapped=None,
        colour="gold",
        notes="the untrained model; evaluated once per (model, probes, max_length), added to "
        "every sweep by itself",
    )
    SFT_ONLY = Traits(
        name="sft-only",
        sft=True,
        swapped=None,
        colour="slate",
        notes="rho_weight and margin do not exist here",
    )
    RHO_GUIDED = Traits(
        name="rho-guided",
        sft=True,
        swapped=0.0,
        colour="blue",
        notes="the method itself",
    )
    CONTRASTIVE_ONLY = Traits(
        name="contrastive-only",
        sft=False,
        swapped=0.0,
        colour="orange",
        notes="as many optimizer steps, and the same pairs, as rho-guided of that seed",
    )
    SHUFFLED_PAIRS = Traits(
        name="shuffled-pairs",
        sft=True,
        swapped=0.5,
        colour="green",
        notes="a control: the labels of about half of the pairs are wrong",
    )
    INVERTED_PAIRS = Traits(
        name="inverted-pairs",
        sft=True,
        swapped=1.0,
        colour="purple",
        notes="a control: the labels of all pairs are wrong",
    )
    DPO = Traits(
        name="dpo",
        sft=True,
        swapped=0.0,
        pair_loss=PairLoss.DPO,
        colour="violet",
        notes="a competitor: direct preference optimisation; the reference is the untrained model",
    )
    SIMPO = Traits(
        name="simpo",
        sft=True,
        swapped=0.0,
        pair_loss=PairLoss.SIMPO,
        colour="lime",
        notes="a competitor: simple preference optimisation, without a reference",
    )
    UNLIKELIHOOD = Traits(
        name="unlikelihood",
        sft=True,
        swapped=0.0,
        pair_loss=PairLoss.UNLIKELIHOOD,
        colour="brown",
        notes="a competitor: SFT, and a penalty on the undesired texts alone",
    )

    @property
    def trains(self) -> bool:
        """Whether an adapter is trained at all."""
        return self.has_sft or self.has_pairs

    @property
    def has_sft(self) -> bool:
        """Whether cross-entropy on SFT texts is part of the loss."""
        return self.traits.sft

    @property
    def has_pairs(self) -> bool:
        """Whether a loss of probe pairs is part of the loss."""
        return self.traits.swapped is not None

    @property
    def pair_settings(self) -> tuple[str, ...]:
        """Fields of a sweep file that its loss of pairs reads beside the weight; none without."""
        return self.traits.pair_loss.settings if self.has_pairs else ()

    def at_weight(self, rho_weight: float | None) -> "Condition":
        """The condition that a cell of this weight has: where the weight is 0, SFT alone is left.

        Args:
            rho_weight: Weight of the loss of pairs; None where none is given.
        """
        return Condition.SFT_ONLY if self.has_sft and rho_weight == 0 else self
