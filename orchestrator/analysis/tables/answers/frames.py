"""T8 by frame (the wording around a request): refusals of harmful and of harmless requests."""

from collections import defaultdict
from collections.abc import Iterable

from orchestrator.analysis.evidence.refusals import JAILBREAK, Answers, Refusals, names, stressed
from orchestrator.analysis.tables.answers.columns import range_text, share_text
from orchestrator.analysis.tables.answers.stress import share_interval
from orchestrator.analysis.tables.arms import SETTINGS
from orchestrator.analysis.tables.columns import count, data, signed, words
from orchestrator.analysis.tables.view import (
    Missing,
    Row,
    View,
    level_text,
)
from orchestrator.stats.records import ALPHA

KEY, NAME = "T8 frames", "stress_by_frame"


def stress_by_frame(counts: Iterable[Refusals], alpha: float = ALPHA) -> View | Missing:
    """One row an arm and frame, of frames that have prompts of both intents."""
    mine = [r for r in counts if r.frame is not None]
    intents: dict[str, set[bool]] = defaultdict(set)
    for r in mine:
        if r.frame and r.judged:
            intents[r.frame].add(r.prompts == JAILBREAK)
    frames = sorted(frame for frame, seen in intents.items() if len(seen) == 2)
    if len(frames) < 2:
        reason = "no two frames with harmful and harmless prompts; see the set `factorial`"
        return Missing(key=KEY, name=NAME, reason=reason)
    name, ci = names(stressed(mine)), f"{level_text(1 - alpha)} CI"
    rows = [
        row
        for frame in frames
        for row in _rows(frame, [r for r in mine if r.frame == frame], name, 1 - alpha)
    ]
    return View(
        key=KEY,
        name=NAME,
        title=f"Refusals by frame of the request, {len(frames)} frames",
        columns=(
            words("Frame", "frame"),
            words("Condition", "condition", instead="arm"),
            words("Harmful refused", "harmful_text"),
            words(ci, "harmful_range"),
            words("Harmless refused", "harmless_text"),
            words(ci, "harmless_range"),
            signed("difference of shares", "difference", digits=2),
            count("seeds", "n_seeds"),
            *data(
                count("harmful refused", "harmful_k", "answer"),
                count("harmful judged", "harmful_n", "answer"),
                count("harmless refused", "harmless_k", "answer"),
                count("harmless judged", "harmless_n", "answer"),
                *SETTINGS,
            ),
        ),
        rows=tuple(rows),
        notes=("Shares of few prompts; a frame's difference to another is tested by no row here.",),
    )


def _rows(frame: str, counts: list[Refusals], name: dict[str, str], level: float) -> Iterable[Row]:
    """Each arm's refusals in one frame: of jailbreaks, and of all other prompts together."""
    for arm in stressed(counts):
        harmful = arm.sets[JAILBREAK]
        others = [a.counts for part, a in arm.sets.items() if part != JAILBREAK]
        harmless = Answers(counts={place: r for a in others for place, r in a.items()})
        shares = [a.k / a.n if a.n else None for a in (harmful, harmless)]
        ranges = [share_interval(a, level)[0] for a in (harmful, harmless)]
        yield {
            "frame": frame,
            "condition": str(arm.head.condition),
            "arm": name[arm.head.arm_id],
            "rho_weight": arm.head.rho_weight,
            "margin": arm.head.margin,
            "settings": arm.head.settings or None,
            "harmful_text": share_text(harmful.k, harmful.n),
            "harmful_range": range_text(ranges[0]),
            "harmless_text": share_text(harmless.k, harmless.n),
            "harmless_range": range_text(ranges[1]),
            "harmful_k": harmful.k,
            "harmful_n": harmful.n,
            "harmless_k": harmless.k,
            "harmless_n": harmless.n,
            "difference": None if None in shares else (shares[0] or 0.0) - (shares[1] or 0.0),
            "n_seeds": len(harmful.seeds),
        }
