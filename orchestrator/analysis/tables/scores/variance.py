"""T3: whether arms vary less over seeds than their sft-only arm; columns for sd and variance."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import log
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.tables.arms import SETTINGS, Arms
from orchestrator.analysis.tables.columns import (
    NAT,
    SIGMA,
    count,
    data,
    interval,
    of_notes,
    p_value,
    percent,
    plain,
    signed,
    words,
)
from orchestrator.analysis.tables.verdicts import COLUMNS, NOTHING_ASKED, OF_CLAIMS, Verdicts
from orchestrator.analysis.tables.view import Column, Missing, View
from orchestrator.config.contrast_kinds import Kind
from orchestrator.stats.multiplicity import holm
from orchestrator.stats.records import State
from orchestrator.stats.spread import (
    MIN_BROWN_FORSYTHE,
    MIN_N,
    Spread,
    sd_ratio,
    sd_ratio_from_summaries,
)

KEY, NAME = "T3", "variance"
F_TEST, JACKKNIFE, BROWN_FORSYTHE = "f_normal_theory", "jackknife", "brown_forsythe"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """An arm, its sft-only arm, and the ratio of their sds over seeds."""

    arm: ArmEvidence
    reference: ArmEvidence
    spread: Spread

    @property
    def chosen(self) -> tuple[float | None, str | None]:
        """(p, test): the test with the fewest assumptions that the data allow."""
        if self.spread.p_brown_forsythe is not None:
            return self.spread.p_brown_forsythe, BROWN_FORSYTHE
        if self.spread.p_jackknife is not None:
            return self.spread.p_jackknife, JACKKNIFE
        return self.spread.p_f, F_TEST if self.spread.p_f is not None else None


def variance(
    arms: Arms,
    show: Callable[[ArmEvidence], bool] = lambda _: True,
    verdicts: Verdicts = NOTHING_ASKED,
) -> View | Missing:
    """Sd over seeds by behaviour: sft-only beside each other arm.

    Args:
        arms: Evidence of one split.
        show: Which arms get rows. All are searched, and p is adjusted for all.
        verdicts: Of contrasts about sds; without one a row has no verdict.
    """
    lines = list(_lines(arms))
    if not lines:
        return Missing(key=KEY, name=NAME, reason="no arm beside sft-only has two seeds")
    adjusted = holm([line.chosen[0] for line in lines])
    searched = {
        b: sum(o.arm.behavior == b and o.chosen[0] is not None for o in lines)
        for b in arms.behaviors
    }
    rows = [
        _row(arms, line, searched[line.arm.behavior], p)
        | verdicts.beside(
            Kind.SD_RATIO,
            (line.reference.arm_id, line.arm.arm_id),
            line.arm.behavior,
            arms.split,
            log(line.spread.ratio) if line.spread.ratio else None,
        )
        for line, p in zip(lines, adjusted, strict=True)
        if show(line.arm)
    ]
    ns = [n for r in rows for n in (r["n_a"], r["n_b"])]
    labels = {r["arm"] for r in rows}
    tested = sum(p is not None for p in adjusted)
    note = f"p adjusted: Holm over all arms and behaviors searched ({tested})."
    if not tested:
        note = f"Nothing is tested: that takes {MIN_N} seeds in both arms, and a spread."
    return View(
        key=KEY,
        name=NAME,
        title=arms.title("Sd over seeds beside SFT alone", ns),
        columns=_columns(labels.pop() if len(labels) == 1 else None, arms.ci),
        rows=tuple(rows),
        notes=(note, *([OF_CLAIMS] if any(r["verdict"] for r in rows) else [])),
    )


def _lines(arms: Arms) -> Iterator[_Line]:
    """Arms with two seeds whose sft-only arm has two; from summaries where seeds are not known."""
    for arm in (arm for behavior in arms.behaviors for arm in arms.on(behavior)):
        reference = arms.reference(arm)
        if reference is None or reference.arm_id == arm.arm_id:
            continue
        if not (reference.delta and arm.delta) or min(reference.n, arm.n) < 2:
            continue
        if reference.deltas and arm.deltas:
            raw = [list(e.deltas.values()) for e in (reference, arm)]
            spread = sd_ratio(raw[0], raw[1], level=arms.level)
        else:
            spread = sd_ratio_from_summaries(reference.delta, arm.delta, level=arms.level)
        yield _Line(arm=arm, reference=reference, spread=spread)


def _row(arms: Arms, line: _Line, searched: int, p: float | None) -> dict[str, Any]:
    found, jackknife = line.spread, line.spread.ratio_jackknife
    low_a, high_a = line.reference.delta_range or (None, None)
    low_b, high_b = line.arm.delta_range or (None, None)
    raw = bool(line.reference.deltas and line.arm.deltas)
    few = min(found.n_a, found.n_b) < MIN_BROWN_FORSYTHE
    text = None if found.ratio is None else f"{found.ratio:.2f}"
    if text and found.ratio_f:
        text += f" [{found.ratio_f.low:.2f}, {found.ratio_f.high:.2f}]"
    why = None  # why there is no jackknife interval
    if jackknife is None:
        state = "none" if found.state is State.OK else str(found.state)
        why = state if raw else "needs raw"
    return {
        **arms.identity(line.arm),
        "behavior": line.arm.behavior,
        "sd_a": found.sd_a,
        "sd_b": found.sd_b,
        "reduction_pct": found.reduction_pct,
        "n_a": found.n_a,
        "n_b": found.n_b,
        "n_text": f"{found.n_a}/{found.n_b}",
        "min_a": low_a,
        "max_a": high_a,
        "min_b": low_b,
        "max_b": high_b,
        "variance_reduction_pct": found.variance_reduction_pct,
        "sd_ratio": found.ratio,
        "ratio_low": found.ratio_f.low if found.ratio_f else None,
        "ratio_high": found.ratio_f.high if found.ratio_f else None,
        "ratio_text": text,
        "p_f_normal_theory": found.p_f,
        "p_brown_forsythe": found.p_brown_forsythe,
        "forsythe_text": f"n < {MIN_BROWN_FORSYTHE}" if few else None if raw else "needs raw",
        "n_arms_searched": searched,
        "p_adjusted": p,
        "jackknife_low": jackknife.interval.low if jackknife else None,
        "jackknife_high": jackknife.interval.high if jackknife else None,
        "jackknife_text": why,
        "p_jackknife": found.p_jackknife,
        "p_from": line.chosen[1],
    }


def _columns(only: str | None, ci: str) -> tuple[Column, ...]:
    """If all rows are of the arm `only`, headings name it; else each row has a column for it."""
    name = only or "arm"
    return (
        *of_notes(
            words("Behavior", "behavior"),
            plain(f"{SIGMA}(sft-only)", "sd_a", NAT),
            plain(f"{SIGMA}({name})", "sd_b", NAT),
            percent("Reduction of sd", "reduction_pct"),
        ),
        count("n", "n_a", instead="n_text"),
        *data(count("n_b", "n_b")),
        *data(*(signed(f, f, NAT) for f in ("min_a", "max_a", "min_b", "max_b"))),
        percent("Reduction of variance", "variance_reduction_pct"),
        plain(f"sd ratio [{ci}, normal theory]", "sd_ratio", digits=2, instead="ratio_text"),
        *data(interval("ratio interval", "ratio_low", "ratio_high", digits=2)),
        p_value("p F (normal theory)", "p_f_normal_theory"),
        p_value("p Brown-Forsythe", "p_brown_forsythe", instead="forsythe_text"),
        count("arms searched", "n_arms_searched"),
        p_value("p adjusted", "p_adjusted"),
        *COLUMNS,
        interval(
            "sd ratio, jackknife CI",
            "jackknife_low",
            "jackknife_high",
            digits=2,
            instead="jackknife_text",
        ),
        *data(p_value("p jackknife", "p_jackknife"), words("p from", "p_from")),
        *(data(words("Arm", "arm")) if only else (words("Arm", "arm"),)),
        *data(words("condition", "condition")),
        *SETTINGS,
    )
