"""T12: what these designs can find, and how many seeds or prompts the observed effects need."""

from collections.abc import Iterable, Iterator, Sequence

from orchestrator.analysis.inference.record import Inference
from orchestrator.analysis.tables.columns import count, data, plain, words
from orchestrator.analysis.tables.view import Missing, Row, View
from orchestrator.config.contrast_kinds import Kind
from orchestrator.stats.power import n_mcnemar
from orchestrator.stats.records import ALPHA
from orchestrator.stats.verdict import Verdict

KEY, NAME = "T12", "plan"


def plan(
    inference: Sequence[Inference],
    stress: View | Missing | None = None,
    *,
    alpha: float = ALPHA,
) -> View | Missing:
    """Every contrast with a number, and every inconclusive one.

    Args:
        inference: Tested contrasts.
        stress: T7; its comparisons of one seed are planned in prompts.
        alpha: Of the contrasts, two-sided.
    """
    rows = [*_seeds(i for i in inference if i.kind is not Kind.PROP_DIFF)]
    if isinstance(stress, View):
        rows += [r for row in stress.rows if (r := _prompts(row, alpha)) is not None]
    if not rows:
        return Missing(key=KEY, name=NAME, reason="no contrast was tested")
    return View(
        key=KEY,
        name=NAME,
        title=f"What 80 % power of a verdict takes (alpha {alpha:g})",
        columns=(
            words("Contrast", "contrast"),
            plain("smallest effect found", "mde_80"),
            count("seeds an arm for the effect seen", "n_seeds_for_80"),
            count("prompts for the effect seen", "n_prompts_for_80"),
            words("assumption", "assumption"),
            words("unit", "unit"),
            words("verdict", "verdict"),
            *data(words("contrast id", "contrast_id"), words("behavior", "behavior")),
        ),
        rows=tuple(rows),
    )


def _seeds(inference: Iterable[Inference]) -> Iterator[Row]:
    """Of contrasts that have a number to plan with, and of inconclusive ones without."""
    for row in inference:
        assumption = "the sds over seeds are those seen"
        if row.pairing == "paired":
            assumption = "the sd of paired differences is the one seen"
        if row.mde_80 is None and row.n_for_80 is None:
            if row.verdict != Verdict.INCONCLUSIVE:
                continue
            assumption = "no formula for this kind of contrast"
        elif row.mde_low is not None and row.mde_high is not None:
            assumption += f"; as an estimate, it allows {row.mde_low:.3g} to {row.mde_high:.3g}"
        yield {
            "contrast": f"{row.name}: {row.behavior}" if row.behavior else row.name,
            "contrast_id": row.contrast_id,
            "behavior": row.behavior,
            "mde_80": row.mde_80,
            "n_seeds_for_80": row.n_for_80,
            "n_prompts_for_80": None,
            "assumption": assumption,
            "unit": row.unit if row.mde_80 is not None else None,
            "verdict": row.verdict,
        }


def _prompts(row: Row, alpha: float) -> Row | None:
    """Of a comparison by McNemar, the chances of gain and loss being those seen.

    Printed figures leave several pairs of gain and loss possible: `feasible`.
    """
    seen = (row["gain"], row["loss"]) if row.get("gain") is not None else None
    possible = [seen] if seen else list(row.get("feasible") or ())
    pairs = [(gain, loss) for gain, loss in possible if gain != loss]  # equal: nothing to find
    if not pairs:
        return None
    n = row["jailbreak_n"]
    needed = [n_mcnemar(gain / n, loss / n, alpha) for gain, loss in pairs]
    texts = [
        f"{gain} gained and {loss} lost of {n}: {prompts or 'more than 2000'} prompts"
        for (gain, loss), prompts in zip(pairs, needed, strict=True)
    ]
    return {
        "contrast": f"{row['arm']} vs baseline: jailbreak refusal",
        "contrast_id": None,
        "behavior": None,
        "mde_80": None,
        "n_seeds_for_80": None,
        "n_prompts_for_80": needed[0],
        "assumption": "one seed; chances as seen; " + " or ".join(texts),
        "unit": None,
        "verdict": row.get("verdict"),
    }
