"""Saved adapters and untrained models of some results score another pack. No cell is trained."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from orchestrator.cells import tokenised
from orchestrator.cells.memory import Texts, cell_memory
from orchestrator.errors import UserError, hint
from orchestrator.execution.display import Display
from orchestrator.execution.launch import Options
from orchestrator.results.attempts import alone, last_attempts
from orchestrator.results.folder import WEIGHTS, kept_step
from orchestrator.results.manifest import demand_trainable, load_manifest, run_settings
from orchestrator.results.store import Store
from orchestrator.results.stress_record import packs_in, units_of_pack, write_pack
from orchestrator.stress.run import finished, run_units
from tasks.contract.cell import CellSpec, Condition, NodeError, ProbeSpec
from tasks.contract.scoring import Pair, PairSet, ScoringSpec
from tasks.data import lengths
from tasks.data.probe_packs import load_pack, usable
from tasks.data.probes import Probes, prepare_probes
from tasks.data.split import HELDOUT, TRAIN, HeldoutGuard
from tasks.model.path import known_path
from tasks.sources.model_files import ModelFiles

WHAT = "scorings"
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescored:
    """How a scoring ended.

    Attributes:
        pack: Name of the pack.
        units: Key -> label of all that was to be scored.
        reused: Of those, scored before.
        failed: Key -> why there are no scores.
    """

    pack: str
    units: dict[str, str]
    reused: int
    failed: dict[str, str]


def score(
    folder: Path, pack: str, behaviors: Sequence[str], options: Options, display: Display
) -> Rescored:
    """Score what is not scored yet.

    Args:
        folder: The results.
        pack: A built-in name, or a path.
        behaviors: Behaviours of the pack; none stands for all.
        options: How to run.
        display: Shows how it goes.

    Raises:
        UserError: No cell is finished, or another problem that the user can fix.
        NodeError: The pack is missing or malformed.
        KeyboardInterrupt: Stopped by the user; finished units are kept.
    """
    store, manifest = Store.existing(folder), load_manifest(folder)
    demand_trainable(folder)
    pairs, name = chosen(pack, behaviors), name_of(pack)
    store.create()
    with alone(store):
        cells = list(finished(store, manifest["cells"]))
        specs = [spec for spec, _ in cells]
        guard = _guard(specs)
        if guard is None:
            display.note(
                "the sweep's own pairs have changed or are gone, so that no pair of this pack "
                "can be called held out: all count as train"
            )
        alike = {spec.probes: spec for spec in specs}  # with one split of the pairs
        sets = {probes: [*_sets(name, pairs, s, guard)] for probes, s in alike.items()}
        units: list[ScoringSpec] = []
        for spec, row in cells:
            for asked in sets[spec.probes]:
                units += _units(spec, row, manifest["cells"][spec.cell_id], asked)
        known = set(packs_in(folder).get(name, {}).get("digests", ()))
        if known and known.isdisjoint(u.pairs.digest for u in units):
            display.note(f"{name} has other pairs than before; its earlier scores count no more")
        write_pack(folder, name, units)
        every = {u.key: u for u in units}
        before = store.scored_units()
        todo = {key: u for key, u in every.items() if key not in before}
        done = len(every) - len(todo)
        display.begin(total=len(every), done=done, linked=0, what=WHAT)
        run, ended = run_settings(manifest), "every unit of the scoring is settled"
        run_units(store, todo, (_memory, _work), run, options, display, ended)
        return rescored(store, name, done)


def name_of(pack: str) -> str:
    """A pack's name in the tables: the built-in one, or that of the file, without its folder."""
    return Path(pack).name.encode(errors="replace").decode()


def rescored(store: Store, name: str, done: int) -> Rescored:
    """What became of the last scoring of a pack, by the tables.

    Args:
        store: The results.
        name: Of the pack.
        done: How many of its units were scored before.
    """
    units, scored = units_of_pack(store.folder, name), store.scored_units()
    last = last_attempts(store)
    said = {key: last[key]["message"] if key in last else None for key in units}
    return Rescored(
        pack=name,
        units=units,
        reused=done,
        failed={key: said[key] or "no host ran it" for key in units if key not in scored},
    )


def chosen(pack: str, behaviors: Sequence[str]) -> tuple[Pair, ...]:
    """Pairs that can be scored, of some behaviours, ordered by id.

    Args:
        pack: A built-in name, or a path.
        behaviors: Behaviours of the pack; none stands for all.

    Raises:
        UserError: The pack has no such behaviour, or no pair that can be scored.
        NodeError: The pack is missing or malformed.
    """
    pairs = load_pack(pack)
    known = sorted({p.behavior for p in pairs})
    for name in behaviors:
        if name not in known:
            raise UserError(
                f'probe pack {pack} has no behaviour "{name}"{hint(name, tuple(known))}',
                f"it has {', '.join(known)}",
            )
    found = usable(pairs, tuple(behaviors) or tuple(known))
    if not found:
        raise UserError(f"probe pack {pack}: both texts of every pair are the same")
    return tuple(sorted(found, key=lambda p: p.id))


@cache
def _own(probes: ProbeSpec) -> Probes | None:
    """The pairs of a sweep as its cells had them; None where they are gone or others now."""
    try:
        found = prepare_probes(probes.pack, probes.train, probes.evaluate, probes.heldout)
    except NodeError:
        return None
    return found if found.digest == probes.digest else None


def _guard(specs: Sequence[CellSpec]) -> HeldoutGuard | None:
    """Recognises text of pairs that a training may have seen; None where these are not known."""
    found = [_own(probes) for probes in dict.fromkeys(s.probes for s in specs)]
    seen = [pair for own in found if own for pair in own.pool]
    return HeldoutGuard(seen, {p.id: HELDOUT for p in seen}) if all(found) else None


def _sets(
    name: str, pairs: tuple[Pair, ...], spec: CellSpec, guard: HeldoutGuard | None
) -> Iterator[PairSet]:
    """The pairs as one cell scores them: those of the sweep as the sweep did, then the others.

    Pairs that are scored together share passes, so that these sets decide the last bit. A pair of
    the sweep keeps its split. Another one counts as held out unless it is one that a training may
    have seen.
    """
    own = _own(spec.probes)
    mine = {p.id: p for p in own.evaluated} if own else {}
    known = [p for p in pairs if mine.get(p.id) == p]
    others = [p for p in pairs if mine.get(p.id) != p]

    def part(pair: Pair) -> str:
        seen = guard is None or guard.touches(pair.positive) or guard.touches(pair.negative)
        return TRAIN if seen else HELDOUT

    splits = ((known, own.split if own else {}), (others, {p.id: part(p) for p in others}))
    for some, split in splits:
        if some:
            chosen = {p.id: split[p.id] for p in some}
            yield PairSet(name=name, pairs=tuple(some), split=chosen)


def _units(spec: CellSpec, row: Row, label: str, asked: PairSet) -> Iterator[ScoringSpec]:
    """One cell's saved adapters, the trained one first, or the untrained model."""
    digests: dict[int | None, str | None] = {None: row["adapter_sha256"]}
    for file in row["files"] or ():
        step = kept_step(file["name"], spec.cell_id)
        if step is not None and file["name"].endswith(WEIGHTS):
            digests[step] = file["sha256"]
    for moment, digest in digests.items():
        yield ScoringSpec(
            cell_id=spec.cell_id,
            cell_label=label,
            seed=spec.seed,
            model=spec.model,
            train=spec.train,
            adapter_sha256=digest,
            step=moment,
            pairs=asked,
            max_length=spec.max_length,
        )


def _memory(unit: ScoringSpec, files: ModelFiles) -> int:
    """Estimated peak of a worker process that runs the unit, bytes: that of a baseline's cell."""
    encoded = tokenised.pairs(files, unit.pairs.pairs, unit.max_length)
    behaviors = tuple(Counter(p.behavior for p in unit.pairs.pairs))
    cell = CellSpec(
        condition=Condition.BASELINE,
        model=unit.model,
        probes=ProbeSpec(
            pack=unit.pairs.name, train=(), evaluate=behaviors, heldout=0.0, digest=""
        ),
        max_length=unit.max_length,
    )
    texts = Texts(scored=lengths.of_texts(encoded, unit.max_length), sft=None, pairs=None)
    metal = sys.platform == "darwin"
    return cell_memory(cell, files, texts, metal=metal, path=known_path(files))


def _work(unit: ScoringSpec, files: ModelFiles) -> float:
    """Estimated effort, in a unit of its own: texts, weighted by the size of the model."""
    return float(2 * len(unit.pairs.pairs) * max(files.weight_bytes, 1))
