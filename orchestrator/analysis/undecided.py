"""Which cells a launch leaves aside until a claim that is not decided needs them."""

from collections.abc import Collection, Sequence

from orchestrator.analysis.inference.record import Inference
from orchestrator.cells.choose import Arm
from orchestrator.cells.expand import Aside
from orchestrator.results.registration import Registered
from orchestrator.results.store import Store
from orchestrator.stats.verdict import Verdict


def aside(store: Store, arms: Sequence[Arm]) -> Aside:
    """By the registered rule of each claim, and by nothing else.

    Args:
        store: The results so far, with what is registered.
        arms: Of the sweep; the trained cells of each are in the order of their seeds.

    Raises:
        UserError: A table is corrupted, or what was registered was edited.
    """
    # scipy.stats behind them is slow to load, and a plan needs `left_aside` only
    from orchestrator.analysis.inference.rows import inferences
    from orchestrator.analysis.load import load_frame, load_manifests, registration_of

    registration = registration_of([store], load_manifests([store]))
    asked = [one for one in registration.tested if one.at is not None]
    frame = load_frame([store])
    rows = list(inferences(frame, registration, ())) if frame.arms else []
    return left_aside(asked, rows, arms, store.done())


def left_aside(
    asked: Sequence[Registered],
    rows: Sequence[Inference],
    arms: Sequence[Arm],
    settled: Collection[str],
) -> Aside:
    """As `aside`, of registered claims and their tested rows. Pure.

    Every arm gets the seeds of the first look. Then the arms of each row that is not decided get
    the seeds of the next look that lacks some. A claim that may not be judged early, e.g. a trend,
    goes along with the looks, and gets all of its seeds.
    """
    every = {cell for arm in arms for cell in arm.cells}
    asked = [one for one in asked if one.cells and every.intersection(one.cells)]
    firsts = [min(_steps(one)) for one in asked if one.looks is not None]
    needed = {cell for arm in arms for cell in arm.cells[: min(firsts, default=0)]}
    told: list[str] = []
    for one in asked:
        mine = [r for r in rows if r.registered and r.contrast_id == one.contrast.id]
        open_rows = [r for r in mine if not _is_decided(r)]
        if mine and not open_rows:
            continue
        wanted = {arm for row in open_rows for arm in row.arms}
        if not all(row.arms for row in open_rows) or not mine:
            wanted = {*one.planned}
        for n in _steps(one):
            first = {cell for arm in wanted for cell in one.planned.get(arm, ())[:n]} & every
            if not first.issubset(settled):
                needed |= first
                told.append(f"{one.contrast.id} at {n} seeds")
                break
    waiting = frozenset(every - needed - {*settled})
    said = f"next look: {', '.join(told)}" if told else "no claim needs more seeds"
    return Aside(cells=waiting, told=said)


def _is_decided(row: Inference) -> bool:
    word = Verdict(row.verdict)
    return word.supports or word is Verdict.CONTRADICTED


def _steps(one: Registered) -> list[int]:
    """Numbers of seeds at which a claim is judged; the last are all that it may have."""
    most = max(map(len, one.planned.values()), default=0)
    if one.looks is None:
        return [most]
    if one.looks.anytime:
        return [*range(2, most), most]
    last = [] if one.contrast.kind.rules.sequential else [most]
    return [*one.looks.ns, *last]
