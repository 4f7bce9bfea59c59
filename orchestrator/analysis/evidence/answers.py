"""Judged answers of the last stress test, counted by arm, seed and prompt."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.analysis.evidence.arms import ArmEvidence
from orchestrator.analysis.evidence.refusals import Refusals
from orchestrator.config.foreign_json import shown
from orchestrator.errors import UserError
from orchestrator.results.store import Store, advice
from orchestrator.results.stress_record import read_plan, test_since
from tasks.contract.cell import Status
from tasks.judges.contract import Label

Row = Mapping[str, Any]
Place = tuple[str, str, str, str, str | None]
"""Cell id, set, prompt, category, frame."""
ANSWERS = (
    "cell_id",
    "generation_id",
    "prompt_set",
    "prompt_id",
    "sample_index",
    "set",
    "category",
    "frame",
    "status",
    "response_sha256",
    "n_tokens",
)
VERDICTS = ("generation_id", "prompt_id", "sample_index", "response_sha256", "judge", "label")


def load_refusals(
    stores: Sequence[Store],
    cells: Mapping[str, Row],
    evidence: Iterable[ArmEvidence],
    since: str | None = None,
) -> list[Refusals]:
    """Of each results folder its last stress test, judged by the judge of that test.

    Args:
        stores: The results; a cell that several have counts where it comes first.
        cells: Cell id -> its row, of scored and other cells.
        evidence: Names the arms.
        since: Takes the first test after that time in its place, for a claim of that time.
    """
    found: list[Refusals] = []
    seen: set[str] = set()
    arms = {e.arm_id: e for e in reversed(list(evidence))}
    for store in stores:
        plan = read_plan(store.folder) if since is None else test_since(store.folder, since)
        if plan is None:
            continue
        answers = [
            r
            for r in store.read("generations").select(ANSWERS).to_pylist()
            if r["generation_id"] in plan["units"] and r["cell_id"] not in seen
        ]
        verdicts = store.read("judgements").select(VERDICTS).to_pylist()
        of_test = counted(answers, verdicts, plan["judge"], cells, arms)
        whole = {(cells[c]["arm_id"], cells[c]["seed"]) for c in _whole(answers, verdicts, plan)}
        found += [
            replace(r, asked=asked_text(plan), whole=(r.arm_id, r.seed) in whole) for r in of_test
        ]
        seen |= {r["cell_id"] for r in answers}
    return found


def _whole(answers: Sequence[Row], verdicts: Iterable[Row], plan: Row) -> Iterator[str]:
    """Cells that have answered every set of a test, with a word of its judge on each answer."""
    labelled = {_answer(r) for r in verdicts if r["judge"] == plan["judge"]}
    given: dict[str, set[str]] = defaultdict(set)
    lacking = set()
    for row in answers:
        if row["status"] == Status.OK:
            given[row["cell_id"]].add(row["generation_id"])
            if _answer(row) not in labelled:
                lacking.add(row["cell_id"])
    for cell, units in given.items():
        if cell not in lacking and len(units) == len(plan["prompts"]):
            yield cell


def asked_text(plan: Row) -> str:
    """e.g. `prompts starter, at most 48 tokens, greedy`."""
    settings, names = plan["settings"], [p["name"] for p in plan["prompts"]]
    drawn = f"temperature {settings['temperature']:g}" if settings["temperature"] else "greedy"
    return f"prompts {', '.join(names)}, at most {settings['max_tokens']} tokens, {drawn}"


def counted(
    answers: Sequence[Row],
    verdicts: Iterable[Row],
    judge: str,
    cells: Mapping[str, Row],
    arms: Mapping[str, ArmEvidence],
) -> Iterator[Refusals]:
    """One record a cell and prompt; an answer that does not exist is in none of its counts.

    Args:
        answers: Rows of `generations`.
        verdicts: Rows of `judgements`, of any judge.
        judge: Whose labels count.
        cells: Cell id -> row.
        arms: Arm id -> any evidence of it.
    """
    mine = [r for r in verdicts if r["judge"] == judge]
    for row in mine:
        if row["label"] not in tuple(Label):
            raise UserError(
                f"judgements of {row['generation_id']}: unknown label {shown(row['label'])}",
                advice("judgements"),
            )
    labels = {_answer(r): Label(r["label"]) for r in mine}
    several = len({r["prompt_set"] for r in answers}) > 1
    counts: dict[Place, Counter[Label]] = {}
    tokens: Counter[Place] = Counter()
    for row in answers:
        if row["status"] == Status.OK and cells[row["cell_id"]]["arm_id"] in arms:
            prompt = f"{row['prompt_set']}/{row['prompt_id']}" if several else row["prompt_id"]
            place = (row["cell_id"], row["set"], prompt, row["category"], row["frame"])
            label = labels.get(_answer(row), Label.UNJUDGED)
            counts.setdefault(place, Counter())[label] += 1
            tokens[place] += row["n_tokens"]
    for place, found in counts.items():
        cell, part, prompt, category, frame = place
        arm = arms[cells[cell]["arm_id"]]
        yield Refusals(
            arm_id=arm.arm_id,
            arm=arm.label,
            condition=arm.condition,
            rho_weight=arm.rho_weight,
            margin=arm.margin,
            settings=arm.differs,
            baseline_key=arm.baseline_key,
            seed=cells[cell]["seed"],
            prompts=part,
            prompt_id=prompt,
            category=category,
            frame=frame,
            refused=sum(n for label, n in found.items() if label.refuses),
            complied=found[Label.COMPLIANCE],
            unjudged=found[Label.UNJUDGED],
            degenerate=found[Label.DEGENERATE],
            tokens=tokens[place],
            judge=judge,
        )


def _answer(row: Row) -> tuple[Any, ...]:
    return tuple(row[k] for k in ("generation_id", "prompt_id", "sample_index", "response_sha256"))
