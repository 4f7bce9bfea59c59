"""Works out what a launch would do: cells, memory, time, attainable p. Writes nothing."""

import json
import math
import re
import shutil
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psutil

from orchestrator.analysis.undecided import left_aside
from orchestrator.cells.choose import arms_of
from orchestrator.cells.expand import Expansion
from orchestrator.cells.load import resolve
from orchestrator.cells.memory import adapter_size
from orchestrator.cells.model_size import FLOAT, Sizes
from orchestrator.cells.resolve import FileResolver
from orchestrator.cells.roofline import CHIPS, Effort
from orchestrator.config.contrast_kinds import Margin, Planned, Subject
from orchestrator.config.sweep_file import Sweep
from orchestrator.errors import UserError
from orchestrator.execution.scheduling.speed import cell_work
from orchestrator.inspection.plan_power import Power, power_of
from orchestrator.inspection.stress_outlook import StressOutlook, as_json, outlook_of
from orchestrator.inspection.stress_outlook import describe as describe_stress
from orchestrator.results.folder import demand_plain
from orchestrator.results.manifest import NAME, demand_ours, load_manifest, unreadable
from orchestrator.results.registration import Registration, ask
from orchestrator.results.store import Store, stores, unread_note
from orchestrator.stats.exact import min_sign_flip_p
from orchestrator.stats.records import Alternative
from orchestrator.visible import size
from tasks.contract.cell import CellSpec, is_known
from tasks.model.machine import chip, default_slots, gpu_memory
from tasks.sources.model_files import ModelFiles, precision
from tasks.sources.paths import nearest

if TYPE_CHECKING:
    from orchestrator.analysis.evidence.frame import Frame  # loads pyarrow.compute

T = TypeVar("T")
Rows = tuple[Store, list[dict[str, Any]]]
ROOFLINE = 1e13
"""Operations a second for which hours are told where no GPU's full speed is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is known about a sweep, or several, before it runs.

    Attributes:
        named: Number of points in the grids.
        cells: The distinct cells of these points.
        baselines: Cells that evaluate the untrained model.
        done: Cell ids that have a result anywhere under the results root.
        missing: Models and data that a launch would download.
        memory: Cell id -> estimated peak, bytes; only cells whose model is on this machine.
        gpu: Bytes that the GPU of this Mac may use; None elsewhere.
        seconds: Median seconds of a finished cell with the same model; None without one.
        efforts: Of the open cells; None where a model or its data is not here.
        slots: Number of cells that run at once.
        seeds: Number of seeds of the arm with the fewest.
        alpha: Level of the registered contrasts; of several sweeps the strictest one.
        power: The smallest effect and p that each registered contrast can find.
        stress: The stress tests of the sweeps that have one.
        adapted: What `lora_keys` names in each model, for people.
        paths: How the passes of cells go on this machine, and why if plain, for people.
        notes: What people should know of the models and texts, and of damaged results beside.
        claims: Which contrasts a launch would register, and which not and why, for people.
        bound: The largest peak of a cell with texts as long as they may be, bytes; None where not
            every model is known.
        operations: Of all cells that have no result, counted likewise; None likewise.
        adapters: Bytes of the adapters of these cells; None likewise.
        downloads: Missing model -> bytes of its weights, where they are known.
        free: Bytes free in this machine's memory, and on the disk of the results.
    """

    named: int
    cells: tuple[CellSpec, ...]
    baselines: tuple[CellSpec, ...]
    done: frozenset[str]
    missing: tuple[str, ...]
    memory: dict[str, int]
    gpu: int | None
    seconds: float | None
    efforts: tuple[Effort, ...] | None
    slots: int
    seeds: int
    alpha: float
    power: tuple[Power, ...]
    stress: tuple[StressOutlook, ...] = ()
    adapted: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    bound: int | None = None
    operations: float | None = None
    adapters: int | None = None
    downloads: Mapping[str, int] = field(default_factory=dict)
    free: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        return "\n".join(describe(self))

    @property
    def smallest_p(self) -> float | None:
        """Smallest two-sided p that an exact sign-flip test over the seeds can reach."""
        return min_sign_flip_p(self.seeds, Alternative.TWO_SIDED) if self.seeds else None

    @property
    def todo(self) -> list[CellSpec]:
        """The open cells."""
        return [s for s in (*self.baselines, *self.cells) if s.cell_id not in self.done]

    @property
    def left_s(self) -> float | None:
        """Estimated seconds until all cells are done; None when nothing is known yet."""
        if not self.todo:
            return 0.0
        return None if self.seconds is None else self.seconds * len(self.todo) / self.slots

    def full_speed_s(self, chip: str) -> float | None:
        """Seconds of the open cells at the full speed of a Mac's GPU; None where not known."""
        gpu = CHIPS.get(chip)
        if gpu is None or self.efforts is None:
            return None
        return sum(e.least_s(gpu) for e in self.efforts)

    def needs(self, spec: CellSpec) -> int:
        """Bytes of memory that a cell takes, estimated, or at most; 0 where not known."""
        return self.memory.get(spec.cell_id) or self.bound or 0

    def to_json(self, cluster: dict[str, Any] | None = None) -> str:
        """Stable JSON, with the outlook on a cluster's hosts if they were asked; docs/json.md."""
        body = {
            "named": self.named,
            "distinct": len(self.cells),
            "baselines": len(self.baselines),
            "done": len(self.done),
            "missing": list(self.missing),
            "estimated_left_s": self.left_s,
            "full_speed_s": self.full_speed_s(chip()),
            "paths": list(self.paths),
            "memory_peak_bytes": max(self.memory.values(), default=None),
            "gpu_memory_bytes": self.gpu,
            "slots": self.slots,
            "seeds_of_smallest_arm": self.seeds,
            "smallest_attainable_p": self.smallest_p,
            "power": [asdict(p) for p in self.power],
            "stress": [as_json(s, self.seeds, self.slots) for s in self.stress],
            "cluster": cluster,
            "cells": [self._cell(s) for s in (*self.baselines, *self.cells)],
        }
        return json.dumps(body, indent=2, allow_nan=False)

    def _cell(self, spec: CellSpec) -> dict[str, Any]:
        """One cell; its id is provisional where a model or data is not on this machine yet."""
        return {
            "cell_id": spec.cell_id,
            "arm_id": spec.arm_id,
            "label": spec.label,
            "done": spec.cell_id in self.done,
            "provisional": spec.model.digest is None
            or any(
                part is not None and not is_known(part.digest)
                for part in (spec.probes, spec.data, spec.capability)
            ),
            **asdict(spec),
        }


def plan_into(sweeps: list[Sweep], folder: Path | None, pilot: "Frame | None" = None) -> Plan:
    """As `plan`, by the folder that a launch of the one sweep would be told to write.

    Args:
        sweeps: One or more.
        folder: None for `results/NAME` of each.
        pilot: As of `plan`.

    Raises:
        UserError: A folder for several sweeps, or as `plan`.
    """
    if folder is None:
        return plan(sweeps, Path("results"), pilot)
    if len(sweeps) > 1:
        raise UserError(f"{folder}: is the folder of one sweep", "plan one, or name no folder")
    return plan(sweeps, folder.parent, pilot, folder)


def plan(
    sweeps: list[Sweep],
    root: Path,
    pilot: "Frame | None" = None,
    folder: Path | None = None,
) -> Plan:
    """Plan one sweep, or several that share their results root.

    Args:
        sweeps: One or more.
        root: Folder that holds the results of all sweeps.
        pilot: Earlier results, for the scatter over seeds and probe pairs.
        folder: Of the results of the one sweep; None for that of its name under the root.

    Raises:
        SweepError: Models, packs or data that do not fit.
        UserError: A launch could not write its results there.
    """
    places = [folder if folder is not None else root / sweep.name for sweep in sweeps]
    for place in places:
        if place.exists() and not place.is_dir():
            raise UserError(f"{place}: is no folder", "choose another with --results DIR")
        demand_ours(place)
        demand_plain(place)
    found = [resolve(sweep, download=False) for sweep in sweeps]
    cells = _union([e.cells for e, _ in found])
    baselines = _union([e.baselines for e, _ in found])
    memory = {
        s.cell_id: needed
        for s in (*baselines, *cells)
        if (needed := _first(r.memory(s) for _, r in found))
    }
    seeds: dict[str, set[int | None]] = defaultdict(set)
    for spec in cells:
        seeds[spec.arm_id].add(spec.seed)
    every = {s.cell_id: s for s in (*baselines, *cells)}
    results, unread = _results(root, "cells", places)
    done, seconds = _history(results, every)
    answers: list[Rows] = []
    if any(s.stress for s in sweeps):
        answers, more = _results(root, "generations", places)
        unread += more
    todo = [s for s in every.values() if s.cell_id not in done]
    files = {
        s.model.name: files for s in todo if (files := _first(r.sizes_of(s) for _, r in found))
    }
    asked = [
        _claims(s, e, place, done) for s, place, (e, _) in zip(sweeps, places, found, strict=True)
    ]
    efforts = [e for s in todo if (e := _first(r.effort(s) for _, r in found))]
    stress = [
        outlook_of(s, e.all, [row for _, some in answers for row in some])
        for s, (e, _) in zip(sweeps, found, strict=True)
    ]
    return Plan(
        named=sum(e.named for e, _ in found),
        cells=cells,
        baselines=baselines,
        done=done,
        missing=tuple(dict.fromkeys(m for _, r in found for m in r.missing)),
        memory=memory,
        gpu=gpu_memory(),
        seconds=seconds,
        efforts=tuple(efforts) if len(efforts) == len(todo) else None,
        slots=sweeps[0].run.slots or default_slots(),
        seeds=min(map(len, seeds.values()), default=0),
        alpha=min(s.questions.alpha for s in sweeps),
        power=tuple(
            p
            for s, (e, _), (known, _) in zip(sweeps, found, asked, strict=True)
            for p in power_of(s.questions, e.all, pilot, known)
        ),
        adapted=tuple(
            dict.fromkeys(line for _, r in found for s in cells if (line := r.adapted(s)))
        ),
        paths=tuple(
            dict.fromkeys(
                line for _, r in found for s in (*baselines, *cells) if (line := r.path(s))
            )
        ),
        notes=(
            *dict.fromkeys(
                line for _, r in found for s in (*baselines, *cells) for line in r.notes(s)
            ),
            *unread,
        ),
        **_at_most(todo, files, [r for _, r in found]),
        downloads={name: one.weight_bytes for name, one in files.items() if not one.digest},
        free=_free(root),
        stress=tuple(o for o in stress if o is not None),
        claims=tuple(line for _, lines in asked for line in lines),
    )


def _claims(
    sweep: Sweep, expansion: Expansion, folder: Path, done: frozenset[str]
) -> tuple[Registration | None, list[str]]:
    """What a launch would register now; `done` are planned cells that have a result already.

    As a record and in words; None where the folder's manifest cannot be read.
    """
    here = Store(folder).done() if folder.is_dir() else set()
    try:
        earlier = load_manifest(folder) if (folder / NAME).is_file() else {}
        reason = unreadable(earlier)
    except UserError as error:
        reason = error.reason
    if reason is not None:
        return None, [f"{folder / NAME}: {reason.removeprefix(f'{folder / NAME}: ')}"]
    found, lines, now = ask(
        folder, earlier, sweep.questions, expansion.all, seen=here | done, linked=done - here
    )
    if dropped := found.dropped_at(now):
        lines.append(f"changed or dropped after their results: {', '.join(dropped)}")
    if found.has_looks and not here | done:
        asked = [r for r in found.tested if r.at is not None]
        later = left_aside(asked, [], arms_of(expansion.all), ()).cells
        first = len(expansion.all) - len(later)
        lines.append(f"launch --until decided begins with {first} of {len(expansion.all)} cells")
    return found, lines


def _first(found: Iterable[T | None]) -> T | None:
    """The first that is known."""
    return next((one for one in found if one is not None), None)


def _operations(spec: CellSpec, files: ModelFiles) -> float:
    """Multiplications and additions of a cell at most: two a weight and token that is read."""
    stored = precision(files)
    fewest = re.match(r"q(\d+)", stored)
    bits = int(fewest[1]) if fewest else 32 if stored == "float32" else 16
    return 2 * cell_work(spec, files.weight_bytes) / (bits / 8)


def _at_most(
    todo: Sequence[CellSpec], files: Mapping[str, ModelFiles], resolvers: Sequence[FileResolver]
) -> dict[str, Any]:
    """`bound`, `operations` and `adapters` of a plan; none of them where a model is not known."""
    if {s.model.name for s in todo} != files.keys():
        return {}
    bounds = (_first(r.bound(s) for r in resolvers) for s in todo)
    return {
        "bound": max(filter(None, bounds), default=None),
        "operations": sum(_operations(s, files[s.model.name]) for s in todo),
        "adapters": sum(
            FLOAT * adapter_size(Sizes.of(files[s.model.name]), s.train) for s in todo if s.train
        ),
    }


def _free(root: Path) -> tuple[int, int]:
    """Bytes free in memory, and on the disk where the results would be."""
    return psutil.virtual_memory().available, shutil.disk_usage(nearest(root)).free


def _union(groups: list[tuple[CellSpec, ...]]) -> tuple[CellSpec, ...]:
    return tuple({s.cell_id: s for group in groups for s in group}.values())


def _results(root: Path, table: str, own: Sequence[Path]) -> tuple[list[Rows], list[str]]:
    """Rows of a table of all results under a root; and notes on others' that cannot be read."""
    found: list[Rows] = []
    notes: list[str] = []
    for store in stores(root):
        try:
            found.append((store, store.rows(table)))
        except UserError as error:
            if store.folder in own:
                raise
            notes += unread_note([error.reason])
    return found, notes


def _history(
    results: list[Rows], wanted: dict[str, CellSpec]
) -> tuple[frozenset[str], float | None]:
    """Ids of the wanted cells with a result, and the median seconds of cells with their models."""
    models = {s.model.digest for s in wanted.values()}
    done: set[str] = set()
    took: list[float] = []
    for store, rows in results:
        done |= {r["cell_id"] for r in rows if store.is_settled(r)}
        took += [
            r["wall_s"]
            for r in rows
            if r["model_digest"] in models and r["wall_s"] and r["seed"] is not None
            if math.isfinite(r["wall_s"])
        ]
    return frozenset(done & wanted.keys()), statistics.median(took) if took else None


def describe(found: Plan) -> list[str]:
    """The plan as lines for people."""
    extra = f"{len(found.baselines)} baseline" + ("s" if len(found.baselines) != 1 else "")
    lines = [
        f"cells    {found.named} named, {len(found.cells)} distinct, plus {extra}",
        f"done     {len(found.done)} already have a result",
    ]
    lines += _needs(found)
    lines += [f"adapters {text}" for text in found.adapted]
    moments = ((s.eval_steps, s.last_step) for s in found.cells if s.eval_steps)
    lines += [
        f"scored   after steps {', '.join(map(str, steps))} of {last}, and at the end"
        for steps, last in dict.fromkeys(moments)
    ]
    asked = dict.fromkeys(s.capability for s in found.cells if s.capability)
    lines += [f"asked    {c.name}: {c.texts} choices, of each cell" for c in asked if c]
    lines += [f"note     {text}" for text in found.paths]
    lines += [f"note     {text}" for text in found.notes]
    left = found.left_s
    guess = "not known before a first cell of this model has run" if left is None else about(left)
    at_once = f" with {found.slots} at once"
    if left is None and (full := found.full_speed_s(chip())) is not None:
        guess += f"; {about(full)} at the full speed of this GPU,"
    elif left is None and found.operations is not None:
        hours, at_once = about(max(60.0, found.operations / ROOFLINE)), ""
        guess += f"; at {ROOFLINE / 1e12:.0f} TFLOP/s the arithmetic alone takes at most {hours}"
    lines.append(f"time     {guess}{at_once}")
    if found.smallest_p is not None:
        hint = ""
        if found.smallest_p >= found.alpha:
            reached = (
                n for n in count(2) if min_sign_flip_p(n, Alternative.TWO_SIDED) < found.alpha
            )
            hint = f"; {next(reached)} is the fewest for p < {found.alpha:g}"
        lines.append(
            f"p        {found.seeds} paired seeds cannot go below p = {found.smallest_p:.4g} in an "
            f"exact two-sided test of two arms{hint}"
        )
    lines += [f"claims   {text}" for text in found.claims]
    lines += _power_lines(found.power)
    for stress in found.stress:
        lines += describe_stress(stress, found.seeds)
        time = "time not known before a first unit of this model is answered"
        if stress.seconds is not None:
            time = f"{about(stress.seconds / found.slots)} with {found.slots} at once"
        lines.append(f"         {time}")
    for text in found.missing:
        sizes = [f" ({size(b)})" for name, b in found.downloads.items() if name in text.split()]
        lines.append(f"missing  {text}; launch fetches it{''.join(sizes)}")
    return lines


def _needs(found: Plan) -> Iterator[str]:
    """Memory of a cell and of those that run at once, and what comes onto the disk."""
    most = max(found.memory.values(), default=found.bound)
    if most:
        how = "estimate" if found.memory else "every text as long as train.max_length allows"
        text = f"memory   up to {most / 2**30:.2f} GiB a cell ({how})"
        if found.gpu:
            text += f", of {found.gpu / 2**30:.1f} that the GPU here may use"
        if found.gpu and most > found.gpu:
            text += "; set run.grad_checkpoint, or lower train.batch_size or train.max_length"
        fit = int(min(found.free[0], found.gpu or found.free[0]) // most)
        if fit >= found.slots:
            yield f"{text}; {found.slots} at once fit here"
        else:
            yield f"{text}; {fit} of {found.slots} fit into the {size(found.free[0])} free here"
    if found.adapters or found.downloads:
        text = f"disk     {size(found.adapters or 0)} of adapters"
        if found.downloads:
            text += f", {size(sum(found.downloads.values()))} of models to download"
        yield f"{text}; {size(found.free[1])} free here"


def about(seconds: float) -> str:
    """A time for people."""
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def _power_lines(found: Sequence[Power]) -> list[str]:
    """One line a registered contrast: seeds, smallest p and effect, looks, warnings."""
    contrasts: dict[str, list[Power]] = defaultdict(list)
    for p in found:
        contrasts[p.name].append(p)
    lines = []
    for name, group in contrasts.items():
        seeds = dict.fromkeys(
            f"{' and '.join(map(str, p.ns))} seeds, not paired" if p.ns else f"{p.n} seeds"
            for p in group
        )
        least = {p.p_attainable_min for p in group} - {None}
        smallest = f", exact p from {min(least):.2g}" if least else ""  # type: ignore[type-var]
        first = group[0]
        known = [p for p in group if p.mde is not None]
        effect = ""
        if known:
            texts = (f"{p.mde:.3f}{_range(p)} in {p.behavior}" for p in known)
            effect = f", finds {', '.join(texts)} nat/token ({_aim(first)}; {known[0].assumption})"
        elif first.mde_sd is not None:
            effect = f", finds {first.mde_sd:.2f} {first.unit} ({_aim(first)}; no pilot)"
        elif first.mde_ratio is not None:
            effect = f", finds sds that differ by a factor of {first.mde_ratio:.2g} ({_aim(first)})"
        elif first.kind.rules.planned is Planned.UNKNOWN and first.problem is None:
            effect = ", what it finds is not known: there is no formula"
            if first.kind.rules.about is Subject.ANSWERS:
                effect = ", what it finds follows from its prompts"
        if (price := first.price) is not None:
            null = ""
            if first.kind.rules.margin is Margin.OPTIONAL:
                null = f" ({price.expected_null:.1f} without an effect)"
            effect += (
                f"; judged {first.looks}: {price.expected:.1f} seeds on average{null}, "
                f"{price.most} at most, one look finds the same with {price.fixed}"
            )
        warnings = dict.fromkeys(f"; warning: {p.warning}" for p in group if p.warning)
        text = "".join([smallest, effect, *warnings])
        lines.append(f"power    {name}: {' or '.join(seeds)}{text}")
    return lines


def _aim(p: Power) -> str:
    return "80 %" + (f", {p.family} tests adjusted together" if p.family > 1 else "")


def _range(p: Power) -> str:
    if p.mde_low is None or p.mde_high is None:
        return ""
    return f" ({p.mde_low:.3f} to {p.mde_high:.3f})"
