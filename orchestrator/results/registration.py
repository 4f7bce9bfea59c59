"""Which contrasts were asked before there were data: kept in the manifest, where they only grow.

A version of a contrast is never rewritten. One that a launch changes or drops while nobody could
know its answer is withdrawn; after that it stays, and is tested, whatever the file says.

Questions asked of finished results are a log beside them, which only grows as well: whoever asks
until something turns up has asked many questions, and they are counted together.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.cells.choose import Arm, arms_of
from orchestrator.cells.choose import planned as choices_of
from orchestrator.config.contrast_kinds import Subject
from orchestrator.config.contrasts import Contrast, Looks, Questions
from orchestrator.config.foreign_json import BadAnswerError, demand
from orchestrator.errors import UserError, writing
from orchestrator.results.folder import ASKED
from orchestrator.results.store import seen_otherwise
from orchestrator.stats.records import ALPHA
from tasks.contract.cell import CellSpec, NodeError, digest_of
from tasks.sources.jsonl import parse_json, read_text

KEY = "analysis"
MOST_TESTS = 10_000
"""Of a contrast that does not list the rows that it plans, as in older versions."""
REGISTERED = {
    "id": str,
    "claim": str,
    **{f"{name}_at?": (None, str) for name in ("registered", "asked", "withdrawn", "dropped")},
    "joined_at?": (None, str),
    "planned?": {str: [str]},
    "scored?": [str],
    "tests?": int,
    "compared?": [{"which?": str, "arms": [str], "behaviors": [str]}],
}
"""The shape of a registered contrast, whatever its digests say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """Arms that a contrast is to compare, on some behaviours: a row on each.

    Attributes:
        which: Settings that tell them from the contrast's other arms, as in its row.
        arms: Ids, as in its row.
        behaviors: As in its row; empty text for answers.
    """

    which: str
    arms: tuple[str, ...]
    behaviors: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """As the manifest keeps it."""
        found = {"arms": [*self.arms], "behaviors": [*self.behaviors]}
        return {"which": self.which, **found} if self.which else found

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Planned":
        """The inverse of `plain`."""
        which, arms, behaviors = row.get("which", ""), row["arms"], row["behaviors"]
        return cls(which=which, arms=tuple(arms), behaviors=tuple(behaviors))


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A version of a contrast, and what was known when it was asked.

    Attributes:
        contrast: The question.
        at: ISO time of registration; None where every arm had a result already.
        asked: ISO time when it was asked; None where an older version of the program kept none.
        planned: Arm id -> its cells, in the order of their seeds in the file; empty where unknown.
        scored: Those of these cells that had a result then.
        withdrawn: ISO time when a launch changed or dropped it before its answer could be known;
            None while it stands.
        dropped: ISO time when a launch changed or dropped it after that. It is tested all the same.
        looks: When it may be judged before all planned seeds are in; None for only then.
        joined: ISO time of an earlier launch with whose claims it is one family, because no trained
            cell had a result yet when it was asked; None for its own.
        tests: How many tests it plans of arms that it is registered for, for the size of its
            family; 0 where unknown.
        compared: The rows that it plans, also of arms that it is not registered for; empty where
            unknown. A row without a result is no row less.
        later: Cells of its arms that this launch plans beside `planned`; not kept.
        scope: All cells of the sweep that asked it; not kept, known where `planned` is not.
        origin: Name of the results that it was registered in; not kept.
    """

    contrast: Contrast
    at: str | None
    asked: str | None = None
    planned: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scored: tuple[str, ...] = ()
    withdrawn: str | None = None
    dropped: str | None = None
    looks: Looks | None = None
    joined: str | None = None
    tests: int = 0
    compared: tuple["Planned", ...] = ()
    later: tuple[str, ...] = ()
    scope: frozenset[str] | None = None
    origin: str = ""

    @property
    def cells(self) -> frozenset[str] | None:
        """The cells that it was registered for; None for all."""
        if self.planned:
            return frozenset(cell for cells in self.planned.values() for cell in cells)
        return self.scope

    @property
    def about_answers(self) -> bool:
        """Whether it is registered, and about generated answers."""
        return self.at is not None and self.contrast.kind.rules.about is Subject.ANSWERS

    @property
    def launch(self) -> str:
        """ISO time of the launch, or of the first of those, with whose claims it is adjusted."""
        return self.joined or self.asked or ""

    def covers(self, arms: Collection[str]) -> bool:
        """Whether it was asked of these arms (ids) before its answer could be known.

        One of two or four arms without a result is enough. Of all arms along an axis at least half
        must be without one: the others tell the answer, and one more dose changes little.
        """
        if self.at is None:
            return False
        if not self.planned:
            return True
        known, trained = self.known(arms, self.scored)
        return known < trained and (not self.contrast.kind.rules.takes_all or 2 * known <= trained)

    def known(self, arms: Collection[str], seen: Collection[str]) -> tuple[int, int]:
        """(arms of these that have a result among `seen`, all of these that are planned)."""
        trained = [self.planned[arm] for arm in arms if arm in self.planned]
        return sum(not set(cells).isdisjoint(seen) for cells in trained), len(trained)

    def missing(self, arms: Collection[str], settled: Collection[str]) -> tuple[int, int]:
        """(planned cells of these arms without a result, all planned cells of these arms).

        Where a row compares all arms that there are, those without any result count as well.
        """
        if self.contrast.kind.rules.takes_all:
            absent = (
                a for a, cells in self.planned.items() if not set(cells).intersection(settled)
            )
            arms = dict.fromkeys((*arms, *absent))
        planned = [cell for arm in arms for cell in self.planned.get(arm, ())]
        return sum(cell not in settled for cell in planned), len(planned)

    def plain(self) -> dict[str, Any]:
        """As the manifest keeps it; what an older version did not keep is left out."""
        known: dict[str, Any] = {
            "asked_at": self.asked,
            "withdrawn_at": self.withdrawn,
            "dropped_at": self.dropped,
            "planned": {arm: list(cells) for arm, cells in self.planned.items()},
            "scored": list(self.scored),
            "sequential": self.looks.plain() if self.looks else None,
            "joined_at": self.joined,
            "tests": self.tests,
            "compared": [one.plain() for one in self.compared],
        }
        head = {"registered_at": self.at, "sha256": self.contrast.digest}
        return head | {k: v for k, v in known.items() if v} | self.contrast.plain()

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Registered":
        """The inverse of `plain`.

        Raises:
            BadAnswerError: A part has another type, or more tests than rows are planned.
        """
        demand(row, REGISTERED, "")
        compared, tests = tuple(map(Planned.of, row.get("compared", ()))), row.get("tests", 0)
        if tests > max(MOST_TESTS, sum(len(one.behaviors) for one in compared)):
            raise BadAnswerError(f"it plans {tests} tests, and lists fewer rows")
        return cls(
            contrast=Contrast.from_dict(row),
            at=row.get("registered_at"),
            asked=row.get("asked_at"),
            planned={arm: tuple(cells) for arm, cells in row.get("planned", {}).items()},
            scored=tuple(row.get("scored", ())),
            withdrawn=row.get("withdrawn_at"),
            dropped=row.get("dropped_at"),
            looks=Looks.of(row.get("sequential")),
            joined=row.get("joined_at"),
            tests=tests,
            compared=compared,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """All contrasts of some results, every version of them.

    Attributes:
        alpha: Level of every test, after adjustment.
        contrasts: In the order in which they were asked.
        unheard: What the file of this launch says too late, for people; not kept.
    """

    alpha: float = ALPHA
    contrasts: tuple[Registered, ...] = ()
    unheard: tuple[str, ...] = ()

    def dropped_at(self, now: datetime) -> list[str]:
        """Ids of registered contrasts that this launch changed or dropped, and that stay."""
        found = [r for r in self.contrasts if r.dropped == _text(now)]
        return [r.contrast.id for r in found if r.at is not None]

    def news(
        self, now: datetime, linked: Collection[str] = (), alike: Collection[str] = ()
    ) -> list[str]:
        """What the launch of this time asked, as lines for people.

        Args:
            now: As in `begin`.
            linked: Cells whose results are those of another sweep.
            alike: Cells whose training has a result under another id.
        """
        new = [r for r in self.contrasts if r.asked == _text(now)]
        lines = []
        if first := [r.contrast.id for r in new if r.at is not None]:
            lines.append(f"registered before their results: {', '.join(first)}")
        gone = [r for r in self.contrasts if r.dropped == _text(now) and r.at is None]
        lines += [f"{r.contrast.id} is not asked any more, and stays as exploratory" for r in gone]
        lines += [
            f"{r.contrast.id} stays as it was registered, with {len(r.cells or ())} cells; "
            f"{len(r.later)} of its arms come later, and are looked at beside it (exploratory)"
            for r in self.contrasts
            if r.later
        ]
        lines += self.unheard
        for one in new:
            if not one.planned:
                lines.append(f"{one.contrast.id} is exploratory: no planned cells can answer it")
            elif one.at is None:
                there = set(one.scored)
                of_others = ", in another sweep among others" if there & set(linked) else ""
                if other := len(there.intersection(alike)):
                    of_others += f"; {other} of them trained alike and scored on other pairs"
                several = one.contrast.kind.rules.takes_all
                arms = "arms that it compares have" if several else "every arm of it has"
                lines.append(
                    f"{one.contrast.id} is exploratory: {arms} results already "
                    f"({len(there)} cells{of_others})"
                )
        return lines

    @property
    def has_looks(self) -> bool:
        """Whether a registered claim may be judged before all planned seeds are in."""
        found = [r for r in self.tested if r.at is not None and r.looks is not None]
        return any(r.contrast.kind.rules.sequential for r in found)

    def asked(self, contrast: Contrast) -> Registered | None:
        """What is registered of a question, in whatever words; None where nothing is."""
        found = (r for r in self.tested if r.at is not None)
        return next((r for r in found if r.contrast.question == contrast.question), None)

    def family_of(self, one: Registered) -> int:
        """Tests that are adjusted with those of a registered contrast: of no later launch."""
        asked = (r for r in self.tested if r.at is not None and r.launch <= one.launch)
        return sum(r.tests for r in asked if r.contrast.family == one.contrast.family)

    @property
    def tested(self) -> tuple[Registered, ...]:
        """Those that were not withdrawn."""
        return tuple(r for r in self.contrasts if r.withdrawn is None)

    def plain(self) -> dict[str, Any]:
        """As the manifest keeps it, with digests: of each question, and of all of launches."""
        rows = [r.plain() for r in self.contrasts]
        return {"alpha": self.alpha, "sha256": _seal(self.alpha, rows), "contrasts": rows}

    @classmethod
    def of(cls, manifest: Mapping[str, Any], where: str = "sweep.yaml") -> "Registration":
        """Read it back.

        Args:
            manifest: Content of the results' `sweep.yaml`.
            where: That file, for messages.

        Raises:
            UserError: A registered contrast was edited.
            BadAnswerError: A part has another type, or is out of bounds.
        """
        raw = manifest.get(KEY)
        if raw is None:
            return cls()
        demand(raw, {"alpha": float, "contrasts": [{}]}, "")
        if not 0 < raw["alpha"] < 1:
            raise BadAnswerError(f"its alpha {raw['alpha']:g} is no level")
        found = tuple(Registered.of(row) for row in raw["contrasts"])
        read = cls(alpha=raw["alpha"], contrasts=found)
        plain = read.plain()
        older = plain | {"sha256": _seal(read.alpha, plain["contrasts"], explored=False)}
        if raw not in (plain, older):
            edited = _edited(plain, raw)
            raise UserError(
                f"{where}: its analysis was edited after it was registered ({edited})",
                "undo that, or move the file away, which loses what it registered; "
                "ask something else with: rho-sweep analyze RESULTS --questions FILE",
            )
        return read

    def with_questions(self, asked: Sequence[Contrast]) -> "Registration":
        """Add questions that were not asked before, as explored ones: their data exist."""
        known = {r.contrast.explored for r in self.tested}
        distinct: dict[str, Contrast] = {}
        for contrast in asked:
            if contrast.explored not in known:
                distinct.setdefault(contrast.explored, contrast)
        new = [Registered(contrast=c, at=None) for c in distinct.values()]
        return replace(self, contrasts=(*self.contrasts, *new)).with_distinct_ids()

    def with_distinct_ids(self) -> "Registration":
        """The same questions; an id that several tested ones have gets a number."""
        taken: dict[str, str] = {}
        found = [r if r.withdrawn else _named(r, taken) for r in self.contrasts]
        return replace(self, contrasts=tuple(found))


def _seal(alpha: float, rows: Sequence[Mapping[str, Any]], *, explored: bool = True) -> str:
    """Digest of contrasts as `Registered.plain` has them.

    Args:
        alpha: Of the registration.
        rows: The contrasts.
        explored: Whether exploratory contrasts count that a launch asked; manifests of older
            versions leave them out. Those of `analyze --questions` have a log of their own.
    """
    registered = [r for r in rows if r["registered_at"]]
    others = [r for r in rows if explored and not r["registered_at"] and "asked_at" in r]
    facts: list[list[Any]] = [[r["sha256"] for r in of] for of in (registered, others)]
    if any("asked_at" in r for r in rows):
        always = ("sha256", "planned", "scored", "tests")
        some = ("withdrawn_at", "sequential", "joined_at", "compared")
        facts = [
            [[r.get(n) for n in always] + [r[n] for n in some if n in r] for r in of]
            for of in (registered, others)
        ]
    return digest_of([alpha, *(facts if others else facts[:1])])


def _edited(read: Mapping[str, Any], raw: Mapping[str, Any]) -> str:
    """Which parts do not go with their digests."""
    pairs = zip(read["contrasts"], raw["contrasts"], strict=True)
    names = [str(theirs.get("id")) for mine, theirs in pairs if mine != theirs]
    return ", ".join(names) or "alpha, or a contrast that was taken out"


def _named(one: Registered, taken: dict[str, str]) -> Registered:
    """The same; an id that another question has gets a number. `taken`: id -> digest."""
    digest, name, number = one.contrast.digest, one.contrast.id, 1
    while taken.get(name, digest) != digest:
        number += 1
        name = f"{one.contrast.id}.{number}"
    taken[name] = digest
    return replace(one, contrast=replace(one.contrast, id=name))


def ask(
    folder: Path,
    earlier: Mapping[str, Any] | None,
    asked: Questions,
    specs: Collection[CellSpec],
    *,
    seen: Set[str],
    linked: Collection[str],
) -> tuple[Registration, list[str], datetime]:
    """What a launch into a folder registers now, what people should know of it, and when it was.

    Args:
        folder: The results.
        earlier: As in `begin`.
        asked: As in `begin`.
        specs: All cells of the sweep.
        seen: Cells that have or had a result, here or beside it.
        linked: Those of them whose results are those of another sweep.
    """
    now = datetime.now(UTC)
    new = [s for s in specs if s.cell_id not in seen] if asked.contrasts else []
    alike = seen_otherwise(folder, new)
    found = begin(earlier, asked, arms_of(specs), seen=seen | alike, now=now)
    return found, found.news(now, linked, alike), now


def begin(
    earlier: Mapping[str, Any] | None,
    asked: Questions,
    arms: Sequence[Arm],
    *,
    seen: Collection[str],
    now: datetime,
) -> Registration:
    """The registration of a launch.

    Args:
        earlier: Manifest of an earlier launch into the same folder; None for the first.
        asked: Contrasts of the sweep file.
        arms: What the sweep plans.
        seen: Cells with a result, also those of sweeps beside this one and of an earlier file.
        now: When.
    """
    kept, at = Registration.of(earlier or {}), _text(now)
    trained = {cell for arm in arms for cell in arm.cells}
    trained.update(*(r.cells or () for r in kept.contrasts))
    times = [r.joined or r.asked for r in kept.contrasts if r.at is not None]
    joined = min(filter(None, times), default=None) if trained.isdisjoint(seen) else None
    new = {
        c.digest: replace(_asked(c, asked.looks, arms, seen, at), joined=joined)
        for c in asked.contrasts
    }
    known = {r.contrast.digest for r in kept.contrasts}
    reworded = {r.contrast.question: d for d, r in new.items() if d not in known}
    found: list[Registered] = []
    unheard: list[str] = []
    for one in kept.contrasts:
        digest = one.contrast.digest
        digest = digest if digest in new else reworded.get(one.contrast.question, digest)
        again = new.get(digest)
        if one.withdrawn is not None:
            found.append(one)
        elif again is None:
            found.append(_not_asked(one, arms, seen, at))
        elif _is_as_before(again, one) or not (one.planned or one.asked):
            found.append(one)
            del new[digest]
        elif not one.planned or (one.at is not None and not _is_known(one, arms, seen)):
            found.append(replace(one, withdrawn=at))  # asked anew, e.g. of other cells
        else:
            later = [again.planned.get(arm, ()) for arm in one.planned if one.at is not None]
            added = tuple(c for cells in later for c in cells if c not in (one.cells or ()))
            found.append(replace(one, later=added))
            unheard += _too_late(again, one)
            if again.planned.keys() <= one.planned.keys():
                del new[digest]  # more seeds, when the answer may be known
    held = any(r.at is not None and r.withdrawn is None and _is_known(r, arms, seen) for r in found)
    if held and asked.contrasts and asked.alpha != kept.alpha:
        unheard.append(
            f"alpha stays {kept.alpha:g}, as it was registered; {asked.alpha:g} comes after results"
        )
    every = Registration(
        alpha=kept.alpha if held else asked.alpha,
        contrasts=(*found, *new.values()),
        unheard=tuple(unheard),
    )
    return every.with_distinct_ids()


def _is_as_before(again: Registered, one: Registered) -> bool:
    now, then = ((r.planned, r.looks, r.contrast.digest) for r in (again, one))
    return now == then


def _too_late(again: Registered, one: Registered) -> Iterator[str]:
    """What a launch says otherwise of a contrast whose answer may be known."""
    if one.at is not None and again.looks != one.looks:
        when = one.looks.when if one.looks else "when all planned seeds are in"
        yield f"{one.contrast.id} is judged {when}, as it was registered: other looks come too late"
    if again.contrast.claim.split() != one.contrast.claim.split():
        yield f"{one.contrast.id} keeps its claim in the words in which it was asked"


def _asked(
    contrast: Contrast, looks: Looks | None, arms: Sequence[Arm], seen: Collection[str], at: str
) -> Registered:
    """A contrast that is asked now."""
    rows: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for behavior, choice in choices_of(contrast, arms):
        if choice.problem is None:  # an arm at two moments, or in two frames, is one arm
            rows.setdefault((choice.which, tuple(dict.fromkeys(choice.arms))), []).append(behavior)
    compared = {arm for _, of in rows for arm in of}
    planned = {a.arm_id: a.cells for a in arms if a.arm_id in compared and a.cells}
    one = Registered(
        contrast=contrast,
        at=at,
        asked=at,
        planned=planned,
        looks=looks,
        scored=tuple(cell for cells in planned.values() for cell in cells if cell in seen),
        compared=tuple(
            Planned(which=which, arms=of, behaviors=tuple(behaviors))
            for (which, of), behaviors in rows.items()
        ),
    )
    tests = sum(len(row.behaviors) for row in one.compared if one.covers(row.arms))
    return replace(one, at=at if tests else None, tests=tests)


def _not_asked(one: Registered, arms: Sequence[Arm], seen: Collection[str], at: str) -> Registered:
    """A contrast that the file no longer has: withdrawn if nobody could know its answer."""
    explored = one.at is None and (bool(one.planned) or one.asked is None)
    if one.dropped is not None:
        return one
    if explored or _is_known(one, arms, seen):
        return replace(one, dropped=at)
    return replace(one, withdrawn=at)


def _is_known(one: Registered, arms: Sequence[Arm], seen: Collection[str]) -> bool:
    """Whether somebody can know an answer: all arms of a comparison have a result.

    Along an axis two of them show the direction already. Comparisons that it was not registered
    for do not count. Of an arm that has a result and is not planned any more nobody can say what
    it was compared with, so an answer counts as known.
    """
    if not one.planned:
        return bool(seen)
    known = {arm for arm, cells in one.planned.items() if set(cells).intersection(seen)}
    here = [a for a in arms if a.arm_id in one.planned or not a.cells]
    if not known.issubset(a.arm_id for a in here):
        return True
    for _, choice in choices_of(one.contrast, here):
        there, trained = one.known({*choice.arms}, seen)
        enough = min(trained, 2) if one.contrast.kind.rules.takes_all else trained
        if choice.problem is None and one.covers(choice.arms) and there >= enough:
            return True
    return False


def _text(now: datetime) -> str:
    """To the microsecond: the time also tells one launch from the next."""
    return now.isoformat()


def asked_later(folder: Path) -> Iterator[Contrast]:
    """The questions of the log, in order, each once.

    Raises:
        UserError: The log is damaged.
    """
    path = folder / ASKED
    seen: set[str] = set()
    if not path.is_file():
        return
    try:
        for line in read_text(path).splitlines():
            contrast = Contrast.from_dict(parse_json(line)["contrast"])
            if contrast.explored not in seen:
                seen.add(contrast.explored)
                yield contrast
    except (NodeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: is damaged ({error})",
            "it lists the questions asked of these results; delete it only if none was asked",
        ) from None


def log_questions(folder: Path, contrasts: Iterable[Contrast], now: datetime) -> None:
    """Add questions to the log that are not in it.

    Raises:
        UserError: The log is damaged, or cannot be written.
    """
    known = {c.explored for c in asked_later(folder)}
    new = [c for c in contrasts if c.explored not in known]
    at = now.isoformat(timespec="seconds")
    lines = [json.dumps({"asked_at": at, "contrast": c.plain()}) + "\n" for c in new]
    path = folder / ASKED
    if lines:
        with writing(path), path.open("a", encoding="utf-8") as log:
            log.write("".join(lines))
