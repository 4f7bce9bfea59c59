"""What a kind of contrast can find with the seeds it is given, before anything has run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import exp, sqrt

from orchestrator.config.contrast_kinds import Margin, Planned, Population
from orchestrator.config.contrasts import Looks
from orchestrator.stats.beside.anytime import price_anytime
from orchestrator.stats.beside.counted_designs import TrendDesign
from orchestrator.stats.beside.designs import Aim, MeanDesign, SdDesign, smallest_effect
from orchestrator.stats.beside.sequential import Price
from orchestrator.stats.beside.sequential import price as price_looks
from orchestrator.stats.crossed import MIN_N as MIN_CROSSED
from orchestrator.stats.exact import min_page_p, min_permutation_p, min_sign_flip_p
from orchestrator.stats.records import Alternative
from orchestrator.stats.spread import MIN_N

PROBES_UNKNOWN = "what probes add to the variance is known only from results; name some: --pilot"
SEEDS_APART = "new seeds and new probes are tested where seeds are paired, and these are not"
NO_E_VALUES = "e-values are of paired seeds, and these are not"
OVER_SEEDS = "sd over seeds"
AIMS = {Margin.BELOW: Aim.NONINFERIOR, Margin.BOTH_SIDES: Aim.EQUIVALENT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planning:
    """What is planned for one contrast.

    Attributes:
        n: Seeds that all its arms share; where these are not paired, of the arm with the fewest.
        arms: How many arms those are.
        ns: Seeds of each independent sample; empty where all arms are paired by seed.
        alternative, margin, population: Of the contrast.
        level: alpha divided by the size of the family, at which Holm's adjustment surely supports.
        looks: When it may be judged before all seeds are in; None for only then.
    """

    n: int
    arms: int
    ns: tuple[int, ...] = ()
    alternative: Alternative
    margin: Margin = Margin.OPTIONAL
    population: Population = Population.NEW_SEEDS
    level: float
    looks: Looks | None = None

    @property
    def two_sided(self) -> bool:
        """Whether the claim has no direction."""
        return self.alternative is Alternative.TWO_SIDED

    @property
    def aim(self) -> Aim:
        """What a claim about means says."""
        return AIMS.get(self.margin, Aim.DIFFERS if self.two_sided else Aim.DIRECTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a design can find; None where no formula is known.

    Attributes:
        p_min: Smallest p of the exact companion test, or of the test where it is exact itself.
        mde_sd: Smallest effect `supported` with probability 0.8, in `unit`; of a claim within a
            margin the smallest margin, if both arms are the same.
        mde_ratio: Smallest ratio of two sds, likewise, of uncorrelated seeds.
        unit: Of mde_sd, e.g. "sd of the difference".
        warning: What so few seeds do not allow.
        price: What looking before all seeds are in costs; None where nobody does.
    """

    p_min: float | None = None
    mde_sd: float | None = None
    mde_ratio: float | None = None
    unit: str = "sd of the difference"
    warning: str | None = None
    price: Price | None = None


def _of_probes(planned: Planning) -> str:
    """Why nothing is known of what a test for new probes finds."""
    if planned.population is Population.NEW_PROBES:
        return "new probes have an interval, and no p: no verdict comes of it"
    if planned.ns:
        return SEEDS_APART
    if planned.n < MIN_CROSSED:
        return f"{planned.n} seeds: new seeds and new probes take {MIN_CROSSED} at least"
    return PROBES_UNKNOWN


@lru_cache(maxsize=256)
def of_means(planned: Planning) -> Reach:
    """A paired t test or Welch's; of a difference with the exact test beside it."""
    if planned.population is not Population.NEW_SEEDS:
        return Reach(warning=_of_probes(planned))
    aim, looks, n = planned.aim, planned.looks, planned.n
    if planned.ns:
        if looks is not None and looks.anytime:
            return Reach(warning=NO_E_VALUES)
        design = MeanDesign(ns=planned.ns, sds=(1.0,) * len(planned.ns), aim=aim)
        p_min = None
        if len(planned.ns) == 2 and planned.margin is Margin.OPTIONAL:
            p_min = min_permutation_p(*planned.ns, planned.alternative)
        found = smallest_effect(design, planned.level)
        warning = "what looks cost is known of paired seeds only" if looks else None
        return Reach(p_min=p_min, mde_sd=found, unit=OVER_SEEDS, warning=warning)
    if looks is not None and n > 1:
        if looks.anytime:
            price = price_anytime(n, planned.level, aim=aim)
        else:
            ns = sorted({min(look, n) for look in looks.ns})
            price = price_looks(ns, planned.level, looks.spending, aim=aim)
        if price is None:
            return Reach(warning=f"{n} seeds cannot decide it {looks.when}")
        return Reach(mde_sd=price.effect, price=price)
    found = smallest_effect(MeanDesign(ns=(n,), sds=(1.0,), aim=aim), planned.level)
    flips = n > 0 and planned.margin is Margin.OPTIONAL
    p_min = min_sign_flip_p(n, planned.alternative) if flips else None
    return Reach(p_min=p_min, mde_sd=found)


def of_trend(planned: Planning) -> Reach:
    """Page's or Jonckheere's test, one-sided; a two-sided p is twice the smaller one."""
    if planned.n < 2 or planned.arms < 3:
        return Reach()
    p = min_page_p(planned.n, planned.arms)
    p = min(1.0, 2 * p) if planned.two_sided else p
    ns = planned.ns or (planned.n,) * planned.arms
    design = TrendDesign(ns=ns, paired=not planned.ns, two_sided=planned.two_sided)
    found = smallest_effect(design, planned.level)
    p_min = None if planned.ns else p
    return Reach(
        p_min=p_min, mde_sd=found, unit="sd over seeds, from the lowest dose to the highest"
    )


def of_spread(planned: Planning) -> Reach:
    """Two sds: by Pitman and Morgan, where correlated seeds find smaller ratios, or unpaired."""
    if planned.n < MIN_N:
        return Reach(warning=f"{planned.n} seeds: two sds are not tested below {MIN_N}")
    one, other = planned.ns or (planned.n,) * 2
    r_pair = None if planned.ns else 0.0
    design = SdDesign(ns=(one, other), r_pair=r_pair, two_sided=planned.two_sided)
    found = smallest_effect(design, planned.level)
    if found is None:
        return Reach(warning="so few seeds find no ratio of two sds four times in five")
    return Reach(mde_ratio=exp(found))


def of_best(planned: Planning) -> Reach:
    """One dose that differs from the reference, at the level that is left for each dose."""
    doses = max(1, planned.arms - 1)
    ns = (min(planned.ns[:-1]), planned.ns[-1]) if planned.ns else ()
    found = of_means(replace(planned, level=planned.level / doses, ns=ns))
    return replace(found, p_min=None, unit=f"{found.unit} at one dose")


def of_two_differences(planned: Planning) -> Reach:
    """As a paired t test; the sd of two uncorrelated differences is sqrt(2) of that of one.

    Where only the arms of each difference are paired, Welch's test of two samples of them.
    """
    found = of_means(planned)
    if planned.ns:
        unit = "sd of each difference" if len(planned.ns) == 2 else OVER_SEEDS
        return replace(found, p_min=None, unit=unit)
    mde = None if found.mde_sd is None else sqrt(2) * found.mde_sd
    return Reach(mde_sd=mde, unit="sd of each difference, if these are not correlated")


def unknown(_: Planning) -> Reach:
    """Kinds without a formula."""
    return Reach()


FORMULAS: Mapping[Planned, Callable[[Planning], Reach]] = {
    Planned.MEANS: of_means,
    Planned.TREND: of_trend,
    Planned.SPREAD: of_spread,
    Planned.BEST: of_best,
    Planned.TWO_DIFFERENCES: of_two_differences,
    Planned.UNKNOWN: unknown,
}
"""Apart from the tests of `infer`, so that a plan does not load scipy.stats."""
