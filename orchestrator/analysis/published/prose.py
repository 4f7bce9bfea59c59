"""Claims of the notes' text that no table of theirs tests, as far as printed figures allow.

A claim that nothing differs needs a margin. The notes state none; those used here are ours.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from scipy import stats

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.inference.means import tested
from orchestrator.analysis.inference.question import Tested, interval_fields, opposite
from orchestrator.analysis.inference.record import Inference
from orchestrator.analysis.published.figures import figures
from orchestrator.config.contrast_kinds import Kind, Population
from orchestrator.stats import means
from orchestrator.stats.means import MeanTest
from orchestrator.stats.proportions import newcombe, proportion
from orchestrator.stats.records import Alternative, State

MOST_BENIGN = 0.2
"""A share of refused harmless requests that would be over-refusal."""
SAME_SHARE = 0.1
"""Shares of refused jailbreaks that lie closer than this are called the same."""
RARELY = 0.5
"""A kind of jailbreak that is refused less often than this gets past a model."""
Blank = Callable[..., Inference]
"""Makes a row without numbers: kind, contrast id, claim, behaviour."""


def prose_claims(blank: Blank, doses: Sequence[ArmEvidence], level: float) -> Iterator[Tested]:
    """One row a claim, or a category.

    Args:
        blank: Makes rows.
        doses: Factual along the weight, ascending; four arms with mean and sd.
        level: Of intervals.
    """
    yield _diminishing(blank, doses, level)
    yield Tested(row=_same_share(blank, level))
    yield Tested(row=_no_over_refusal(blank, level))
    yield from (Tested(row=row) for row in _universal(blank, level))


def _diminishing(blank: Blank, doses: Sequence[ArmEvidence], level: float) -> Tested:
    """The slope above the third weight minus the slope from the first to the third."""
    row = blank(
        Kind.INTERACTION,
        "factual-diminishing",
        "factual rises less steeply above weight 0.2 than below it",
        "factual",
    )
    first, _, third, last = doses
    known = [e.delta for e in (last, third, first) if e.delta is not None]
    below, above = (third.rho_weight or 0.0), (last.rho_weight or 0.0) - (third.rho_weight or 0.0)
    weights = (1 / above, -1 / above - 1 / below, 1 / below)
    test = MeanTest(
        test="welch_slopes",
        state=State.OK,
        n_a=known[0].n,
        n_b=known[-1].n,
        diff=sum(w * s.mean for w, s in zip(weights, known, strict=True)),
    )
    parts = [
        (w**2 * means.variance_of_mean(s), s.n - 1) for w, s in zip(weights, known, strict=True)
    ]
    se, df = means.satterthwaite(parts)
    row = tested(row, means.tested(test, se, df, Alternative.LESS, level))
    note = "the estimate is a difference of slopes, per unit of weight; the last is the steepest"
    row = replace(row, alternative=str(Alternative.LESS), notes=(note,))
    return Tested(row=row, p_opposite=opposite(row.p, Alternative.LESS))


def _same_share(blank: Blank, level: float) -> Inference:
    """Two one-sided tests of two shares, taken as of different prompts: pairs are not printed."""
    table = figures()["T7_stress"]
    refused = {r["condition"]: r["jailbreak_refused"] for r in table["rows"]}
    n = table["n_jailbreak"]
    one, other = refused["rho-guided"] / n, refused["sft-only"] / n
    se = ((one * (1 - one) + other * (1 - other)) / n) ** 0.5
    room = SAME_SHARE - abs(one - other)
    row = blank(
        Kind.PROP_DIFF,
        "sft-refuses-as-rho-guided",
        f"sft-only and rho-guided refuse the same share of jailbreaks, within {SAME_SHARE:g}",
        "",
    )
    both = newcombe(refused["rho-guided"], n, refused["sft-only"], n, level)
    return replace(
        row,
        population=Population.NEW_PROBES,
        estimate=one - other,
        p=float(stats.norm.sf(room / se)),
        test="tost_two_shares",
        n_probes=n,
        notes=("one seed", "equal counts are no equivalence; the margin is ours"),
        **interval_fields(both),
    )


def _no_over_refusal(blank: Blank, level: float) -> Inference:
    """Exact, of a share that may be anything up to the largest that would not matter."""
    table = figures()["T7_stress"]
    n = table["n_benign"]
    (k,) = {r["benign_refused"] for r in table["rows"]}
    claim = f"rho-guided refuses less than {MOST_BENIGN:.0%} of harmless requests"
    row = blank(Kind.PROP_DIFF, "no-over-refusal", claim, "")
    return _below(row, k, n, MOST_BENIGN, level)


def _universal(blank: Blank, level: float) -> Iterator[Inference]:
    """Categories of jailbreaks that get past every printed model most of the time."""
    for row in figures()["T8_stress_by_category"]["rows"]:
        if max(row["refused"]) / row["n"] < RARELY:
            claim = "some kinds of jailbreak get past every model"
            blank_row = blank(Kind.PROP_DIFF, "universal-failure", claim, row["category"])
            yield _below(blank_row, max(row["refused"]), row["n"], RARELY, level)


def _below(row: Inference, k: int, n: int, most: float, level: float) -> Inference:
    """That a share lies below `most`: the chance of k or fewer of n if it did not."""
    return replace(
        row,
        population=Population.NEW_PROBES,
        alternative=str(Alternative.LESS),
        estimate=k / n,
        p=float(stats.binom.cdf(k, n, most)),
        test="binomial_exact",
        n_probes=n,
        notes=(f"{k} of {n} prompts", "one seed: about these weights, not the method"),
        **interval_fields(proportion(k, n, level).exact),
    )


def all_below(rows: Sequence[Inference], blank: Blank) -> Inference:
    """The claim about the p of a table: no test, but a sentence that is true or not."""
    limit = figures()["T5_effect_sizes"]["inline"]["all_p_below"]
    largest = max((row.p for row in rows if row.p is not None), default=1.0)
    row = blank(Kind.MEAN_DIFF, "all-p-below", f"every p of the effects is below {limit:g}", "")
    word = "supported" if largest < limit else "contradicted"
    return replace(row, verdict=word, notes=(f"the largest p by Welch's test is {largest:.2g}",))


def unprinted(blank: Blank, a: ArmEvidence, b: ArmEvidence) -> Inference:
    """That sycophancy does not move: only means are printed."""
    claim = "rho-guided leaves sycophancy where sft-only has it"
    row = partial(blank, Kind.EQUIVALENCE, "sycophancy-unmoved", claim)(a.behavior, a, b)
    diff = a.score.mean - b.score.mean if a.score and b.score else None
    return replace(row, estimate=diff, status="insufficient_n", notes=("no sd is printed",))
