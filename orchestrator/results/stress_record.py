"""What the last work with saved adapters was to do, and what came of it.

`stress.json` in the results is about the stress test, `scored.json` about packs scored later.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.config.foreign_json import ID, parse
from orchestrator.errors import UserError
from orchestrator.results import generations
from orchestrator.results.files import write_whole
from orchestrator.results.folder import SCORED, STRESS
from orchestrator.results.manifest import load_manifest
from orchestrator.results.store import Store
from tasks.contract.cell import Status
from tasks.contract.generation import GenerationSpec
from tasks.contract.prompts import PromptSet
from tasks.contract.scoring import ScoringSpec

if TYPE_CHECKING:  # it loads pydantic, which a look at results does without
    from orchestrator.config.fields import StressSettings

FILE = STRESS
TEST = {
    "at?": str,
    "settings": {"temperature": float, "max_tokens": int},
    "judge": str,
    "prompts": [{"name": str, "digest": str, "prompts": int}],
    "units": {ID: str},
}
SHAPE = TEST | {"earlier?": [TEST]}
"""The last test, and those before it that asked something else."""

PACKS = {"packs": {str: {"digests": [str], "units": {ID: str}}}}
"""Name of a pack -> digests of its pairs, and key -> label of the units, as last asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What judging came to.

    Attributes:
        judge: Name and version.
        answers: Answers in the results; those of cells that share an adapter once.
        fresh: Labelled by this call.
        reused: Labelled by this call with an earlier verdict on the same answer.
        unjudged: Answers that have no label now.
        missing: Answers that there are not, for their generation failed.
    """

    judge: str
    answers: int
    fresh: int
    reused: int
    unjudged: int
    missing: int

    @property
    def line(self) -> str:
        """For people: where the label of every answer comes from, and how many have none."""
        before = self.answers - self.fresh - self.reused
        parts = [f"{before} judged before"] if before else []
        parts.append(f"{self.fresh} judged now")
        if self.reused:
            parts.append(f"{self.reused} with the verdict on an equal answer")
        tail = f"; {self.unjudged} of them unjudged"
        if self.missing:
            tail += f"; {self.missing} missing: their generation failed"
        return f"{self.judge}: {self.answers} answers: {', '.join(parts)}{tail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """How a stress test ended.

    Attributes:
        units: Generation id -> label of all that was to be generated.
        reused: Of those, answered before this test.
        failed: Label -> message of those without answers.
        untested: Label -> status of cells that have nothing to test.
        judged: What judging came to.
    """

    units: dict[str, str]
    reused: int
    failed: dict[str, str]
    untested: dict[str, str]
    judged: Judged


def write_plan(
    folder: Path,
    settings: "StressSettings",
    judge: str,
    sets: Sequence[PromptSet],
    units: Sequence[GenerationSpec],
) -> None:
    """Say what a test is to do, for those who look on.

    Tests that asked something else stay beside it: claims are about the first one.
    """
    content: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(),
        "settings": settings.model_dump(),
        "judge": judge,
        "prompts": [{"name": s.name, "digest": s.digest, "prompts": len(s.prompts)} for s in sets],
        "units": {u.generation_id: u.label for u in units},
    }
    others = []
    with suppress(UserError):  # a damaged file is replaced
        for test in tests_in(folder):
            if _asks(test) == _asks(content):
                content["at"] = test.get("at", "")
            else:
                others.append(test)
    write_whole(folder / FILE, json.dumps(content | {"earlier": others}, indent=2).encode())


def _asks(test: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a test asks, and how: two that have the same are one test."""
    aside = {"prompts", "judge"} | ({"seed"} if not test["settings"]["temperature"] else set())
    how = {k: v for k, v in test["settings"].items() if k not in aside}
    return how, test["judge"], sorted(p["digest"] for p in test["prompts"])


def tests_in(folder: Path) -> list[dict[str, Any]]:
    """Every test of some results that asked something else, by the time of its first run.

    Raises:
        UserError: The file is damaged.
    """
    last = read_plan(folder)
    found = [] if last is None else [*last.pop("earlier", []), last]
    return sorted(found, key=lambda test: str(test.get("at", "")))


def test_since(folder: Path, at: str) -> dict[str, Any] | None:
    """The first test from some time on, which is what a claim of that time is about.

    The last one where all came before; None where there is none.

    Raises:
        UserError: The file is damaged.
    """
    later = (t for t in tests_in(folder) if not t.get("at") or t["at"] >= at)
    return next(later, read_plan(folder))


def read_plan(folder: Path) -> dict[str, Any] | None:
    """What the last test was to do; None before the first.

    Raises:
        UserError: The file is damaged.
    """
    return _read(folder / FILE, SHAPE, "delete it and test again")


def packs_in(folder: Path) -> dict[str, dict[str, Any]]:
    """What was scored after the sweep, as `PACKS` has it; empty if nothing was.

    Raises:
        UserError: The file is damaged.
    """
    found = _read(folder / SCORED, PACKS, "delete it and run rho-sweep score again")
    return dict(found["packs"]) if found else {}


def units_of_pack(folder: Path, name: str) -> dict[str, str]:
    """Key -> label of what was last asked for of a pack; empty before the first time.

    Raises:
        UserError: The file is damaged.
    """
    return dict(packs_in(folder).get(name, {"units": {}})["units"])


def write_pack(folder: Path, name: str, units: Sequence[ScoringSpec]) -> None:
    """Say which units of a pack count from now on, and are to be scored if they are not."""
    digests = sorted({u.pairs.digest for u in units})
    mine = {"digests": digests, "units": {u.key: u.label for u in units}}
    content = {"packs": packs_in(folder) | {name: mine}}
    write_whole(folder / SCORED, json.dumps(content, indent=2).encode())


def _read(path: Path, shape: dict[str, Any], advice: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = parse(path.read_bytes(), shape)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})", advice) from None
    return found


def units_in(folder: Path) -> dict[str, str]:
    """Generation id -> label of the last test; empty before the first."""
    plan = read_plan(folder)
    return dict(plan["units"]) if plan else {}


def tested(store: Store, judged: Judged, reused: int) -> Tested:
    """What became of the last test, by the tables."""
    units = units_in(store.folder)
    rows = store.rows(generations.TABLE)
    failed = {r["generation_id"]: r["message"] for r in rows if r["status"] != Status.OK}
    ended = store.statuses()
    cells: dict[str, str] = load_manifest(store.folder)["cells"]
    return Tested(
        units=units,
        reused=reused,
        failed={label: failed[unit] for unit, label in units.items() if unit in failed},
        untested={
            label: str(ended.get(cell, "open"))
            for cell, label in cells.items()
            if ended.get(cell) is not Status.OK
        },
        judged=judged,
    )
