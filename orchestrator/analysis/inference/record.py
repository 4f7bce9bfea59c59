"""One row of `inference`: a contrast, tested. Columns, units and status words are stable."""

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.config.contrast_kinds import NAT, Kind, Population
from tasks.contract.measures import MEASURED, OWN_UNIT

ANSWERS = "answers"
"""Stands for the split where a contrast is about generated answers, which have none."""


OPPOSITE = "the opposite has p "
"""Begins the note of a contradicted row."""


WITHOUT = "without "
"""Begins the note that names cells of a row's arms which have no scores."""


LOST = "seeds lost: "
"""Begins the note that counts seeds of a row's arms without a score."""


PAIRED_ON = "paired on "
"""Begins the note of a row in which some seeds have no partner."""


SILENT = "the hinge of an arm was 0 in every step, so that it was trained without one"
"""The note of a row with such an arm."""


ADDED = "cells of its arms came after it was registered, and are no part of it: "
"""Begins the note of a registered row that counts them."""


AGAIN = "looks again at a registered claim, with cells or answers that came later"
"""The note of the exploratory row of all cells beside such a row."""


PART_AGAIN = "asks again what is registered, outside the family of that claim"
"""The note of an exploratory row of the same comparison as a registered one."""


KNOWN_BEFORE = "registered with results of "
"""Begins the note of a registered row that compares all arms, some of which had a result then."""


OTHER_WAY = "the test goes by ranks, and the means point the other way"
"""The note of a supported row whose estimate does not point as claimed."""


WEAKEST = "the estimate is the weakest step, "
"""Begins the note that names the step."""


FIRST_TEST = "about the first stress test after it was asked: "
"""Begins the note of a row about answers where later tests asked something else."""


REMARKS = (
    WITHOUT,
    LOST,
    PAIRED_ON,
    SILENT,
    ADDED,
    AGAIN,
    PART_AGAIN,
    KNOWN_BEFORE,
    OTHER_WAY,
    FIRST_TEST,
)
"""Beginnings of notes that stand beside the verdict of a claim."""


class Family(StrEnum):
    """`primary` contrasts were registered before the data (Holm), the others were not (BH)."""

    PRIMARY = "primary"
    EXPLORATORY = "exploratory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """A tested contrast on one behaviour and split; None is "does not exist", never 0.

    Attributes:
        contrast_id: Of the registered contrast; several rows share it, one a behaviour.
        which: Settings that tell the row's arms from other arms of the contrast; empty where the
            contrast compares no others.
        claim: The sentence that the contrast was registered for.
        kind, behavior, split, population, family, alternative: What was asked.
        imported: Whether it is about a measurement of another tool, in the tool's own unit.
        registered: Whether it was registered before the first result.
        arm_a, arm_b: Labels of the arms; for a trend, the lowest and the highest dose.
        arms: Arm ids in order.
        n_a, n_b, n_pairs: Seeds. n_probes: Probe pairs, where probes are part of the variance.
        pairing: `paired`, `none` or `fixed_baseline`; pairing_reason says why not paired.
        estimate: Difference a - b in nats per token; a proportion; log ratio for sd_ratio.
        ci_low, ci_high, ci_level: Two-sided interval of the estimate.
        se, df, statistic, test: Of the test that gave p.
        cohens_d: Pooled between-seed sd, as the notes print it. hedges_g, g_low, g_high.
        p, p_adjusted, adjust, family_size: `holm` or `bh`.
        p_student: As the notes print it; never used for the verdict.
        p_exact, p_attainable_min: Of the exact companion test.
        sesoi: The stated margin; p_noninferior, p_tost need one.
        mde_80: Smallest effect `supported` with probability 0.8 in this family, unit of the
            estimate; for a margin, the smallest that is shown if both arms are the same.
        mde_low, mde_high: The same at the ends of the 80 % interval of the sd that was seen.
        n_for_80: Seeds an arm for a `supported` estimate with probability 0.8 in this family.
        verdict: A value of `stats.verdict.Verdict`.
        status: `ok`, or why there is no number.
        notes: Sentences for people.
    """

    contrast_id: str
    which: str = ""
    claim: str
    kind: Kind
    behavior: str
    split: str
    population: Population
    family: Family
    alternative: str
    registered: bool
    arm_a: str
    arm_b: str
    arms: tuple[str, ...]
    n_a: int | None = None
    n_b: int | None = None
    n_pairs: int | None = None
    n_probes: int | None = None
    pairing: str = "none"
    pairing_reason: str | None = None
    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    ci_level: float | None = None
    se: float | None = None
    df: float | None = None
    cohens_d: float | None = None
    hedges_g: float | None = None
    g_low: float | None = None
    g_high: float | None = None
    test: str | None = None
    statistic: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    adjust: str | None = None
    family_size: int | None = None
    p_student: float | None = None
    p_exact: float | None = None
    p_attainable_min: float | None = None
    sesoi: float | None = None
    p_noninferior: float | None = None
    p_tost: float | None = None
    mde_80: float | None = None
    mde_low: float | None = None
    mde_high: float | None = None
    n_for_80: int | None = None
    verdict: str = "not_testable"
    status: str = "ok"
    notes: tuple[str, ...] = ()
    imported: bool = False

    @property
    def unit(self) -> str:
        """Of the estimate and its interval: that of the kind, in what the row is about."""
        measure, unit = MEASURED.get(self.behavior), self.kind.rules.unit
        own = OWN_UNIT if self.imported else measure and measure.unit
        return unit.replace(NAT, own) if own else unit

    @property
    def place(self) -> str:
        """What the row was measured on, e.g. `the heldout split`."""
        if self.split == ANSWERS:
            return "generated answers"
        whole = self.imported or self.behavior in MEASURED
        return "whole cells" if whole else f"the {self.split} split"

    @property
    def is_difference(self) -> bool:
        """Whether the estimate is a difference in nats per token, tested against 0."""
        return self.kind.rules.is_difference and self.unit == NAT

    @property
    def name(self) -> str:
        """e.g. `rho-vs-sft [train.epochs=1]`."""
        return f"{self.contrast_id} [{self.which}]" if self.which else self.contrast_id
