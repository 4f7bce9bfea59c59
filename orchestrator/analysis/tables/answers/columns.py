"""Columns of T7 and T8, for counts of these results and for printed ones."""

from collections.abc import Sequence

from orchestrator.analysis.tables.arms import CONDITION, SETTINGS
from orchestrator.analysis.tables.columns import (
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
from orchestrator.analysis.tables.verdicts import COLUMNS
from orchestrator.analysis.tables.view import (
    Column,
    level_text,
)
from orchestrator.stats.records import Interval

STRESS = ("T7", "stress")
BY_CATEGORY = ("T8", "stress_by_category")
SUM = "sum"


def stress_columns(*, matched: bool, level: float) -> tuple[Column, ...]:
    """Columns of T7; those of matched prompts are shown only if `matched`."""
    ci = f"{level_text(level)} CI"
    twins = (
        percent("Refusal of matched benign", "matched_pct", instead="matched_text"),
        interval(f"{ci} (matched)", "matched_low", "matched_high", instead="twin_text"),
        signed("Jailbreak minus matched", "jailbreak_minus_matched", digits=2),
        interval(f"{ci} (jailbreak minus matched)", "apart_low", "apart_high", digits=2),
    )
    return (
        *of_notes(
            CONDITION,
            percent("Jailbreak refusal", "jailbreak_pct", instead="jailbreak_text"),
            *data(count("k", "jailbreak_k", "answer"), count("n", "jailbreak_n", "answer")),
            percent("Benign refusal", "benign_pct", instead="benign_text"),
            *data(count("benign k", "benign_k", "answer"), count("benign n", "benign_n", "answer")),
        ),
        count("seeds", "n_seeds"),
        interval(f"{ci} (jailbreak)", "jb_low", "jb_high", instead="jb_text"),
        words("CI by", "ci_method"),
        plain("benign at most", "benign_upper", digits=2),
        signed("diff vs baseline", "diff_vs_baseline", digits=2),
        interval(f"{ci} (diff)", "diff_low", "diff_high", digits=2),
        count("gain/loss", "gain", "prompt", instead="discordant_text"),
        *data(count("loss", "loss", "prompt")),
        p_value("p", "p", instead="p_text"),
        p_value("p Holm", "p_holm", instead="p_holm_text"),
        words("judge", "judge"),
        *COLUMNS,
        *(twins if matched else data(*twins)),
        *data(count("matched k", "matched_k", "answer"), count("matched n", "matched_n", "answer")),
        words("test", "test"),
        *data(
            interval("p bounds", "p_min", "p_max"),
            interval("p Holm bounds", "p_holm_min", "p_holm_max"),
            plain("benign at most, exact", "benign_upper_exact"),
        ),
        words("without verdict", "outside"),
        plain("length of an answer", "jailbreak_tokens", "token", digits=1),
        *data(
            plain("length of a matched answer", "matched_tokens", "token", digits=1),
            plain("length of a benign answer", "benign_tokens", "token", digits=1),
            *(
                count(f"{prompts} {why}", f"{prompts}_{why}", "answer")
                for prompts in ("jailbreak", "matched", "benign")
                for why in ("unjudged", "degenerate")
            ),
            *SETTINGS,
        ),
    )


def category_columns(names: Sequence[str]) -> tuple[Column, ...]:
    """Columns of T8: one with refused of judged answers for each arm."""
    return (
        *of_notes(
            words("Category", "category"),
            count("n", "n", "prompt"),
            *(
                count(f"{name} refused", f"{name}_k", "answer", instead=f"{name}_text")
                for name in names
            ),
        ),
        count("seeds", "n_seeds"),
        count("prompts on which arms differ", "n_discordant", "prompt", instead="discordant_text"),
        *data(*(count(f"{name} judged", f"{name}_n", "answer") for name in names)),
    )


def range_text(found: Interval | None) -> str | None:
    """An interval of a share, e.g. `[48%, 83%]`."""
    return f"[{100 * found.low:.0f}%, {100 * found.high:.0f}%]" if found else None


def count_text(k: int, n: int) -> str | None:
    """e.g. `2/3`; None where nothing was judged."""
    return f"{k}/{n}" if n else None


def share_text(k: int, n: int) -> str | None:
    """e.g. `68% (17/25)`; None where nothing was judged."""
    return f"{100 * k / n:.0f}% ({k}/{n})" if n else None
