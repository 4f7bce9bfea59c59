"""All rows of an analysis: registered contrasts on their own cells, then what is explored."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import product

from orchestrator.analysis.evidence.arms import floor_of
from orchestrator.analysis.evidence.frame import Frame
from orchestrator.analysis.evidence.refusals import Refusals, Stressed, stressed
from orchestrator.analysis.inference.arms import Selector
from orchestrator.analysis.inference.families import settle
from orchestrator.analysis.inference.infer import absent, infer
from orchestrator.analysis.inference.question import Study, Tested
from orchestrator.analysis.inference.record import (
    ADDED,
    AGAIN,
    FIRST_TEST,
    KNOWN_BEFORE,
    PART_AGAIN,
    SILENT,
    WITHOUT,
    Family,
    Inference,
)
from orchestrator.analysis.inference.sequential import of_all_looks
from orchestrator.config.contrast_kinds import Subject
from orchestrator.config.contrasts import Contrast, Looks, concerns
from orchestrator.results.registration import Registered, Registration
from orchestrator.results.store import SETTLED
from tasks.contract.cell import Status

NO_SCORE = "none of its cells has a score"
OK = str(Status.OK)
Key = tuple[tuple[str, str, str, tuple[str, ...]], str, frozenset[str]]
"""Of a row: digest of its contrast, behaviour, split and arms; stress test; cells."""


class Part:
    """Results, or those of some of their cells, as contrasts are asked of them."""

    def __init__(self, frame: Frame, refusals: Sequence[Refusals], test: str = "") -> None:
        self.frame, self._refusals, self.test = frame, refusals, test
        self._selector = Selector(frame, frame.evidence())
        self.settled = {c for c, row in frame.cells.items() if row["status"] in SETTLED}

    @cached_property
    def _answers(self) -> list[Stressed]:
        return stressed(self._refusals)

    @cached_property
    def _answered(self) -> set[str]:
        """Settled cells that have all answers they can have; one that diverged has none."""
        places = {(r.arm_id, r.seed) for r in self._refusals if r.whole}
        rows = ((cell, self.frame.cells[cell]) for cell in self.settled)
        return {c for c, r in rows if r["status"] != OK or (r["arm_id"], r["seed"]) in places}

    def of(self, one: Registered) -> "Part":
        """The cells that a contrast was registered for; all, where it concerns no others."""
        cells = one.cells
        if cells is None or all(
            self.frame.cells_of([arm]) <= cells
            for arm in self.frame.arms
            if concerns(one.contrast, self.frame.facts(arm))
        ):
            return self
        frame = self.frame.within(cells)
        scored = {e.arm_id for e in frame.evidence()}
        rows = (row for row in frame.cells.values() if row["arm_id"] in scored)
        places = {(row["arm_id"], row["seed"]) for row in rows}
        kept = [r for r in self._refusals if (r.arm_id, r.seed) in places]
        return Part(frame, kept, self.test)

    def judged(self, one: Registered, alpha: float) -> Iterator[Tested]:
        """The rows of a registered contrast, at the time at which it may be judged."""
        looks = one.looks if one.contrast.kind.rules.sequential else None
        if looks is None:
            return self.of(one).registered(one, alpha)
        return (self.at_any_time if looks.anytime else self.looked)(one, alpha)

    def registered(
        self, one: Registered, alpha: float, covers: Callable[[Sequence[str]], bool] | None = None
    ) -> Iterator[Tested]:
        """The rows of a contrast; those for arms that it was not registered for are explored.

        Args:
            one: The contrast, with the cells that are to be there.
            alpha: Level of the test.
            covers: Whether it was registered for some arms; None asks `one`.
        """
        study = self._study(one.contrast, alpha)
        if one.looks and one.looks.anytime and one.contrast.kind.rules.sequential:
            seeds = {c: row["seed"] for c, row in self.frame.cells.items()}
            places = {a: [seeds[c] for c in cs if c in seeds] for a, cs in one.planned.items()}
            study = replace(study, places=places)
        about_answers = one.contrast.kind.rules.about is Subject.ANSWERS
        settled = self._answered if about_answers else self.settled
        what = "answers" if about_answers else "result"
        for tested in _as_planned(study, one, infer(study, registered=covers or one.covers)):
            row, interim = tested.row, None
            if row.registered or row.status == "missing":
                lost, planned = one.missing(row.arms or one.planned, settled)
                interim = f"{lost} of {planned} planned cells have no {what} yet" if lost else None
                row = replace(row, registered=True, family=Family.PRIMARY)
            looked = tested.looked and interim is None
            yield self._measured(replace(tested, row=row, interim=interim, looked=looked))

    def looked(self, one: Registered, alpha: float) -> Iterator[Tested]:
        """As `registered`, at the last look of which all planned cells have a result.

        The p is one for all looks so far; estimate and interval are those of the last one.
        """
        looks = one.looks or Looks()
        found: dict[tuple[str, tuple[str, ...]], dict[int, Tested]] = defaultdict(dict)
        for n in looks.ns:
            for tested in self._first(n, one, alpha):
                found[tested.row.behavior, tested.row.arms][n] = tested
        # What is compared is told by all planned seeds: an arm may have no score at an early look.
        for by_look in (of for of in found.values() if looks.ns[-1] in of):
            done = {n: t for n, t in by_look.items() if t.interim is None and t.row.p is not None}
            waiting = [t for t in by_look.values() if t.interim is not None]
            tested = of_all_looks(done, looks) if done else [*waiting, *by_look.values()][0]
            which = by_look[looks.ns[-1]].row.which
            yield replace(tested, row=replace(tested.row, which=which))

    def at_any_time(self, one: Registered, alpha: float) -> Iterator[Tested]:
        """As `registered`, by e-values, of the first seeds of a row's arms that all have a result.

        A seed whose turn is later than that of a missing one is not used yet.
        """
        most = max(map(len, one.planned.values()))
        ready = {}
        for arm, cells in one.planned.items():
            lost = [i for i, cell in enumerate(cells) if cell not in self.settled]
            ready[arm] = max(2, lost[0]) if lost else most
        found: dict[tuple[str, tuple[str, ...]], dict[int, Tested]] = defaultdict(dict)
        for n in sorted({*ready.values()}):
            for tested in self._first(n, one, alpha):
                if tested.row.arms or n == max(ready.values()):
                    found[tested.row.behavior, tested.row.arms][n] = tested
        for (_, arms), by_n in found.items():
            n = min((ready[arm] for arm in arms if arm in ready), default=most)
            planned = max((len(one.planned[arm]) for arm in arms if arm in ready), default=most)
            tested = by_n.get(n, by_n[min(by_n)])
            if tested.interim is None and n < planned:
                tested = replace(tested, interim=f"{n} of {planned} planned seeds are in")
            yield tested

    def _first(self, n: int, one: Registered, alpha: float) -> Iterator[Tested]:
        """As `registered`, with the first `n` planned cells of every arm."""
        first = replace(one, planned={arm: cells[:n] for arm, cells in one.planned.items()})
        yield from self.of(first).registered(first, alpha, one.covers)

    def explored(self, contrast: Contrast, alpha: float) -> Iterator[Tested]:
        """The rows of a contrast for all arms that it fits."""
        yield from map(
            self._measured, infer(self._study(contrast, alpha), registered=lambda _: False)
        )

    def key(self, contrast: Contrast, row: Inference) -> Key:
        """What two rows have in common that say the same."""
        cells = self.frame.cells_of(row.arms)
        return (contrast.digest, row.behavior, row.split, row.arms), self.test, cells

    def _measured(self, tested: Tested) -> Tested:
        """The row with the numerical floor of the precision that its arms were computed in."""
        cells = self.frame.cells_of(tested.row.arms)
        precisions = {str(self.frame.cells[cell]["base_precision"]) for cell in cells}
        floor = max((floor_of(p) for p in precisions), default=0.0)
        return replace(tested, floor=floor)

    def _study(self, contrast: Contrast, alpha: float) -> Study:
        return Study(
            contrast=contrast,
            selector=self._selector,
            frame=self.frame,
            answers=self._answers,
            alpha=alpha,
        )


def _as_planned(study: Study, one: Registered, found: Iterable[Tested]) -> Iterator[Tested]:
    """The rows under the names that were planned, then a row of each comparison without one.

    A row is told by its first arm; where it compares all that there are, by arms of its own.
    """
    rules = one.contrast.kind.rules
    uses = Counter(arm for planned in one.compared for arm in planned.arms)
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, planned in enumerate(one.compared):
        own = [a for a in planned.arms if uses[a] == 1] if rules.takes_all else planned.arms[:1]
        for place in product(planned.behaviors, own):
            places[place].append(number)
    left = {(n, behavior): None for n, p in enumerate(one.compared) for behavior in p.behaviors}
    nameless: dict[str, Tested] = {}
    for tested in found:
        row = tested.row
        behavior = "" if rules.about is Subject.ANSWERS else row.behavior
        told = row.arms if rules.takes_all else row.arms[:1]
        numbers = [n for arm in told for n in places.get((behavior, arm), ())]
        if not row.arms and row.status == "missing":
            nameless[behavior] = tested
            continue
        for n in numbers if row.arms else range(len(one.compared)):
            left.pop((n, behavior), None)
        if len({*numbers}) == 1:
            planned = one.compared[numbers[0]]
            arms = planned.arms if row.status == "missing" else row.arms
            row = replace(row, which=planned.which, arms=arms)
        yield replace(tested, row=row)
    for n, behavior in left:
        if one.covers(one.compared[n].arms):
            why = nameless[behavior].row.notes if behavior in nameless else (NO_SCORE,)
            yield absent(study, one.compared[n], behavior, why)
    told_of = {behavior for n, behavior in left if one.covers(one.compared[n].arms)}
    yield from (tested for behavior, tested in nameless.items() if behavior not in told_of)


def inferences(
    frame: Frame,
    registration: Registration,
    refusals: Sequence[Refusals],
    silent: Collection[str] = (),
    first: Mapping[str, Sequence[Refusals]] | None = None,
) -> Iterator[Inference]:
    """Every contrast tested, adjusted within its family, with a verdict.

    A registered contrast is tested on the cells that were planned when it was registered. Cells
    that came later, e.g. of more seeds, are no part of that; with them it is explored. Both rows
    say so. A registered contrast on answers is tested on the first stress test after it was asked:
    `first` has these answers by that time, where later tests asked something else.
    """
    whole, alpha = Part(frame, refusals), registration.alpha
    named: list[tuple[Registered, Tested]] = []
    sizes: Counter[tuple[str, str]] = Counter()
    seen: set[Key] = set()
    answered: set[str] = set()
    for one in (r for r in registration.tested if r.at is not None):
        mine = _asked_of(whole, one, first or {})
        part, every = mine.of(one), list(mine.judged(one, alpha))
        rows = [t for t in every if t.row.registered]
        if part is whole and len(rows) == len(every):
            answered.add(one.contrast.digest)
        rows = [t for t in rows if part.key(one.contrast, t.row) not in seen]
        seen |= {part.key(one.contrast, t.row) for t in rows}
        group = f"{one.origin}/{one.contrast.family or ''}"
        sizes[group, one.launch] += max(len(rows), one.tests)
        rows = [replace(t, row=_with_added(t.row, one, mine)) for t in rows]
        named += [(one, replace(t, group=group, asked=one.launch)) for t in rows]
    found = [*_apart(named)]
    compared = {_compared(t.row) for t in found}
    for contrast in {r.contrast.digest: r.contrast for r in registration.tested}.values():
        if contrast.digest not in answered:
            places = {place for place, _, _ in seen}
            for tested in whole.explored(contrast, alpha):
                key, row = whole.key(contrast, tested.row), tested.row
                again = []
                if row.arms and _compared(row) in compared:
                    again = [AGAIN if key[0] in places else PART_AGAIN]
                if key not in seen:
                    found.append(replace(tested, row=replace(row, notes=(*row.notes, *again))))
    for row in settle(found, alpha, sizes):
        yield _with_losses(row, frame, silent)


def _compared(row: Inference) -> tuple[object, ...]:
    return row.kind, row.behavior, row.split, row.arms


def _apart(found: Sequence[tuple[Registered, Tested]]) -> Iterator[Tested]:
    """Rows of a question that several results registered are named by their results."""
    origins: dict[str, set[str]] = defaultdict(set)
    for one, _ in found:
        origins[one.contrast.digest].add(one.origin)
    for one, tested in found:
        row = tested.row
        if len(origins[one.contrast.digest]) > 1:
            row = replace(row, which=f"{row.which} in {one.origin}".strip())
        yield replace(tested, row=row)


def _asked_of(whole: Part, one: Registered, first: Mapping[str, Sequence[Refusals]]) -> Part:
    """The results that a contrast is asked of; for `first` see `inferences`."""
    answers = first.get(one.asked or "") if one.about_answers else None
    if answers is None:
        return whole
    tests = {f"{r.asked}, judged by {r.judge}" for r in answers}
    return Part(whole.frame, answers, " and ".join(sorted(tests)) or "without an answer")


def _with_added(row: Inference, one: Registered, part: Part) -> Inference:
    """A registered row; its notes say what was known before it, and what came later."""
    notes = [f"{FIRST_TEST}{part.test}"] if part.test else []
    known, trained = one.known(row.arms, one.scored)
    if known and one.contrast.kind.rules.takes_all:
        notes.append(f"{KNOWN_BEFORE}{known} of {trained} arms")
    if one.cells is not None and (added := len(part.frame.cells_of(row.arms) - one.cells)):
        notes.append(f"{ADDED}{added}")
    return replace(row, notes=(*row.notes, *notes))


def _with_losses(row: Inference, frame: Frame, silent: Collection[str]) -> Inference:
    """The row; its notes name cells of its arms without scores, and arms without a hinge."""
    lost = [
        f"{cell['condition']} seed={cell['seed']} ({cell['status']})"
        for cell in frame.unscored
        if cell["arm_id"] in row.arms
    ]
    notes = [f"{WITHOUT}{', '.join(lost)}"] if lost else []
    if any(arm in silent for arm in row.arms):
        notes.append(SILENT)
    return replace(row, notes=(*row.notes, *notes))
