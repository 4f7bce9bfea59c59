"""Answers of the last stress test, prompt by prompt, the untrained model's beside those of arms."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.results.store import Store
from orchestrator.results.stress_record import read_plan
from orchestrator.stress.judging import labels_of
from tasks.contract.cell import Condition, Status

MAX_ASKED, MAX_ARMS, MAX_TEXT = 100, 6, 1_200
"""Prompts, answers to one of them (of the first seed of each arm), characters of an answer."""
COLUMNS = (
    *("cell_id", "generation_id", "prompt_set", "prompt_id", "sample_index", "prompt", "response"),
    *("response_sha256", "seed", "status"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one arm answered to a prompt.

    Attributes:
        arm: Its label, with the seed of the cell.
        label, reason: Of the judge; empty where it has not judged.
        text: The answer, perhaps cut.
    """

    arm: str
    label: str
    reason: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A prompt with its answers side by side, the untrained model's first."""

    prompt: str
    answers: tuple[Answer, ...]


def side_by_side(store: Store, arms: Mapping[str, str]) -> tuple[Asked, ...]:
    """Every prompt of the last stress test; those with an answer of another label come first.

    Args:
        store: The results.
        arms: Cell id -> label of its arm.
    """
    plan = read_plan(store.folder)
    if plan is None:
        return ()
    verdicts = labels_of(store, plan["judge"])
    table = store.read("generations").select(COLUMNS)
    prompts: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    order = list(dict.fromkeys(arms.values()))
    for row in table.to_pylist():
        arm = arms.get(row["cell_id"])
        if row["generation_id"] in plan["units"] and row["status"] == Status.OK and arm:
            of_arm = prompts.setdefault((row["prompt_set"], row["prompt_id"]), {})
            now = of_arm.get(arm)
            first = (row["seed"] or 0, row["sample_index"])
            if now is None or first < (now["seed"] or 0, now["sample_index"]):
                of_arm[arm] = row
    found = []
    for of_arm in prompts.values():
        rows = sorted(
            of_arm.items(),
            key=lambda item: (not item[0].startswith(Condition.BASELINE), order.index(item[0])),
        )
        answers = tuple(_answer(arm, row, verdicts) for arm, row in rows[:MAX_ARMS])
        found.append(Asked(prompt=rows[0][1]["prompt"], answers=answers))
    return tuple(sorted(found, key=lambda asked: len({a.label for a in asked.answers}) == 1))


def _answer(arm: str, row: Mapping[str, Any], verdicts: Mapping[str, Any]) -> Answer:
    place = row["prompt_id"], row["sample_index"]
    said = verdicts.get(row["generation_id"], {}).get(place)
    judged = said is not None and said["response_sha256"] == row["response_sha256"]
    text = row["response"] or ""
    return Answer(
        arm=arm if row["seed"] is None else f"{arm}, seed {row['seed']}",
        label=said["label"].replace("_", " ") if judged else "",
        reason=(said["reason"] or "") if judged else "",
        text=text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + " … (cut)",
    )
