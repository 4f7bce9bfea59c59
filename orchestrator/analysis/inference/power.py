"""What a kind of contrast can find with the seeds it is given, before anything has run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from orchestrator.config.contrast_kinds import Planned
from orchestrator.stats.exact import min_page_p, min_sign_flip_p
from orchestrator.stats.power import mde_paired
from orchestrator.stats.records import Alternative
from orchestrator.stats.spread import MIN_BROWN_FORSYTHE


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What is planned for one contrast.

    Attributes:
        n: Seeds that all its arms share.
        arms: How many arms those are.
        alternative: Of the contrast.
        alpha: Level of the test.
    """

    n: int
    arms: int
    alternative: Alternative
    alpha: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a design can find; None where no formula is known.

    Attributes:
        p_min: Smallest p of the exact companion test.
        mde_sd: Smallest effect found with probability 0.8, in sd of the difference over seeds.
        warning: What so few seeds do not allow.
    """

    p_min: float | None = None
    mde_sd: float | None = None
    warning: str | None = None


def of_means(design: Design) -> Reach:
    """A paired t test with the sign-flip test beside it."""
    return Reach(
        p_min=min_sign_flip_p(design.n, design.alternative) if design.n > 0 else None,
        mde_sd=mde_paired(design.n, design.alpha),
    )


def of_trend(design: Design) -> Reach:
    """Page's test, which is one-sided; a two-sided p is twice the smaller one."""
    if design.n < 2 or design.arms < 3:
        return Reach()
    p = min_page_p(design.n, design.arms)
    return Reach(p_min=min(1.0, 2 * p) if design.alternative is Alternative.TWO_SIDED else p)


def of_spread(design: Design) -> Reach:
    """Two sds."""
    least = MIN_BROWN_FORSYTHE
    if design.n >= least:
        return Reach()
    text = f"too few for Brown-Forsythe, which needs {least}; the jackknife is used"
    return Reach(warning=f"{design.n} seeds: {text}")


def unknown(_: Design) -> Reach:
    """Kinds without a formula."""
    return Reach()


FORMULAS: Mapping[Planned, Callable[[Design], Reach]] = {
    Planned.MEANS: of_means,
    Planned.TREND: of_trend,
    Planned.SPREAD: of_spread,
    Planned.UNKNOWN: unknown,
}
"""Apart from the tests of `infer`, so that a plan does not load scipy.stats."""
