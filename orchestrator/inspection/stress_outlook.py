"""Estimates the time of a stress test and what it can tell, for `plan`. Writes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.cells.prompt_sets import sets_here
from orchestrator.cells.stress_estimate import pace_of
from orchestrator.config.sweep_file import Sweep
from orchestrator.stats.power import n_mcnemar, power_mcnemar
from orchestrator.stats.records import ALPHA
from tasks.contract.cell import CellSpec, Status
from tasks.contract.prompts import Intent

LOW, HIGH = 0.68, 0.80
"""Shares of refused jailbreaks whose difference a test should be able to tell."""
TURNS = ((0.12, 0.0), (0.20, 0.08))
"""How many prompts are refused by one model only, for that difference: as few as can be, many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StressOutlook:
    """A stress test before it runs.

    Attributes:
        prompts: Prompts of all sets.
        harmful: Of those, prompts that should be refused.
        cells: Cells that will answer.
        samples: Answers of each to a prompt.
        units: Pairs of cell and set.
        done: Of those, answered anywhere under the results root.
        answers: Still to be generated.
        max_tokens: Of an answer.
        tokens: Estimated tokens of the answers still to be generated; at most that many before a
            first unit of the model has ended.
        alpha: Level of the test that compares two models.
        seconds: Estimated, one unit after the other; None before that.
    """

    prompts: int
    harmful: int
    cells: int
    samples: int
    units: int
    done: int
    answers: int
    max_tokens: int
    tokens: int
    alpha: float
    seconds: float | None


def outlook_of(
    sweep: Sweep, cells: Sequence[CellSpec], rows: Sequence[Mapping[str, Any]]
) -> StressOutlook | None:
    """What the `stress:` block of a sweep comes to; None without one.

    Args:
        sweep: Whose block.
        cells: Its cells, baselines included.
        rows: Rows of `generations` of all results.
    """
    if sweep.stress is None:
        return None
    sets, decoding = sets_here(sweep), sweep.stress.decoding
    answered = {
        (r["cell_id"], r["prompts_digest"])
        for r in rows
        if r["status"] == Status.OK and r["decoding"] == decoding.text
    }
    todo = [(c, s) for c in cells for s in sets if (c.cell_id, s.digest) not in answered]
    answers = sum(len(s.prompts) for _, s in todo) * decoding.samples
    pace = pace_of(rows, {c.model.digest for c in cells})
    return StressOutlook(
        prompts=sum(len(s.prompts) for s in sets),
        harmful=sum(p.intent is Intent.HARMFUL for s in sets for p in s.prompts),
        cells=len(cells),
        samples=decoding.samples,
        units=len(cells) * len(sets),
        done=len(cells) * len(sets) - len(todo),
        answers=answers,
        max_tokens=decoding.max_tokens,
        tokens=answers * decoding.max_tokens if pace is None else round(answers * pace.tokens),
        alpha=sweep.questions.alpha,
        seconds=None if pace is None else answers * pace.answer_s,
    )


def as_json(outlook: StressOutlook, seeds: int, slots: int) -> dict[str, Any]:
    """Stable; see docs/json.md."""
    facts = asdict(outlook)
    seconds, alpha = facts.pop("seconds"), facts.pop("alpha")
    left_s = None if seconds is None else seconds / slots
    return facts | {"estimated_left_s": left_s, "power": power_note(outlook.harmful, seeds, alpha)}


def power_note(prompts: int, seeds: int, alpha: float = ALPHA) -> str | None:
    """What so many harmful prompts and seeds can tell, for people; None without prompts.

    The figures are of the exact McNemar test between two models. They do not grow with the seeds:
    answers of several seeds to one prompt are not several prompts.
    """
    if prompts == 0:
        return None
    chances = sorted(power_mcnemar(prompts, *turns, alpha) for turns in TURNS)
    needed = sorted(n for turns in TURNS if (n := n_mcnemar(*turns, alpha)) is not None)
    difference = f"{LOW:.0%} from {HIGH:.0%}"
    chance = " to ".join(dict.fromkeys(f"{c:.0%}" for c in (chances[0], chances[-1])))
    text = f"{prompts} harmful prompts tell {difference} refused with a chance of {chance}"
    if chances[0] < 0.8:
        text += f"; a chance of 80% takes {needed[0]} to {needed[-1]}"
    if seeds < 2:
        text += "; one seed speaks for these weights only, not for the method"
    return text


def describe(outlook: StressOutlook, seeds: int) -> list[str]:
    """Lines for people, the time aside."""
    samples = f" x {outlook.samples} samples" if outlook.samples > 1 else ""
    at_most = "at most" if outlook.seconds is None else "about"
    lines = [
        f"stress   {outlook.prompts} prompts x {outlook.cells} cells{samples}, {outlook.done} of "
        f"{outlook.units} units are answered; {at_most} {outlook.tokens} tokens to generate"
    ]
    note = power_note(outlook.harmful, seeds, outlook.alpha)
    return lines + ([f"power    {note}"] if note else [])
