"""From a registered claim and its test to one of four words."""

from enum import StrEnum

from orchestrator.stats.equivalence import equivalence
from orchestrator.stats.means import MeanTest, t_p
from orchestrator.stats.records import (
    ALPHA,
    Alternative,
)


class Verdict(StrEnum):
    """All that is ever said of a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    INCONCLUSIVE = "inconclusive"
    NOT_TESTABLE = "not_testable"


OPPOSITE = {
    Alternative.GREATER: Alternative.LESS,
    Alternative.LESS: Alternative.GREATER,
}


def verdict(
    test: MeanTest,
    p: float | None,
    alternative: Alternative,
    alpha: float = ALPHA,
    delta: float | None = None,
) -> Verdict:
    """Of a claim about a difference of means.

    Args:
        test: The difference. What contradicts is computed from its diff, se and df, whatever
            alternative and level it was made with.
        p: Of the claim in its registered direction, adjusted for its family; None where the
            caller has no p to go by, e.g. because it cannot become small enough.
        alternative: What was claimed: a above b, a below b, or "they differ".
        alpha: Of the family.
        delta: For "they differ": the margin below which a difference is none. `decide` has the
            rule.
    """
    if test.statistic is None or test.df is None:
        return Verdict.NOT_TESTABLE
    opposite = OPPOSITE.get(alternative)
    return decide(
        p,
        alternative,
        alpha,
        p_opposite=None if opposite is None else t_p(test.statistic, test.df, opposite),
        p_tost=None if delta is None else equivalence(test, delta).p_tost,
    )


def decide(
    p: float | None,
    alternative: Alternative,
    alpha: float = ALPHA,
    *,
    p_opposite: float | None = None,
    p_tost: float | None = None,
) -> Verdict:
    """The rule, for any test.

    The first of these that holds:

    1. not_testable: there is no p.
    2. supported: p <= alpha.
    3. contradicted, for a claim with a direction: the one-sided p of the opposite direction, not
       adjusted, is <= alpha / 2. That is where the two-sided interval at 1 - alpha lies wholly on
       the other side of 0.
    4. contradicted, for "they differ": a margin was given and `p_tost` <= alpha.
    5. inconclusive.

    A difference that is both significant and within the margin supports "they differ".
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}; it lies between 0 and 1")
    if p is None:
        return Verdict.NOT_TESTABLE
    if p <= alpha:
        return Verdict.SUPPORTED
    against, limit = p_opposite, alpha / 2
    if alternative is Alternative.TWO_SIDED:
        against, limit = p_tost, alpha
    contradicted = against is not None and against <= limit
    return Verdict.CONTRADICTED if contradicted else Verdict.INCONCLUSIVE
