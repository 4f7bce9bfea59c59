"""From a registered claim and its test to one word."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

from orchestrator.stats.means import MeanTest, equivalence, t_p
from orchestrator.stats.records import (
    ALPHA,
    Alternative,
)


class Verdict(StrEnum):
    """All that is ever said of a claim."""

    meaning: str

    def __new__(cls, value: str, *meaning: str) -> "Verdict":
        """A member: its value in tables and JSON, and when it is said."""
        # A variable number, because type checkers read the look-up `Verdict("interim")` as this.
        self = str.__new__(cls, value)
        self._value_ = value
        (self.meaning,) = meaning
        return self

    SUPPORTED = (
        "supported",
        "p, adjusted for its family, is at most {alpha} in the direction claimed",
    )
    SUPPORTED_SMALL = (
        "supported_small",
        "as supported, but the estimate is smaller than the size stated as relevant (`sesoi`)",
    )
    CONTRADICTED = (
        "contradicted",
        "the opposite has a two-sided p, adjusted, of at most {alpha}; for margins, lying beyond "
        'the margin has; for "differs" with a relevant size, the two are equivalent; for '
        "linearity, lack of fit",
    )
    IDENTICAL = (
        "identical",
        "the whole interval lies below the numerical floor: what differs is rounding, whatever p "
        "says",
    )
    INCONCLUSIVE = (
        "inconclusive",
        "neither supported nor contradicted; that is no evidence of no effect",
    )
    INTERIM = "interim", "cells that were planned at registration have no result yet"
    NOT_TESTABLE = "not_testable", "there is no valid test; a note says why"

    @property
    def words(self) -> str:
        """As people read it, e.g. `supported, below the relevant size`."""
        if self is Verdict.SUPPORTED_SMALL:
            return "supported, below the relevant size"
        return self.value.replace("_", " ")

    @property
    def supports(self) -> bool:
        """Whether the claim is supported, at whatever size."""
        return self in (Verdict.SUPPORTED, Verdict.SUPPORTED_SMALL)


def tally(said: Iterable[str]) -> str:
    """e.g. `2 supported, 0 contradicted, 5 inconclusive`; other verdicts only where they occur."""
    counts = Counter(said)
    always = (Verdict.SUPPORTED, Verdict.CONTRADICTED, Verdict.INCONCLUSIVE)
    return ", ".join(f"{counts[v]} {v.words}" for v in Verdict if v in always or counts[v])


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
