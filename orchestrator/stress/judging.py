"""Lets a judge label generated answers; no answer is judged twice.

A verdict belongs to a prompt, its answer and the judge's name with its version. Verdicts are
written every few seconds, and when the judge fails or is stopped. An answer that the judge could
not label (`unjudged`) is given to it again the next time.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from orchestrator.results import generations
from orchestrator.results.store import Store
from orchestrator.results.stress_record import Judged
from tasks.contract.cell import Status, digest_of
from tasks.data.thoughts import CUT, spoken
from tasks.judges.contract import Judge, Judgement, Label

TABLE = "judgements"
KEEP_EVERY_S = 5.0
Row = dict[str, Any]
Place = tuple[str, int]
"""Prompt id and sample index."""


@dataclass(slots=True)
class _Desk:
    """One judge at work on the answers of one store.

    Attributes:
        verdicts: What a judge sees, see `_seen` -> its verdict.
        fresh: Answers judged now.
        reused: Answers whose verdict was taken from an equal answer to the same prompt.
    """

    store: Store
    judge: Judge
    verdicts: dict[tuple[str, str, str | None], Row] = field(default_factory=dict)
    fresh: int = 0
    reused: int = 0

    def look(self, unit: str, answers: list[Row], rows: dict[Place, Row]) -> None:
        """Label the answers of one unit that have no label, and write the labels.

        Args:
            unit: Its generation id.
            answers: Its rows of `generations`.
            rows: Its rows of `judgements` so far; new ones are added.
        """
        kept_s, changed = time.monotonic(), False
        try:
            for answer in answers:
                place = (answer["prompt_id"], answer["sample_index"])
                if _is_label_of(rows.get(place), answer):
                    continue
                rows[place] = self._row(unit, answer)
                changed = True
                if time.monotonic() - kept_s > KEEP_EVERY_S:
                    self._keep(unit, rows)
                    kept_s, changed = time.monotonic(), False
        finally:
            if changed:
                self._keep(unit, rows)

    def _keep(self, unit: str, rows: dict[Place, Row]) -> None:
        self.store.write(TABLE, file_key(unit, self.judge.name), list(rows.values()))

    def _row(self, unit: str, answer: Row) -> Row:
        what = _seen(answer)
        if what in self.verdicts:
            self.reused += 1
        else:
            if answer["finish_reason"] == CUT:  # there is no answer that a judge could read
                found = Judgement(label=Label.DEGENERATE, reason="ends inside its reasoning")
            else:
                said = spoken(answer["response"])
                found = self.judge.judge(answer["prompt"], said, answer["finish_reason"])
            self.fresh += 1
            verdict = {"label": str(found.label), "reason": found.reason, "score": found.score}
            self.verdicts[what] = verdict | {"judged_at": datetime.now(UTC)}
        return self.verdicts[what] | {
            "generation_id": unit,
            "prompt_id": answer["prompt_id"],
            "sample_index": answer["sample_index"],
            "judge": self.judge.name,
            "response_sha256": answer["response_sha256"],
        }


def file_key(unit: str, judge: str) -> str:
    """Name of the file with one judge's labels of one unit."""
    return f"{unit}.{digest_of(judge)[:16]}"


def judge_answers(store: Store, judge: Judge) -> Judged:
    """Label every answer of a store that has no label.

    Raises:
        NodeError: The judge fails; its earlier verdicts are kept.
    """
    units: dict[str, list[Row]] = {}
    for row in once(store.rows(generations.TABLE)):
        if row["status"] == Status.OK:
            units.setdefault(row["generation_id"], []).append(row)
    labels = labels_of(store, judge.name)
    desk = _Desk(store, judge)
    for unit, answers in units.items():
        for answer in answers:
            known = labels.get(unit, {}).get((answer["prompt_id"], answer["sample_index"]))
            if known is not None and _is_label_of(known, answer):
                verdict = {k: known[k] for k in ("label", "reason", "score", "judged_at")}
                desk.verdicts[_seen(answer)] = verdict
    for unit, answers in units.items():
        desk.look(unit, answers, labels.setdefault(unit, {}))
    return replace(judged_so_far(store, judge.name), fresh=desk.fresh, reused=desk.reused)


def once(rows: Iterable[Row]) -> list[Row]:
    """Rows of `generations` without those that a cell shares with one before it."""
    owners: dict[str, str] = {}
    return [
        row
        for row in rows
        if owners.setdefault(row["generation_id"], row["cell_id"]) == row["cell_id"]
    ]


def judged_so_far(store: Store, judge: str) -> Judged:
    """Counts of a judge's labels in the tables."""
    rows = once(store.rows(generations.TABLE))
    answers = [r for r in rows if r["status"] == Status.OK]
    return Judged(
        judge=judge,
        answers=len(answers),
        fresh=0,
        reused=0,
        unjudged=count_unjudged(answers, labels_of(store, judge)),
        missing=len(rows) - len(answers),
    )


def labels_of(store: Store, judge: str) -> dict[str, dict[Place, Row]]:
    """Labels of one judge: generation id -> place -> row of `judgements`."""
    found: dict[str, dict[Place, Row]] = {}
    for row in store.rows(TABLE):
        if row["judge"] == judge:
            found.setdefault(row["generation_id"], {})[row["prompt_id"], row["sample_index"]] = row
    return found


def count_unjudged(answers: list[Row], labels: dict[str, dict[Place, Row]]) -> int:
    """Number of answers without a label: never judged, or judged `unjudged`."""
    return sum(
        not _is_label_of(
            labels.get(a["generation_id"], {}).get((a["prompt_id"], a["sample_index"])), a
        )
        for a in answers
    )


def _is_label_of(row: Row | None, answer: Row) -> bool:
    """Whether a row of `judgements` labels exactly this answer, with more than `unjudged`."""
    if row is None or row["label"] == Label.UNJUDGED:
        return False
    return bool(row["response_sha256"] == answer["response_sha256"])


def _seen(answer: Row) -> tuple[str, str, str | None]:
    """All that a judge sees: prompt, response, and how the response ended."""
    return answer["prompt"], answer["response"], answer["finish_reason"]
