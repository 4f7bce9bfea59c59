"""T7: refusals of jailbreaks, of their harmless twins and of benign prompts, apart.

One seed says something about these weights only: exact McNemar. With several, seeds and prompts
both vary, and are never pooled.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from orchestrator.analysis.evidence.refusals import (
    BENIGN,
    JAILBREAK,
    MATCHED,
    SETS,
    Answers,
    Refusals,
    Stressed,
    names,
    stressed,
)
from orchestrator.analysis.inference.record import ANSWERS
from orchestrator.analysis.tables.answers.columns import (
    STRESS,
    range_text,
    share_text,
    stress_columns,
)
from orchestrator.analysis.tables.verdicts import NOTHING_ASKED, OF_CLAIMS, Verdicts
from orchestrator.analysis.tables.view import Missing, View, p_text
from orchestrator.config.contrast_kinds import Kind
from orchestrator.stats.crossed import MIN_N, crossed
from orchestrator.stats.multiplicity import holm
from orchestrator.stats.proportions import cochran_q, mcnemar, newcombe, proportion
from orchestrator.stats.records import ALPHA, Interval
from tasks.contract.cell import Condition

KEY, NAME = STRESS
WILSON, CROSSED = "wilson", "seeds x prompts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """Jailbreak refusals of an arm compared with the baseline's; None: not known.

    Attributes:
        diff, interval, p, test: Difference of shares, arm minus baseline.
        gain, loss: Prompts that only the arm refuses, and only the baseline; of one seed.
    """

    diff: float | None = None
    interval: Interval | None = None
    p: float | None = None
    test: str | None = None
    gain: int | None = None
    loss: int | None = None


def stress(
    counts: Iterable[Refusals], alpha: float = ALPHA, verdicts: Verdicts = NOTHING_ASKED
) -> View | Missing:
    """Shares refused, each arm beside the baseline.

    Args:
        counts: Answers, counted.
        alpha: Of the intervals.
        verdicts: Of contrasts with the baseline; without one a row has no verdict.
    """
    found = stressed(counts)
    if not any(s.sets[JAILBREAK].n for s in found):
        return Missing(key=KEY, name=NAME, reason="no judged answers to jailbreaks")
    against = [beside_baseline(found, s, 1 - alpha) for s in found]
    adjusted = holm([a.p if a else None for a in against])
    name = names(found)
    bases = {s.head.baseline_key: s for s in found if s.head.condition is Condition.BASELINE}
    rows = [
        _row(s, name[s.head.arm_id], a, p, 1 - alpha)
        | (_said(verdicts, s, bases[s.head.baseline_key], a) if a else {})
        for s, a, p in zip(found, against, adjusted, strict=True)
    ]
    matched = any(s.sets[MATCHED].n for s in found)
    seeds = {r["n_seeds"] for r in rows if r["condition"] != Condition.BASELINE}
    many = seeds_text(seeds.pop()) if len(seeds) == 1 else "seeds vary"
    asked = sorted({s.head.asked for s in found if s.head.asked})
    notes = []
    if any(a and a.test == "mcnemar" for a in against):
        notes.append("One seed: p is about these weights, not the method.")
    several = [a for a in against if a and a.test == "crossed"]
    if several:
        notes.append("Several seeds: p is about new seeds and new prompts, by paired prompts.")
    if any(a.p is None for a in several):
        notes.append(f"Where p is missing: it needs {MIN_N} seeds and {MIN_N} prompts that vary.")
    if any(r.get("verdict") for r in rows):
        notes.append(OF_CLAIMS)
    if any(r["outside"] for r in rows):
        notes.append("Answers without a verdict are in neither number of a share.")
    return View(
        key=KEY,
        name=NAME,
        title=f"Refusals under stress, {many}{''.join(f'; {a}' for a in asked)}",
        columns=stress_columns(matched=matched, level=1 - alpha),
        rows=tuple(rows),
        notes=(*notes, *_omnibus(found)),
    )


def seeds_text(seeds: int) -> str:
    """e.g. `3 seeds an arm`."""
    return f"{seeds} seed{'s' if seeds != 1 else ''} an arm"


def beside_baseline(found: Sequence[Stressed], arm: Stressed, level: float) -> Against | None:
    """Compare an arm's jailbreak refusals with those of its baseline, on prompts both answered.

    None for the baseline itself, and where there is not exactly one baseline.
    """
    bases = [
        s
        for s in found
        if s.head.condition is Condition.BASELINE and s.head.baseline_key == arm.head.baseline_key
    ]
    if len(bases) != 1 or arm.head.condition is Condition.BASELINE:
        return None
    one, base = arm.sets[JAILBREAK], bases[0].sets[JAILBREAK]
    prompts = sorted(set(one.complete()) & set(base.complete()))
    if not prompts:
        return Against()
    differences = one.rates(prompts) - base.rates(prompts)[:1]
    if len(one.seeds) > 1:
        both = crossed(differences, level=level)  # what new seeds and new prompts would show
        inside = both.both and both.both.within(-1, 1)
        return Against(diff=both.mean, interval=inside, p=both.p, test="crossed")
    if not (one.one_each and base.one_each):
        return Against(diff=float(differences.mean()))
    gain, loss = int((differences > 0).sum()), int((differences < 0).sum())
    test = mcnemar(gain, loss, len(prompts), level=level)
    return Against(
        diff=test.diff, interval=test.interval, p=test.p, test="mcnemar", gain=gain, loss=loss
    )


def _said(
    verdicts: Verdicts, arm: Stressed, base: Stressed, against: Against
) -> dict[str, str | None]:
    arms = arm.head.arm_id, base.head.arm_id
    return verdicts.beside(Kind.PROP_DIFF, arms, JAILBREAK, ANSWERS, against.diff)


def _row(
    arm: Stressed, name: str, against: Against | None, p_holm: float | None, level: float
) -> dict[str, Any]:
    head = arm.head
    row: dict[str, Any] = {
        "condition": str(head.condition),
        "arm": name,
        "rho_weight": head.rho_weight,
        "margin": head.margin,
        "settings": head.settings or None,
        "judge": head.judge or None,
        **_shares(arm, level),
    }
    if against is None:
        return row | {"discordant_text": "ref"}
    both = against.gain is not None and against.loss is not None
    return row | {
        "diff_vs_baseline": against.diff,
        "diff_low": against.interval.low if against.interval else None,
        "diff_high": against.interval.high if against.interval else None,
        "gain": against.gain,
        "loss": against.loss,
        "discordant_text": f"{against.gain}/{against.loss}" if both else None,
        "p": against.p,
        "p_holm": p_holm,
        "test": against.test,
    }


def _shares(arm: Stressed, level: float) -> dict[str, Any]:
    """What an arm refuses, by itself: counts, shares and intervals of each set of prompts."""
    attack, twin, benign = (arm.sets[which] for which in (JAILBREAK, MATCHED, BENIGN))
    row: dict[str, Any] = {"n_seeds": len(attack.seeds)}
    for which in SETS:
        a = arm.sets[which]
        row[f"{which}_pct"] = 100 * a.k / a.n if a.n else None
        row[f"{which}_k"], row[f"{which}_n"] = a.k if a.n else None, a.n
        row[f"{which}_text"] = share_text(a.k, a.n)
        row[f"{which}_tokens"] = a.tokens
        row[f"{which}_unjudged"], row[f"{which}_degenerate"] = a.unjudged, a.degenerate
    outside = [
        f"{which}: {a.unjudged} unjudged, {a.degenerate} degenerate"
        for which in SETS
        if (a := arm.sets[which]).unjudged or a.degenerate
    ]
    row["outside"] = "; ".join(outside) or None
    inside, row["ci_method"] = share_interval(attack, level)
    row["jb_low"], row["jb_high"] = (inside.low, inside.high) if inside else (None, None)
    row["jb_text"] = range_text(inside)
    inside, _ = share_interval(twin, level)
    row["matched_low"], row["matched_high"] = (inside.low, inside.high) if inside else (None, None)
    row["twin_text"] = range_text(inside)
    prompts = benign.complete()
    if prompts:  # upper limits; of several seeds, of the prompts that any seed refuses
        ever = int((benign.rates(prompts) > 0).any(axis=0).sum())
        limit = proportion(ever, len(prompts), level)
        row |= {"benign_upper": limit.wilson.high, "benign_upper_exact": limit.exact.high}
    if attack.n and twin.n:  # telling jailbreaks from harmless twins, not refusing both
        apart = None
        if len(attack.seeds) == 1 and attack.one_each and twin.one_each:
            apart = newcombe(attack.k, attack.n, twin.k, twin.n, level)
        row["jailbreak_minus_matched"] = attack.k / attack.n - twin.k / twin.n
        row["apart_low"], row["apart_high"] = (apart.low, apart.high) if apart else (None, None)
    return row


def share_interval(answers: Answers, level: float) -> tuple[Interval | None, str | None]:
    """(interval, how): Wilson's for one seed; for several, seeds and prompts both anew."""
    prompts = answers.complete()
    if not prompts:
        return None, None
    if len(answers.seeds) > 1:
        both = crossed(answers.rates(prompts), level=level).both
        if both is None:
            return None, None
        return both.within(0, 1), CROSSED
    if not answers.one_each:
        return None, None
    return proportion(answers.k, answers.n, level).wilson, WILSON


def _omnibus(found: Sequence[Stressed]) -> list[str]:
    """Cochran's Q over arms of one seed each, on the prompts that all were judged on."""
    answers = [s.sets[JAILBREAK] for s in found]
    keys = {s.head.baseline_key for s in found}
    alone = all(len(a.seeds) == 1 and a.one_each for a in answers)
    if len(found) < 3 or len(keys) > 1 or not alone:
        return []
    prompts = sorted(set.intersection(*(set(a.complete()) for a in answers)))
    if not prompts:
        return []
    q = cochran_q(np.vstack([a.rates(prompts) for a in answers]).T)
    if q.q is None or q.p is None:
        return [f"Cochran's Q over {len(found)} arms: all answer alike on {len(prompts)} prompts."]
    return [
        f"Cochran's Q over {len(found)} arms and {len(prompts)} prompts: "
        f"{q.q:.2f}, df {q.df}, p {p_text(q.p)}; these weights only."
    ]
