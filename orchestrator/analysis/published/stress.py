"""T7 and T8 of the published notes: counts by category are printed, answers are not.

What can be told of paired answers are bounds: every set of answers with these counts has a p
between them.
"""

from typing import Any

from orchestrator.analysis.published.figures import arm_of, figures
from orchestrator.analysis.tables.answers.categories import category_title
from orchestrator.analysis.tables.answers.columns import (
    BY_CATEGORY,
    STRESS,
    SUM,
    category_columns,
    count_text,
    range_text,
    share_text,
    stress_columns,
)
from orchestrator.analysis.tables.answers.stress import WILSON, seeds_text
from orchestrator.analysis.tables.view import Row, View
from orchestrator.stats.multiplicity import holm
from orchestrator.stats.proportions import McNemarBounds, mcnemar_bounds, proportion
from orchestrator.stats.records import ALPHA
from tasks.contract.cell import Condition


def printed_stress(alpha: float = ALPHA) -> View:
    """Refusals of the printed arms, each beside the baseline by bounds."""
    table, by_category = figures()["T7_stress"], figures()["T8_stress_by_category"]
    places = {name: i for i, name in enumerate(by_category["conditions"])}
    base = places[Condition.BASELINE]
    bounds = [
        None
        if row["condition"] == Condition.BASELINE
        else mcnemar_bounds(
            [
                (r["n"], r["refused"][base], r["refused"][places[row["condition"]]])
                for r in by_category["rows"]
            ]
        )
        for row in table["rows"]
    ]
    low = holm([b.p_min if b else None for b in bounds])
    high = holm([b.p_max if b else None for b in bounds])
    rows = [
        {**_row(row, 1 - alpha), **_tested(b, p_low, p_high)}
        for row, b, p_low, p_high in zip(table["rows"], bounds, low, high, strict=True)
    ]
    key, name = STRESS
    return View(
        key=key,
        name=name,
        title=f"Refusals under stress, {seeds_text(table['n_seeds_printed'])}",
        columns=stress_columns(matched=False, level=1 - alpha),
        rows=tuple(rows),
        notes=(
            "One seed: p is about these weights, not the method.",
            "Only counts by category are printed: gain/loss and p are bounds over all answers "
            "that have these counts.",
        ),
    )


def printed_categories() -> View:
    """Refused jailbreaks by category, and their sum."""
    table = figures()["T8_stress_by_category"]
    names = table["conditions"]
    rows = [_category(r["category"], r["n"], r["refused"], names) for r in table["rows"]]
    total = [sum(r["refused"][i] for r in table["rows"]) for i in range(len(names))]
    n = sum(r["n"] for r in table["rows"])
    least = sum(r["least"] for r in rows)
    key, name = BY_CATEGORY
    return View(
        key=key,
        name=name,
        title=category_title(len(rows)),
        columns=category_columns(names),
        rows=(*rows, _category(SUM, n, total, names) | _at_least(least, n)),
        notes=("Prompts on which arms differ: at least as many as the counts demand.",),
    )


def _row(row: Row, level: float) -> dict[str, Any]:
    table = figures()["T7_stress"]
    n, n_benign = table["n_jailbreak"], table["n_benign"]
    k, k_benign = row["jailbreak_refused"], row["benign_refused"]
    attack, benign = proportion(k, n, level), proportion(k_benign, n_benign, level)
    main = figures()["T4_ablation_means"]
    condition, weight, margin = arm_of(row["condition"], main["lambda_rho"], main["gamma"])
    return {
        "condition": str(condition),
        "arm": str(condition),
        "rho_weight": weight,
        "margin": margin,
        "jailbreak_pct": 100 * attack.estimate,
        "jailbreak_k": k,
        "jailbreak_n": n,
        "jailbreak_text": share_text(k, n),
        "benign_pct": 100 * benign.estimate,
        "benign_k": k_benign,
        "benign_n": n_benign,
        "benign_text": share_text(k_benign, n_benign),
        "n_seeds": table["n_seeds_printed"],
        "jb_low": attack.wilson.low,
        "jb_high": attack.wilson.high,
        "jb_text": range_text(attack.wilson),
        "ci_method": WILSON,
        "benign_upper": benign.wilson.high,
        "benign_upper_exact": benign.exact.high,
        "printed_pct": row["jailbreak_pct"],
    }


def _tested(bounds: McNemarBounds | None, low: float | None, high: float | None) -> dict[str, Any]:
    if bounds is None or low is None or high is None:
        return {"discordant_text": "ref"}
    first, last = bounds.feasible[0], bounds.feasible[-1]
    gain, loss = first
    return {
        "diff_vs_baseline": (gain - loss) / figures()["T7_stress"]["n_jailbreak"],
        "feasible": bounds.feasible,
        "discordant_text": f"{first[0]}/{first[1]} … {last[0]}/{last[1]} (bounds)",
        "p_min": bounds.p_min,
        "p_max": bounds.p_max,
        "p_text": _range_text(bounds.p_min, bounds.p_max),
        "p_holm_min": low,
        "p_holm_max": high,
        "p_holm_text": _range_text(low, high),
        "test": "mcnemar, bounds",
    }


def _range_text(low: float, high: float) -> str:
    first, last = f"{low:.2f}", f"{high:.2f}"
    return first if first == last else f"{first} to {last}"


def _category(category: str, n: int, refused: list[int], names: list[str]) -> dict[str, Any]:
    least = max(refused) - min(refused)
    row: dict[str, Any] = {"category": category, "n": n, "n_seeds": 1, "least": least}
    for name, k in zip(names, refused, strict=True):
        row |= {f"{name}_k": k, f"{name}_n": n, f"{name}_text": count_text(k, n)}
    if set(refused) in ({0}, {n}):
        return row | {"n_discordant": 0}
    return row | _at_least(least, n)


def _at_least(least: int, n: int) -> dict[str, Any]:
    exact = least == n
    return {"n_discordant": least if exact else None, "discordant_text": f"≥{least}"}
