"""T14: estimates beside the tests, for few seeds; they start from a prior, and never decide."""

from collections.abc import Iterable, Iterator
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.evidence.refusals import SETS, Refusals, names, stressed
from orchestrator.analysis.tables.arms import CONDITION, SETTINGS, Arms
from orchestrator.analysis.tables.columns import NAT, count, data, interval, plain, signed, words
from orchestrator.analysis.tables.view import Missing, Row, View, level_text
from orchestrator.stats.beside.estimates import hierarchy, share
from orchestrator.stats.records import ALPHA, Interval

KEY, NAME, OF_REFUSALS = "T14", "estimates", "refusal_estimates"
MEAN = "mean of behaviors"
MOST_ARMS = 24
"""Each takes a tenth of a second."""
NO_VERDICT = "Estimates start from a prior: they are no tests, and no verdict rests on them."


def estimates(arms: Arms) -> View | Missing:
    """Each arm's differences to its sft-only arm, as its behaviours together let them appear."""
    if len(arms.trained) > MOST_ARMS:
        reason = f"{len(arms.trained)} arms; estimates stop at {MOST_ARMS}"
        return Missing(key=KEY, name=NAME, reason=reason)
    rows = [row for arm in arms.trained for row in _of_arm(arms, arm)]
    if not rows:
        reason = "no arm beside sft-only that has a spread over seeds on two behaviors"
        return Missing(key=KEY, name=NAME, reason=reason)
    return View(
        key=KEY,
        name=NAME,
        title=arms.title("Estimates, never verdicts: differences to sft-only", (None,)),
        columns=(
            CONDITION,
            words("Behavior", "behavior"),
            words("Against", "reference"),
            count("seeds", "n"),
            signed("measured", "measured", NAT),
            plain("se", "se", NAT),
            signed("estimate", "estimate", NAT),
            interval(f"{level_text(arms.level)} interval", "low", "high", NAT),
            plain("P(above 0)", "above"),
            plain("P(below 0)", "below"),
            plain("sd between behaviors", "tau", NAT),
            *data(plain("df", "df"), words("prior", "prior")),
            *SETTINGS,
        ),
        rows=tuple(rows),
        notes=(
            NO_VERDICT,
            "The effects of an arm are taken as normal over behaviors, and their errors as "
            "independent, although behaviors share seeds.",
        ),
    )


def _of_arm(arms: Arms, arm: ArmEvidence) -> Iterator[Row]:
    """Rows of one arm: each behaviour with a standard error, then their mean."""
    found = []
    for behavior in arms.behaviors:
        a = arms.get(arm, behavior)
        b = arms.reference(a) if a else None
        if a is None or b is None or a.arm_id == b.arm_id:
            continue
        compared = arms.compare(a, b)
        test = compared.test
        if test.diff is not None and test.se and test.df is not None:
            n = compared.n_pairs or min(compared.n_a, compared.n_b)
            found.append((behavior, arms.label(b), n, test.diff, test.se, test.df))
    if len(found) < 2:
        return
    behaviors, labels, ns, diffs, ses, dfs = zip(*found, strict=True)
    whole = hierarchy(diffs, ses, dfs, arms.level)
    for behavior, label, n, df, one in zip(behaviors, labels, ns, dfs, whole.effects, strict=True):
        yield {
            **arms.identity(arm),
            "behavior": behavior,
            "reference": label,
            "n": n,
            "measured": one.raw,
            "se": one.se,
            "df": df,
            **_estimated(one.estimate, one.interval),
            "above": one.above,
            "below": 1 - one.above,
        }
    yield {
        **arms.identity(arm),
        "behavior": MEAN,
        "reference": labels[0],
        "n": min(ns),
        **_estimated(whole.mean, whole.mean_interval),
        "above": whole.mean_above,
        "below": 1 - whole.mean_above,
        "tau": whole.tau,
        "prior": whole.prior,
    }


def _estimated(value: float, found: Interval) -> dict[str, Any]:
    return {"estimate": value, "low": found.low, "high": found.high}


def refusal_estimates(refusals: Iterable[Refusals], alpha: float = ALPHA) -> View | Missing:
    """The share that each cell refuses of each set of prompts, from the counts of its answers."""
    arms = stressed(refusals)
    label = names(arms)
    rows = []
    for arm in arms:
        head = arm.head
        for which in SETS:
            answers = arm.sets[which]
            for seed in answers.seeds if answers.one_each else ():
                mine = [r for (of, _), r in answers.counts.items() if of == seed]
                k, n = sum(r.refused for r in mine), sum(r.judged for r in mine)
                if not n:
                    continue
                found = share(k, n, 1 - alpha)
                rows.append(
                    {
                        "condition": str(head.condition),
                        "arm": label[head.arm_id],
                        "rho_weight": head.rho_weight,
                        "margin": head.margin,
                        "settings": head.settings or None,
                        "seed": mine[0].seed,
                        "prompts": which,
                        "refused": k,
                        "judged": n,
                        **_estimated(found.estimate, found.interval),
                    }
                )
    if not rows:
        reason = "no judged answers, or several of one cell to a prompt"
        return Missing(key=KEY, name=OF_REFUSALS, reason=reason)
    return View(
        key=KEY,
        name=OF_REFUSALS,
        title="Estimates, never verdicts: share refused by each cell",
        columns=(
            CONDITION,
            count("seed", "seed"),
            words("Prompts", "prompts"),
            count("refused", "refused", "answer"),
            count("judged", "judged", "answer"),
            plain("share", "estimate"),
            interval(f"{level_text(1 - alpha)} interval", "low", "high"),
            *SETTINGS,
        ),
        rows=tuple(rows),
        notes=(
            NO_VERDICT,
            "Of each cell by itself, by Jeffreys's prior: about these weights and such prompts. "
            "Cells with several answers to a prompt are left out.",
        ),
    )
