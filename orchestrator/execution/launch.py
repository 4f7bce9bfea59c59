"""Run a sweep: resolve its cells, link those done in other sweeps, give the rest to `run.Run`.

`docs/launch.md` tells the whole way, with processes and files.
"""

import sys
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from orchestrator.cells.choose import Arm, arms_of
from orchestrator.cells.expand import Aside
from orchestrator.cells.load import resolve
from orchestrator.cells.memory import RUNTIME_BYTES
from orchestrator.cells.resolve import FileResolver
from orchestrator.config.fields import RunSettings
from orchestrator.config.sweep_file import Sweep
from orchestrator.errors import UserError
from orchestrator.execution.display import Display
from orchestrator.execution.engines.base import Engine, InlineEngine
from orchestrator.execution.engines.node import Node
from orchestrator.execution.engines.ray_settings import set_aside
from orchestrator.execution.run import Run, Work
from orchestrator.execution.scheduling.hosts import Job
from orchestrator.execution.scheduling.schedule import Rules
from orchestrator.execution.scheduling.speed import cell_work
from orchestrator.execution.tracking.follow import Following
from orchestrator.results.attempts import alone
from orchestrator.results.checkpoints import FOLDER, Checkpoints
from orchestrator.results.files import UnreadableError
from orchestrator.results.folder import one_named
from orchestrator.results.manifest import demand_ours, kept_manifest, write_manifest
from orchestrator.results.registration import Registration, ask
from orchestrator.results.store import Store, done_elsewhere
from tasks.contract.cell import CellSpec, Status
from tasks.model.machine import default_slots, gpu_memory

NO_RULE = "--until decided adds seeds by a registered rule, and this sweep has no claim with one"
RULE_HINT = (
    "register claims with analysis.sequential: {looks: [...]} or {anytime: true} before their "
    "results, or launch without --until"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How a launch ended.

    Attributes:
        total: Cells of the sweep, with baselines.
        reused: Those of them that had a result before this launch, here or in another sweep.
        statuses: Cell id -> status of all that have a row.
        labels: Cell id -> short name.
        messages: Cell id -> what went wrong.
    """

    total: int
    reused: int
    statuses: dict[str, Status]
    labels: dict[str, str]
    messages: dict[str, str]

    @property
    def unfinished(self) -> list[str]:
        """Cells without scores."""
        return [c for c in self.labels if self.statuses.get(c) is not Status.OK]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to launch.

    Attributes:
        inline: Whether to run in this process, without Ray.
        address: Of a running Ray; None starts one on this machine.
        slots: Cells at once on this machine; None lets the program choose. The hosts of a
            cluster have their own.
        without: Names of hosts of a cluster that are not to be used.
        keep: Whether the sweep may take the place of another one in the same folder.
        only: Ids or labels of the cells that may run; empty for all.
    """

    inline: bool = False
    address: str | None = None
    slots: int | None = None
    without: frozenset[str] = frozenset()
    keep: bool = False
    only: tuple[str, ...] = ()


def _others(
    wanted: Mapping[str, CellSpec], done: Set[str], only: Sequence[str], sweep: str
) -> Aside:
    """What a launch of `only` these cells leaves aside, and why one of them does not run."""
    labels = {cell: spec.label for cell, spec in wanted.items()}
    named = {one_named(word, labels, f"cell of {sweep}") for word in only}
    told = [f"{labels[c]}: has ended before, and is not run again" for c in sorted(named & done)]
    others = frozenset(wanted.keys() - done - named) if only else frozenset()
    return Aside(cells=others, told="; ".join(told))


Decide = Callable[[Store, Sequence[Arm]], Aside]
"""What to leave aside, from the results so far; `orchestrator.analysis.undecided.aside`."""


def launch(
    sweep: Sweep, folder: Path, options: Options, display: Display, decide: Decide | None = None
) -> Summary:
    """Run every cell of a sweep that has no result yet.

    Args:
        sweep: The sweep.
        folder: Its results.
        options: How to launch.
        display: Shows how it goes.
        decide: Asked before each round what to leave aside; the launch ends when a round would
            add nothing. None runs all cells in one round.

    Raises:
        UserError: Something the user can fix; every file is whole, finished cells are kept.
        KeyboardInterrupt: Stopped by the user; finished cells are kept.
    """
    expansion, resolver = resolve(sweep, download=True)
    demand_ours(folder)
    store = Store(folder)
    store.create()
    with alone(store), Following(folder, sweep.track, display):
        wanted, arms = {spec.cell_id: spec for spec in expansion.all}, arms_of(expansion.all)
        settled = store.done()
        done = settled & wanted.keys()
        there, unread = done_elsewhere(folder, wanted.keys() - done)
        elsewhere = set[str]()
        for cell, other in there.items():
            try:
                store.link_from(other, cell)
            except UnreadableError as error:  # a file of another user, say
                unread.append(f"{wanted[cell].label}: {error}; the cell is run anew")
            else:
                elsewhere.add(cell)
        done |= {cell for cell in elsewhere if store.is_done(cell)}
        lacking = store.lacking(wanted.keys() - done)
        Checkpoints(folder / FOLDER).drop_all(done)
        left = _others(wanted, done, options.only, sweep.name)
        questions, notes = _register(
            sweep, folder, options, wanted, settled | lacking.keys(), done, elsewhere
        )
        if decide is not None and not questions.has_looks:
            raise UserError(NO_RULE, RULE_HINT)
        write_manifest(folder, sweep, expansion, questions)
        notes += unread
        notes += [
            f"{wanted[cell].label}: {', '.join(problems)}; the cell is run anew"
            for cell, problems in lacking.items()
            if cell not in left.cells
        ]
        notes += [left.told] if left.told else []
        tried = set[str]()
        while True:
            if decide is not None:
                left = decide(store, arms)
                write_manifest(folder, sweep, expansion, questions, waiting=left.cells)
                notes.append(left.told)
            aside = done | left.cells | tried
            todo = {cell: spec for cell, spec in wanted.items() if cell not in aside}
            if todo or not tried:
                ended = done | (tried & store.done()) if tried else done
                total = len(wanted.keys() - left.cells)
                display.begin(total=total, done=len(ended), linked=len(elsewhere))
            for text in notes:
                display.note(text)
            if not todo:
                break
            _run(store, todo, arms, resolver, sweep.run, options, display)
            tried |= todo.keys()
            notes = []
        labels = {c: s.label for c, s in wanted.items() if c not in left.cells}
        return summary(store, labels, len(done))


def _register(
    sweep: Sweep,
    folder: Path,
    options: Options,
    wanted: Mapping[str, CellSpec],
    seen: Set[str],
    done: Set[str],
    linked: Collection[str],
) -> tuple[Registration, list[str]]:
    """What this launch registers, and what people should know of it.

    Args:
        sweep: What is launched.
        folder: Its results, with the manifest of an earlier launch.
        options: Of the launch.
        wanted: Cells of the sweep.
        seen: Cells that have or had a result in this folder.
        done: Cells of the sweep with a result.
        linked: Those of them whose results this launch took from another sweep.

    Raises:
        UserError: The folder holds another sweep.
    """
    results = any(wanted[c].condition.trains for c in done if c not in linked)
    earlier, loss = kept_manifest(folder, results=results)
    seen |= done
    found, news, now = ask(
        folder, earlier, sweep.questions, wanted.values(), seen=seen, linked=linked
    )
    if not options.keep:
        there = (earlier or {}).get("cells", ())
        gone = [cell for cell in there if cell in seen and cell not in wanted]
        _demand_same_sweep(folder, gone, found.dropped_at(now))
    return found, [*([loss] if loss else []), *news]


def _run(
    store: Store,
    todo: Mapping[str, CellSpec],
    arms: Sequence[Arm],
    resolver: FileResolver,
    run: RunSettings,
    options: Options,
    display: Display,
) -> None:
    """Run these cells until each has ended or was given up.

    Every arm has its first seed before one has its second: a sweep that is looked at early, or that
    a slower hour or host falls into, then has it in all arms alike.
    """
    told = dict.fromkeys(line for s in todo.values() if (line := resolver.path(s)))
    for line in told:
        display.note(line)
    memory = {c: resolver.memory(s) or RUNTIME_BYTES for c, s in todo.items()}
    weights: dict[str | None, int] = {f.digest: f.weight_bytes for f in resolver.models.values()}
    turns = {cell: turn for arm in arms for turn, cell in enumerate(arm.cells)}
    work = Work(
        specs=dict(todo),
        jobs=tuple(
            Job(c, cell_work(s, weights[s.model.digest]), memory[c], turn=turns.get(c, 0))
            for c, s in todo.items()
        ),
        rules=rules_of(run),
        told=frozenset(told),
        notify=run.notify,
        notify_failures=run.notify_failures,
    )
    with closing(engine_of(run, options, memory, display)) as engine:
        Run(store, engine, display, work).to_the_end()


def _demand_same_sweep(folder: Path, gone: Sequence[str], dropped: Sequence[str]) -> None:
    """Check that a launch into a folder goes on with the sweep that is there, or adds to it.

    Args:
        folder: The results.
        gone: Finished cells that the file no longer has.
        dropped: Questions that it changed or dropped after their results could be seen.

    Raises:
        UserError: There are some.
    """
    parts = []
    if gone:
        parts.append(f"finished cells that are not in this file: {len(gone)}, e.g. {gone[0]}")
    if dropped:
        parts.append(f"claims changed or dropped after their results: {', '.join(dropped)}")
    if parts:
        raise UserError(
            f"{folder} holds another sweep of this name ({'; '.join(parts)})",
            "give this one a name of its own with --rename NAME, or keep both in this folder with "
            "--keep, where the earlier claims are tested as they were registered",
        )


def rules_of(run: RunSettings) -> Rules:
    """The limits of the schedule, from a sweep's settings."""
    return Rules(retries=run.retries, silence_s=run.silence_s)


def engine_of(
    run: RunSettings,
    options: Options,
    memory: dict[str, int],
    display: Display,
) -> Engine:
    """Start an engine. Without `inline` or an address this starts Ray, which takes seconds.

    Args:
        run: Settings of the sweep.
        options: Of the launch.
        memory: Unit key -> estimated peak, bytes. The slots of a Ray started here are no more than
            fit into the free memory at the largest peak, and no more than there are units.
        display: Is told that Ray is being started.

    Raises:
        UserError: Ray cannot be started or reached.
    """
    every_s = run.checkpoint_s
    node = partial(Node, run.wired_limit, run.cache_limit)
    if options.inline:
        return InlineEngine(node, checkpoint_s=every_s)
    if options.address is None:
        display.note("starting Ray ...")
        set_aside()
    from orchestrator.execution.engines.ray_engine import RayEngine

    engine = partial(RayEngine, recycle_after=run.recycle_after, checkpoint_s=every_s, node=node)
    if options.address is not None:
        return engine(address=options.address, without=options.without)
    slots = options.slots or run.slots or default_slots()
    available = min(psutil.virtual_memory().available, gpu_memory() or sys.maxsize)
    slots = max(1, min(slots, len(memory), available // max(memory.values())))
    return engine(slots=slots)


def summary(store: Store, labels: dict[str, str], reused: int) -> Summary:
    """How cells ended. `labels`: cell id -> short name; `reused`: cells done before."""
    shown = store.read("cells").select(["cell_id", "status", "message"]).to_pylist()
    rows = {r["cell_id"]: r for r in shown if r["cell_id"] in labels}
    return Summary(
        total=len(labels),
        reused=reused,
        statuses={c: Status(r["status"]) for c, r in rows.items()},
        labels=labels,
        messages={c: r["message"] for c, r in rows.items() if r["message"]},
    )
