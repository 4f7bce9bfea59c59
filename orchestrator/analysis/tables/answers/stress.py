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
from orchestrator.analysis.tables.answers.columns import (
    STRESS,
    range_text,
    share_text,
    stress_columns,
)
from orchestrator.analysis.tables.view import Missing, Row, View, p_text
from orchestrator.stats.crossed import MIN_N, crossed
from orchestrator.stats.multiplicity import holm
from orchestrator.stats.proportions import cochran_q, mcnemar, newcombe, proportion
from orchestrator.stats.records import (
    ALPHA,
    Alternative,
    Interval,
)
from orchestrator.stats.verdict import decide
from tasks.contract.cell import Condition

KEY, NAME = STRESS
WILSON, CROSSED = "wilson", "seeds x prompts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """Jailbreak refusals of an arm beside the baseline's; None is "cannot be told".

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


def stress(counts: Iterable[Refusals], alpha: float = ALPHA) -> View | Missing:
    """Shares refused, each arm beside the baseline."""
    found = stressed(counts)
    if not any(s.sets[JAILBREAK].n for s in found):
        return Missing(key=KEY, name=NAME, reason="no judged answers to jailbreaks")
    against = [beside_baseline(found, s, 1 - alpha) for s in found]
    adjusted = holm([a.p if a else None for a in against])
    name = names(found)
    rows = [
        _row(s, name[s.head.arm_id], a, p, alpha)
        for s, a, p in zip(found, against, adjusted, strict=True)
    ]
    matched = any(s.sets[MATCHED].n for s in found)
    seeds = {r["n_seeds"] for r in rows if r["condition"] != Condition.BASELINE}
    many = seeds_text(seeds.pop()) if len(seeds) == 1 else "seeds vary"
    return View(
        key=KEY,
        name=NAME,
        title=f"Refusals under stress, {many}{_asked(found)}",
        columns=stress_columns(matched=matched, level=1 - alpha),
        rows=tuple(rows),
        notes=_notes(found, against),
    )


def seeds_text(seeds: int) -> str:
    """e.g. `3 seeds an arm`."""
    return f"{seeds} seed{'s' if seeds != 1 else ''} an arm"


def _asked(found: Sequence[Stressed]) -> str:
    texts = sorted({s.head.asked for s in found if s.head.asked})
    return "".join(f"; {t}" for t in texts)


def beside_baseline(found: Sequence[Stressed], arm: Stressed, level: float) -> Against | None:
    """None for the baseline itself, and without a baseline."""
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
        return _over_seeds(differences, level)
    if not (one.one_each and base.one_each):
        return Against(diff=float(differences.mean()))
    gain, loss = int((differences > 0).sum()), int((differences < 0).sum())
    test = mcnemar(gain, loss, len(prompts), level=level)
    return Against(
        diff=test.diff, interval=test.interval, p=test.p, test="mcnemar", gain=gain, loss=loss
    )


def _over_seeds(differences: np.ndarray, level: float) -> Against:
    """(seeds, prompts): what new seeds and new prompts would show."""
    found = crossed(differences, level=level)
    return Against(diff=found.mean, interval=found.both, p=found.p, test="crossed")


def _row(
    arm: Stressed, name: str, against: Against | None, p_holm: float | None, alpha: float
) -> Row:
    head, attack = arm.head, arm.sets[JAILBREAK]
    inside, method = share_interval(attack, 1 - alpha)
    twin, _ = share_interval(arm.sets[MATCHED], 1 - alpha)
    row: dict[str, Any] = {
        "condition": str(head.condition),
        "arm": name,
        "rho_weight": head.rho_weight,
        "margin": head.margin,
        "settings": head.settings or None,
        "n_seeds": len(attack.seeds),
        "jb_low": inside.low if inside else None,
        "jb_high": inside.high if inside else None,
        "jb_text": range_text(inside),
        "ci_method": method,
        "matched_low": twin.low if twin else None,
        "matched_high": twin.high if twin else None,
        "twin_text": range_text(twin),
        "judge": head.judge or None,
        **_benign(arm.sets[BENIGN], 1 - alpha),
        **_apart(arm, 1 - alpha),
    }
    for which in SETS:
        row |= _counts(which, arm.sets[which])
    row["outside"] = _outside(arm)
    return row | (_tested(against, p_holm, alpha) if against else {"discordant_text": "ref"})


def _counts(which: str, answers: Answers) -> dict[str, Any]:
    k, n = answers.k, answers.n
    return {
        f"{which}_pct": 100 * k / n if n else None,
        f"{which}_k": k if n else None,
        f"{which}_n": n,
        f"{which}_text": share_text(k, n),
        f"{which}_unjudged": answers.unjudged,
        f"{which}_degenerate": answers.degenerate,
    }


def _tested(against: Against, p_holm: float | None, alpha: float) -> dict[str, Any]:
    both = against.gain is not None and against.loss is not None
    return {
        "diff_vs_baseline": against.diff,
        "diff_low": against.interval.low if against.interval else None,
        "diff_high": against.interval.high if against.interval else None,
        "gain": against.gain,
        "loss": against.loss,
        "discordant_text": f"{against.gain}/{against.loss}" if both else None,
        "p": against.p,
        "p_holm": p_holm,
        "test": against.test,
        "status": str(decide(p_holm, Alternative.TWO_SIDED, alpha)),
    }


def share_interval(answers: Answers, level: float) -> tuple[Interval | None, str | None]:
    """(interval, how): Wilson's for one seed; for several, seeds and prompts both anew."""
    prompts = answers.complete()
    if not prompts:
        return None, None
    if len(answers.seeds) > 1:
        both = crossed(answers.rates(prompts), level=level).both
        if both is None:
            return None, None
        inside = Interval(low=max(0.0, both.low), high=min(1.0, both.high), level=both.level)
        return inside, CROSSED
    if not answers.one_each:
        return None, None
    return proportion(answers.k, answers.n, level).wilson, WILSON


def _benign(answers: Answers, level: float) -> dict[str, Any]:
    """Upper limits; of several seeds, of the prompts that any seed refuses."""
    prompts = answers.complete()
    if not prompts:
        return {}
    ever = int((answers.rates(prompts) > 0).any(axis=0).sum())
    found = proportion(ever, len(prompts), level)
    return {"benign_upper": found.wilson.high, "benign_upper_exact": found.exact.high}


def _apart(arm: Stressed, level: float) -> dict[str, Any]:
    """Jailbreaks minus harmless twins: telling them apart, not refusing both."""
    attack, twin = arm.sets[JAILBREAK], arm.sets[MATCHED]
    if not (attack.n and twin.n):
        return {}
    found = None
    if len(attack.seeds) == 1 and attack.one_each and twin.one_each:
        found = newcombe(attack.k, attack.n, twin.k, twin.n, level)
    return {
        "jailbreak_minus_matched": attack.k / attack.n - twin.k / twin.n,
        "apart_low": found.low if found else None,
        "apart_high": found.high if found else None,
    }


def _outside(arm: Stressed) -> str | None:
    parts = [
        f"{which}: {a.unjudged} unjudged, {a.degenerate} degenerate"
        for which in SETS
        if (a := arm.sets[which]).unjudged or a.degenerate
    ]
    return "; ".join(parts) or None


def _notes(found: Sequence[Stressed], against: Sequence[Against | None]) -> tuple[str, ...]:
    notes = []
    if any(a and a.test == "mcnemar" for a in against):
        notes.append("One seed: p is about these weights, not the method.")
    crossed_ = [a for a in against if a and a.test == "crossed"]
    if crossed_:
        notes.append("Several seeds: p is about new seeds and new prompts, by paired prompts.")
    if any(a.p is None for a in crossed_):
        notes.append(f"Where p is missing: it needs {MIN_N} seeds and {MIN_N} prompts that vary.")
    if any(s.sets[w].unjudged or s.sets[w].degenerate for s in found for w in SETS):
        notes.append("Answers without a verdict are in neither number of a share.")
    return (*notes, *_omnibus(found))


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
