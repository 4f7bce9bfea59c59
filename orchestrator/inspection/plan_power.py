"""What a sweep's registered contrasts can find with the seeds it has. Pure."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.evidence.comparison import compare, paired_seeds
from orchestrator.analysis.inference.power import FORMULAS, PROBES_UNKNOWN, Planning, Reach
from orchestrator.cells.choose import Choice, arms_of, planned
from orchestrator.cells.facts import Facts
from orchestrator.cells.settings import may_pair
from orchestrator.config.contrast_kinds import Compared, Kind, Planned, Population, Subject
from orchestrator.config.contrasts import Contrast, Looks, Questions
from orchestrator.config.fields import STEP
from orchestrator.results.registration import Registration
from orchestrator.stats.beside.designs import CrossedDesign, range_of, smallest_effect
from orchestrator.stats.beside.sequential import Price
from orchestrator.stats.crossed import MIN_N, crossed
from orchestrator.stats.exact import min_orders_p
from tasks.contract.cell import CellSpec

if TYPE_CHECKING:
    from orchestrator.analysis.evidence.frame import Frame  # loads pyarrow.compute


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """What one contrast can find on one behaviour.

    Attributes:
        contrast_id, kind, behavior: Which.
        which: Settings that tell its arms from others of the contrast; empty if there are none.
        arms: Ids of the arms that it compares.
        n: Seeds that all its arms share; where they are not paired, of the arm with the fewest.
        ns: Seeds of each independent sample of an unpaired test; empty where arms are paired.
        family: Tests that are adjusted together, this one among them.
        p_attainable_min: Smallest p of the exact companion test; None where there is none.
        mde_sd: Smallest effect `supported` with probability 0.8 in this family, in `unit`.
        mde_ratio: The same of two sds, as their ratio.
        unit: Of mde_sd, e.g. "sd of the difference".
        sd: The sd of the difference over seeds in a pilot, nats per token; None without one.
        mde: Smallest effect in nats per token; None without a pilot. For new seeds and new probes
            there is no mde_sd.
        mde_low, mde_high: The same at the ends of the 80 % interval of the pilot's sd.
        assumption: Where sd comes from.
        warning: What these seeds cannot show; None if nothing.
        problem: Why its arms cannot be compared; None where they can.
        looks: When it may be judged before all seeds are in, in words; None for only then.
        price: What that costs; mde_sd is its effect.
    """

    contrast_id: str
    which: str
    arms: tuple[str, ...]
    kind: Kind
    behavior: str
    n: int
    ns: tuple[int, ...] = ()
    family: int
    p_attainable_min: float | None
    mde_sd: float | None
    mde_ratio: float | None
    unit: str
    sd: float | None
    mde: float | None
    mde_low: float | None
    mde_high: float | None
    assumption: str
    warning: str | None
    problem: str | None = None
    looks: str | None = None
    price: Price | None = None

    @property
    def name(self) -> str:
        """e.g. `rho-vs-sft [train.epochs=1]`."""
        return f"{self.contrast_id} [{self.which}]" if self.which else self.contrast_id


def power_of(
    questions: Questions,
    specs: Sequence[CellSpec],
    pilot: "Frame | None" = None,
    registration: Registration | None = None,
) -> list[Power]:
    """One record per contrast and behaviour, before anything has run.

    Args:
        questions: The contrasts and alpha.
        specs: The cells that are planned.
        pilot: Earlier results, for the scatter over seeds and probe pairs.
        registration: What a launch would register, whose level, looks and families count; None
            takes those of the file.
    """
    known = registration or Registration(alpha=questions.alpha)
    seeds: dict[str, set[int]] = defaultdict(set)
    for spec in specs:
        if spec.seed is not None:
            seeds[spec.arm_id].add(spec.seed)
    arms = arms_of(specs)
    found = [
        (contrast, behavior, choice)
        for contrast in questions.contrasts
        for behavior, choice in planned(contrast, arms)
    ]
    families = Counter(contrast.family for contrast, _, choice in found if choice.problem is None)
    facts = {arm.arm_id: arm.facts for arm in arms}
    powers = []
    for contrast, behavior, choice in found:
        one = known.asked(contrast)
        family = known.family_of(one) if one else families[contrast.family]
        looks = one.looks if one else questions.looks
        ns = _apart(contrast, choice, seeds, facts)
        powers.append(
            _power(contrast, behavior, choice, seeds, ns, pilot, known.alpha, looks, max(1, family))
        )
    return powers


def _apart(
    contrast: Contrast,
    choice: Choice,
    seeds: Mapping[str, set[int]],
    facts: Mapping[str, Facts],
) -> tuple[int, ...]:
    """Seeds of each independent sample; empty where all arms are paired by seed."""
    # two trainings of one seed answer the same prompts
    fewest = 1 if contrast.kind.rules.about is Subject.ANSWERS else 2

    def together(arms: Sequence[str]) -> bool:
        shared = set.intersection(*(seeds.get(a, set()) for a in arms))
        return len(shared) >= fewest and all(
            may_pair(facts[a], facts[b]) for a, b in pairwise(arms)
        )

    arms = tuple(a for a in choice.arms if seeds.get(a))  # the untrained model has no seeds
    distinct, compares = tuple(dict.fromkeys(arms)), contrast.kind.rules.compares
    if choice.problem is not None or len(distinct) < 2 or compares is Compared.ALL:
        return ()
    if together(distinct):
        return ()
    if compares is Compared.TWO_PAIRS and len(arms) == 4:
        for halves in ((arms[:2], arms[2:]), (arms[::2], arms[1::2])):
            if all(map(together, halves)):
                return tuple(len(seeds[a] & seeds[b]) for a, b in halves)
    return tuple(len(seeds.get(arm, ())) for arm in arms)


def _power(
    contrast: Contrast,
    behavior: str,
    choice: Choice,
    seeds: Mapping[str, set[int]],
    ns: tuple[int, ...],
    pilot: "Frame | None",
    alpha: float,
    looks: Looks | None,
    family: int,
) -> Power:
    """What one choice of a contrast can find on one behaviour; `seeds` is by arm."""
    named = [seeds.get(arm, set()) for arm in choice.arms] if choice.problem is None else []
    n = min(ns) if ns else len(set.intersection(*named)) if named else 0
    rules = contrast.kind.rules
    looks = looks if rules.sequential else None
    within = contrast.over == STEP and rules.planned is Planned.TREND  # t of the seeds' slopes
    planning = Planning(
        n=n,
        arms=len(named),
        ns=ns,
        alternative=contrast.alternative,
        margin=rules.margin,
        population=contrast.population,
        level=alpha / family,
        looks=looks,
    )
    reach = FORMULAS[Planned.MEANS if within else rules.planned](planning)
    if rules.about is Subject.ANSWERS and choice.problem is None:
        counts = [len(found) for found in named if found]  # the untrained model has no seeds
        n, reach = _of_answers(contrast, counts, n, len(named), alpha, apart=bool(ns))
    if contrast.within:
        pilot = None  # evidence is of the end of training
    sd, sd_df, assumption, mde = None, None, "", None
    if reach.warning == PROBES_UNKNOWN and contrast.population is Population.BOTH and pilot:
        mde, sd_df, assumption = _of_both(contrast, behavior, pilot, planning)
        reach = reach if mde is None else Reach()
    elif reach.mde_sd is not None and rules.planned is Planned.MEANS:
        evidence = pilot.evidence() if pilot else ()
        sd, sd_df, assumption = _sd(contrast, behavior, evidence, paired=not ns)
        mde = None if sd is None else reach.mde_sd * sd
    warning = reach.warning
    if choice.problem is not None:
        warning = choice.problem
    elif n < 2 and contrast.kind.rules.about is Subject.SCORES:
        what = "shared " if not ns else ""
        warning = f"{n} {what}seed{'s' if n != 1 else ''}: nothing can be tested"
    elif warning is None and reach.p_min is not None and reach.p_min > alpha:
        what = " and ".join(map(str, ns)) if ns else f"{n} paired"
        warning = f"{what} seeds cannot go below p = {reach.p_min:.4g} in an exact test"
    low, high = (None, None) if mde is None or sd_df is None else range_of(mde, sd_df)
    return Power(
        contrast_id=contrast.id,
        which=choice.which,
        arms=choice.arms,
        kind=contrast.kind,
        behavior=behavior,
        n=n,
        ns=ns,
        family=family,
        p_attainable_min=reach.p_min,
        mde_sd=reach.mde_sd,
        mde_ratio=reach.mde_ratio,
        unit=reach.unit,
        sd=sd,
        mde=mde,
        mde_low=low,
        mde_high=high,
        assumption=assumption,
        warning=warning,
        problem=choice.problem,
        looks=looks.when if looks and reach.price else None,
        price=reach.price,
    )


def _of_answers(
    contrast: Contrast, counts: Sequence[int], shared: int, arms: int, alpha: float, *, apart: bool
) -> tuple[int, Reach]:
    """(seeds, what they do not allow) of a contrast on answers.

    Args:
        contrast: The question.
        counts: Seeds of each trained arm.
        shared: Seeds that all arms share.
        arms: How many arms there are, the untrained model among them.
        alpha: Level of the test.
        apart: Whether some arms are not paired by seed.
    """
    kind = contrast.kind
    n = min(counts, default=0)
    if kind is Kind.RANK_CORRELATION:
        least = min_orders_p(arms, contrast.alternative)
        warning = f"{arms} arms cannot go below p = {least:.2g}" if least > alpha else None
        return n, Reach(p_min=least, warning=warning)
    if kind is Kind.OMNIBUS:
        several = max(counts, default=0) > 1
        return n, Reach(warning="several seeds: it compares arms of one seed" if several else None)
    n = shared if contrast.b else n
    warning = None
    if kind is Kind.PROP_DIFF and max(counts, default=0) > 1:
        if apart and contrast.b:
            warning = "answers are compared where seeds are paired, and these are not"
        elif n < MIN_N:
            warning = f"{n} seeds: new seeds and new prompts take {MIN_N} at least"
    if kind is Kind.PROP_INTERACTION and n < 2:
        warning = f"{n} seeds: nothing can be tested"
    return n, Reach(warning=warning)


def _of_both(
    contrast: Contrast, behavior: str, pilot: "Frame", planned: Planning
) -> tuple[float | None, float | None, str]:
    """Smallest effect for new seeds and new probes, the df of its scale, what it stands for.

    Of the two arms in the pilot, whose probe pairs are as many as will be scored.
    """
    scored = _scored(contrast, behavior, pilot.evidence())
    a, b = (_alike(fields, scored) for fields in (contrast.a, contrast.b))
    if a and contrast.kind.rules.compares is Compared.ONE:
        table = pilot.changes(a).table
    elif a and b and a is not b:
        table = pilot.difference(a, b, paired_seeds(a, b)).table
    else:
        return None, None, ""
    found = crossed(table) if table.size else None
    design = None if found is None or found.df is None else CrossedDesign.of(found)
    if found is None or design is None:
        return None, None, ""
    design = replace(design.at(planned.n), aim=planned.aim)
    about = f"seeds and {found.n_probes} probe pairs or clusters, both anew, as in the pilot"
    return smallest_effect(design, planned.level), found.df, about


def _scored(contrast: Contrast, behavior: str, pilot: Sequence[ArmEvidence]) -> list[ArmEvidence]:
    """The pilot's arms on a behaviour and the contrast's split."""
    split = "heldout" if any(e.split == "heldout" for e in pilot) else "train"
    return [e for e in pilot if e.behavior == behavior and e.split == (contrast.split or split)]


def _sd(
    contrast: Contrast, behavior: str, pilot: Sequence[ArmEvidence], *, paired: bool
) -> tuple[float | None, int | None, str]:
    """Sd of the difference over seeds in the pilot, its df, and what that stands for.

    Of arms that are not paired, the sd of one of them.
    """
    scored = _scored(contrast, behavior, pilot)
    if not scored:
        of = "of the difference " if paired else ""
        return None, None, f"no pilot: in sd {of}over seeds"
    a, b = (_alike(fields, scored) for fields in (contrast.a, contrast.b))
    if paired and a and b and a is not b:
        found = compare(a, b)
        if found.n_pairs and found.n_pairs > 1 and found.test.se is not None:
            sd = found.test.se * found.n_pairs**0.5
            return sd, found.n_pairs - 1, "sd of the paired difference in the pilot"
    spreads = [e.score.sd for e in scored if e.condition.trains and e.score and e.score.sd]
    if not spreads:
        return None, None, "the pilot has one seed an arm"
    # One arm's df: how far the arms' sds speak of one another is not known.
    df = min(e.score.n for e in scored if e.condition.trains and e.score and e.score.sd) - 1
    if contrast.kind.rules.compares is Compared.ONE or not paired:
        return statistics.median(spreads), df, "median sd over seeds of the pilot's arms"
    return statistics.median(spreads) * 2**0.5, df, "median sd of the pilot's arms, unpaired"


def _alike(
    fields: tuple[tuple[str, Any], ...] | None, scored: Sequence[ArmEvidence]
) -> ArmEvidence | None:
    """The pilot's arm that a contrast names, by condition, weight and margin."""
    wanted = dict(fields or ())
    found = [
        e
        for e in scored
        if wanted.get("condition") == str(e.condition)
        and wanted.get("rho_weight", e.rho_weight) == e.rho_weight
        and wanted.get("margin", e.margin) == e.margin
    ]
    return found[0] if len(found) == 1 else None
