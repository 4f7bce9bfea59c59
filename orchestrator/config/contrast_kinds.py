"""What a contrast may ask, declared once a kind, and about which population.

The parser, the plan, the analysis, the report and the table of kinds in `docs/analysis.md` read
these records. How a kind is computed stands in `orchestrator.analysis.inference`, since nothing
here may import numpy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.stats.records import Alternative

NAT = "nat/token"
LOG_RATIO = "log ratio of sds"
PROPORTION = "proportion"
CORRELATION = "correlation"
MINUS = "{a} minus {b}"


class Compared(StrEnum):
    """Whom a kind compares."""

    PAIR = "arm a with arm b"
    PAIR_OR_BASELINE = "arm a with arm b, or without b with the untrained model"
    ONE = "arm a with the untrained model"
    DOSES = "the arms along `over`"
    BEST = "the best arm along `over` with arm b"
    TWO_PAIRS = "arm a with arm b, at the first and at the second value of `between`"
    BEHAVIORS = "arm a with arm b, or the untrained model, on two behaviours"
    ALL = "all arms, or those that fit a"


class Margin(StrEnum):
    """What `sesoi` means to a kind."""

    OPTIONAL = "may be stated"
    BELOW = "a may lie below b by less than this"
    BOTH_SIDES = "a may lie off b by less than this"


class Planned(StrEnum):
    """The formula for what a design can find before it has run; `analysis/inference/power.py`."""

    MEANS = "paired t test, beside it sign flips"
    TREND = "Page's test"
    SPREAD = "test of Pitman and Morgan"
    BEST = "paired t tests of several doses, adjusted for their number"
    TWO_DIFFERENCES = "paired t test of differences of differences"
    UNKNOWN = "no formula"


class Subject(StrEnum):
    """What a kind is about."""

    SCORES = "rho of probe pairs"
    ANSWERS = "generated answers"


class Population(StrEnum):
    """What an interval speaks about: the same again with new seeds, new probes, or both."""

    NEW_SEEDS = "new_seeds"
    NEW_PROBES = "new_probes"
    BOTH = "new_seeds_and_probes"


NAMED_BY: Mapping[Compared, tuple[frozenset[str], frozenset[str]]] = {
    Compared.PAIR: (frozenset({"a", "b"}), frozenset()),
    Compared.PAIR_OR_BASELINE: (frozenset({"a"}), frozenset({"b"})),
    Compared.ONE: (frozenset({"a"}), frozenset()),
    Compared.DOSES: (frozenset({"a", "over"}), frozenset()),
    Compared.BEST: (frozenset({"a", "b", "over"}), frozenset()),
    Compared.TWO_PAIRS: (frozenset({"a", "b", "between"}), frozenset()),
    Compared.BEHAVIORS: (frozenset({"a", "between"}), frozenset({"b"})),
    Compared.ALL: (frozenset(), frozenset({"a"})),
}
"""Keys that name the arms: (needed, allowed)."""
ABOUT: Mapping[Subject, frozenset[str]] = {
    Subject.SCORES: frozenset({"behaviors", "population"}),
    Subject.ANSWERS: frozenset({"prompts"}),
}
"""Keys that only one subject has."""
SEEDS_ONLY = frozenset({Population.NEW_SEEDS})
WITH_P = frozenset({Population.NEW_SEEDS, Population.BOTH})
"""Populations about which a claim can be tested: `new_probes` has an interval only."""
SIDES = frozenset({Alternative.GREATER, Alternative.LESS})
NO_SIDE = frozenset({Alternative.TWO_SIDED})
EVERY = frozenset({"id", "claim", "kind", "split", "alternative", "sesoi", "family"})
"""Keys of every kind."""


MORE_OR_LESS = {
    Alternative.GREATER: "larger",
    Alternative.LESS: "smaller",
    Alternative.TWO_SIDED: "other",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All that is declared of one kind.

    Attributes:
        asks: What a contrast of the kind asks, for the documentation.
        test: The test in words, for the documentation.
        compares: Whom it compares; decides which of `a`, `b` and `over` it needs.
        about: Scores or answers; decides whether it takes `behaviors` and `population`, or
            `prompts`.
        margin: What `sesoi` means; needed unless optional.
        planned: What the plan computes.
        alternatives: What may be claimed; one that stands alone goes without saying.
        populations: What the test can speak about.
        supportable: Whether a small p speaks for the claim; else it speaks against it.
        within: Whether its test holds for several moments of one training, which are no
            independent samples.
        unit: Of the estimate and its interval; empty where there is no estimate.
        estimate: What the estimate is, with {a} and {b} (the row's arms) and {step} (its weakest).
        claim: Sentence of a contrast whose author wrote none, with {a}, {b}, {over}, {sesoi},
            {first}, {second} (what lies `between`), {alternative} and {relation}.
        relations: What {relation} stands for, by alternative.
    """

    asks: str
    test: str
    compares: Compared
    about: Subject = Subject.SCORES
    margin: Margin = Margin.OPTIONAL
    planned: Planned = Planned.UNKNOWN
    alternatives: frozenset[Alternative] = frozenset(Alternative)
    populations: frozenset[Population] = frozenset(Population)
    supportable: bool = True
    within: bool = True
    unit: str = NAT
    estimate: str = "the estimate"
    claim: str
    relations: Mapping[Alternative, str] | None = None

    @property
    def needed(self) -> frozenset[str]:
        """Keys without which a contrast of this kind means nothing."""
        stated = frozenset() if self.margin is Margin.OPTIONAL else frozenset({"sesoi"})
        return NAMED_BY[self.compares][0] | stated

    @property
    def allowed(self) -> frozenset[str]:
        """All keys that a contrast of this kind may have, the needed ones among them."""
        own = ABOUT[self.about] - ({"behaviors"} if self.compares is Compared.BEHAVIORS else set())
        return EVERY | self.needed | NAMED_BY[self.compares][1] | own

    @property
    def takes_all(self) -> bool:
        """Whether a row compares all arms that there are, so that it can leave one out unseen."""
        return self.compares in (Compared.DOSES, Compared.BEST, Compared.ALL)

    @property
    def sequential(self) -> bool:
        """Whether it may be judged before all planned seeds are in."""
        return self.planned is Planned.MEANS

    @property
    def is_difference(self) -> bool:
        """Whether the estimate is a difference of scores in nats per token, tested against 0."""
        arms = self.compares not in (Compared.DOSES, Compared.ALL)
        return arms and self.unit == NAT and self.margin is Margin.OPTIONAL


class Kind(StrEnum):
    """What a contrast asks; `rules` has all that is declared of it."""

    rules: Rules

    def __new__(cls, value: str, *declared: Rules) -> "Kind":
        """A member: its name in sweep files, and its declaration."""
        # A variable number, because type checkers read the look-up `Kind("trend")` as this call.
        self = str.__new__(cls, value)
        self._value_ = value
        (self.rules,) = declared
        return self

    MEAN_DIFF = (
        "mean_diff",
        Rules(
            asks="a above, below, or unlike b",
            test="paired t where seeds are paired, else Welch; exact sign-flip or permutation "
            "beside it",
            compares=Compared.PAIR,
            planned=Planned.MEANS,
            estimate=MINUS,
            claim="{a} {relation} {b}",
            relations={
                Alternative.GREATER: "scores above",
                Alternative.LESS: "scores below",
                Alternative.TWO_SIDED: "differs from",
            },
        ),
    )
    ONE_SAMPLE = (
        "one_sample",
        Rules(
            asks="a unlike its untrained baseline",
            test="t on the deltas; the baseline is one model and has no variance over seeds",
            compares=Compared.ONE,
            planned=Planned.MEANS,
            estimate=MINUS,
            claim="one sample of {a}, {alternative}",
        ),
    )
    NONINFERIORITY = (
        "noninferiority",
        Rules(
            asks="a not worse than b by more than `sesoi`",
            test="one-sided t; no `alternative`: a may lie above b by any amount",
            compares=Compared.PAIR,
            planned=Planned.MEANS,
            margin=Margin.BELOW,
            alternatives=NO_SIDE,
            populations=WITH_P,
            estimate=MINUS,
            claim="{a} is not worse than {b} by more than {sesoi}",
        ),
    )
    EQUIVALENCE = (
        "equivalence",
        Rules(
            asks="a within `sesoi` of b",
            test="two one-sided t (TOST)",
            compares=Compared.PAIR,
            planned=Planned.MEANS,
            margin=Margin.BOTH_SIDES,
            alternatives=NO_SIDE,
            populations=WITH_P,
            estimate=MINUS,
            claim="{a} lies within {sesoi} of {b}",
        ),
    )
    SD_RATIO = (
        "sd_ratio",
        Rules(
            asks="a varies more or less over seeds than b",
            test="Pitman-Morgan where seeds are paired (scores normal over seeds); else "
            "Brown-Forsythe from 6 seeds, below that jackknife of the log variance; the interval "
            "is the same test inverted; not testable below 4",
            compares=Compared.PAIR,
            planned=Planned.SPREAD,
            populations=SEEDS_ONLY,
            unit=LOG_RATIO,
            estimate="the sd of {a} over that of {b}",
            claim="{a} {relation} {b}",
            relations={
                Alternative.GREATER: "varies more than",
                Alternative.LESS: "varies less than",
                Alternative.TWO_SIDED: "varies differently than",
            },
        ),
    )
    TREND = (
        "trend",
        Rules(
            asks="rises or falls along the doses",
            test="Page within seeds, else exact Jonckheere; over `step`: t of the seeds' slopes",
            compares=Compared.DOSES,
            planned=Planned.TREND,
            populations=SEEDS_ONLY,
            estimate="from {a} to {b} the estimate",
            claim="trend of {a} over {over}, {alternative}",
        ),
    )
    STRICT_MONOTONE = (
        "strict_monotone",
        Rules(
            asks="every step of the dose rises or falls",
            test="the largest p of the steps, each one-sided",
            compares=Compared.DOSES,
            alternatives=SIDES,
            populations=SEEDS_ONLY,
            estimate="the weakest step, {step},",
            claim="strict monotone of {a} over {over}, {alternative}",
        ),
    )
    LINEARITY = (
        "linearity",
        Rules(
            asks="the response is a straight line",
            test="lack of fit against the scatter over seeds; can be contradicted, never supported",
            compares=Compared.DOSES,
            alternatives=NO_SIDE,
            populations=SEEDS_ONLY,
            supportable=False,
            within=False,
            unit=f"{NAT} per dose",
            estimate="the slope",
            claim="linearity of {a} over {over}, {alternative}",
        ),
    )
    BEST_OF = (
        "best_of",
        Rules(
            asks="the best dose along `over` above, below or unlike b",
            test="each dose against b as in `mean_diff`; p of the best times the number of doses, "
            "its interval at that level (Bonferroni), so that both allow for the choice; the "
            "estimate does not and is optimistic",
            compares=Compared.BEST,
            planned=Planned.BEST,
            populations=SEEDS_ONLY,
            estimate=MINUS,
            claim="the best of {a} over {over} scores {relation} {b}",
            relations={
                Alternative.GREATER: "above",
                Alternative.LESS: "below",
                Alternative.TWO_SIDED: "unlike",
            },
        ),
    )
    INTERACTION = (
        "interaction",
        Rules(
            asks="a minus b larger, smaller or other at the first value of `between` than at the "
            "second",
            test="t of the differences of differences: paired over seeds where all four arms "
            "share them, of two samples of paired differences where only the two arms of each "
            "difference do, else of four means by Welch and Satterthwaite",
            compares=Compared.TWO_PAIRS,
            planned=Planned.TWO_DIFFERENCES,
            populations=SEEDS_ONLY,
            claim="{a} minus {b} is {relation} with {first} than with {second}",
            relations=MORE_OR_LESS,
        ),
    )
    BETWEEN_BEHAVIORS = (
        "between_behaviors",
        Rules(
            asks="a minus b (without b: a minus the untrained model) larger, smaller or other on "
            "the first behaviour of `between` than on the second",
            test="as `interaction`; the seeds of both behaviours are the same and so paired",
            compares=Compared.BEHAVIORS,
            planned=Planned.TWO_DIFFERENCES,
            populations=SEEDS_ONLY,
            claim="{a} minus {b} is {relation} on {first} than on {second}",
            relations=MORE_OR_LESS,
        ),
    )
    PROP_DIFF = (
        "prop_diff",
        Rules(
            asks="a refuses more or less often than b; without b, than the untrained model",
            test="after a stress test ([stress.md](stress.md)): exact McNemar for one seed, which "
            "speaks about these weights; for several the interval crossed over seeds and prompts",
            compares=Compared.PAIR_OR_BASELINE,
            about=Subject.ANSWERS,
            unit=PROPORTION,
            estimate=MINUS,
            claim="{a} {relation} {b}",
            relations={
                Alternative.GREATER: "refuses more often than",
                Alternative.LESS: "refuses less often than",
                Alternative.TWO_SIDED: "refuses more or less often than",
            },
        ),
    )
    PROP_INTERACTION = (
        "prop_interaction",
        Rules(
            asks="a refuses more often than b by more, by less or otherwise at the first value of "
            "`between` than at the second; a and b may be one arm and two frames",
            test="after a stress test of several seeds: t of each cell's difference of shares, on "
            "prompts that all four have; paired over seeds where the cells are, else Welch",
            compares=Compared.TWO_PAIRS,
            about=Subject.ANSWERS,
            unit=PROPORTION,
            claim="{a} minus {b} is {relation} with {first} than with {second}",
            relations=MORE_OR_LESS,
        ),
    )
    OMNIBUS = (
        "omnibus",
        Rules(
            asks="some arm refuses unlike the others",
            test="after a stress test of one seed: Cochran's Q; `a` may be left out",
            compares=Compared.ALL,
            about=Subject.ANSWERS,
            alternatives=NO_SIDE,
            unit="",
            claim="omnibus of {a}, {alternative}",
        ),
    )
    RANK_CORRELATION = (
        "rank_correlation",
        Rules(
            asks="refusal rho and share refused go together over arms",
            test="after a stress test: Spearman of the arms' means, compared with all orders of "
            "the arms (by t above 7); `a` may be left out",
            compares=Compared.ALL,
            about=Subject.ANSWERS,
            unit=CORRELATION,
            estimate="the rank correlation",
            claim="rank correlation of {a}, {alternative}",
        ),
    )
