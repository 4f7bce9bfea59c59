"""The stress test: every finished cell of some results answers prompts. No cell is trained."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.cells.memory import RUNTIME_BYTES
from orchestrator.cells.prompt_sets import load_sets, rendered_prompts
from orchestrator.cells.stress_estimate import generation_memory, generation_work
from orchestrator.config.fields import RunSettings, StressSettings
from orchestrator.errors import UserError, as_typed
from orchestrator.execution.display import Display
from orchestrator.execution.launch import Options, engine_of, rules_of
from orchestrator.execution.run import Run, Work
from orchestrator.execution.scheduling.hosts import Job
from orchestrator.results import generations
from orchestrator.results.adapters import read_adapter
from orchestrator.results.attempts import alone
from orchestrator.results.checkpoints import FOLDER, Checkpoints
from orchestrator.results.manifest import demand_trainable, load_manifest, run_settings
from orchestrator.results.store import ADVICE, Store, spec_of
from orchestrator.results.stress_record import Tested, tested, write_plan
from orchestrator.stress.judges import judge_of, judges_its_own_family
from orchestrator.stress.judging import judge_answers
from tasks.contract.cell import CellSpec, ModelSpec, SavedSpec, Spec, Status
from tasks.contract.generation import Decoding, GenerationSpec
from tasks.contract.prompts import PromptSet
from tasks.contract.scoring import ScoringSpec
from tasks.sources.hub import NotHereError
from tasks.sources.model_files import ModelFiles, locate

WHAT = "generations"
Saved = TypeVar("Saved", GenerationSpec, ScoringSpec)


def stress(
    folder: Path,
    settings: StressSettings,
    options: Options,
    display: Display,
    run: RunSettings | None = None,
) -> Tested:
    """Generate what is missing, then judge what is not judged.

    Args:
        folder: The results.
        settings: Of the test.
        options: How to run.
        display: Shows how it goes.
        run: Settings of the launch that ends with this test; None takes those of the folder.

    Raises:
        UserError: No cell is finished, or another problem that the user can fix.
        NodeError: A prompt set or the judge is missing or malformed.
        KeyboardInterrupt: Stopped by the user; finished units are kept.
    """
    store = Store.existing(folder)
    manifest = load_manifest(folder)
    demand_trainable(folder)
    sets = load_sets(settings.prompts, download=True)
    judge = judge_of(settings.judge)
    store.create()
    with alone(store):
        units = units_of(store, manifest["cells"], sets, settings.decoding)
        write_plan(folder, settings, judge.name, sets, units)
        models = {(u.model.name, u.model.revision) for u in units}
        related = {m for m, r in models if judges_its_own_family(settings.judge, m, r)}
        for name in sorted(related):
            display.note(f"the judge is of the family of {name}: its verdicts are doubtful")
        done = generate(store, units, run or run_settings(manifest), options, display)
        return tested(store, judge_answers(store, judge), done)


def units_of(
    store: Store, cells: Mapping[str, str], sets: Sequence[PromptSet], decoding: Decoding
) -> list[GenerationSpec]:
    """The units of a test: each scored cell with each set of prompts.

    Args:
        store: With finished cells.
        cells: Cell id -> label of the sweep's cells, in its order.
        sets: The sets of prompts.
        decoding: How answers are drawn.
    """
    return [
        GenerationSpec(
            cell_id=spec.cell_id,
            cell_label=cells[spec.cell_id],
            seed=spec.seed,
            model=spec.model,
            train=spec.train,
            adapter_sha256=row["adapter_sha256"],
            prompts=asked,
            decoding=decoding,
            **asdict(rendered_prompts(files_of(spec.model), asked, decoding)),
        )
        for spec, row in finished(store, cells)
        for asked in sets
    ]


def finished(store: Store, cells: Mapping[str, str]) -> Iterator[tuple[CellSpec, dict[str, Any]]]:
    """Spec and row of each scored cell of a sweep, in its order.

    Args:
        store: With finished cells.
        cells: Cell id -> label of the sweep's cells.

    Raises:
        UserError: No cell is finished, or a spec is of another version.
    """
    rows = {r["cell_id"]: r for r in store.rows("cells") if r["status"] == Status.OK}
    wanted = [rows[cell] for cell in cells if cell in rows]
    if not wanted:
        raise UserError(
            f"{store.folder}: no cell is finished, so that there is nothing to test",
            f"see: {as_typed('status', store.folder)}",
        )
    for row in wanted:
        try:
            yield CellSpec.from_dict(spec_of(row)), row
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"cells/{row['cell_id']}.arrow: its spec is of another version ({error})", ADVICE
            ) from None


def generate(
    store: Store,
    units: Sequence[GenerationSpec],
    run: RunSettings,
    options: Options,
    display: Display,
) -> int:
    """Store answers or a failure for every unit; returns how many units had answers before.

    Cells that share an adapter are one unit in the counts, as they are generated once.
    """
    todo = _open(store, units)
    linked, notes = generations.adopt(store, todo)
    for text in notes:
        display.note(text)
    todo = _open(store, todo)
    every, first = ({u.generation_id: u for u in some} for some in (units, todo))
    done = len(every) - len(first)
    answered = {u.key for u in units} - {u.key for u in todo}
    Checkpoints(store.folder / FOLDER).drop_all(answered)
    display.begin(total=len(every), done=done, linked=linked, what=WHAT)
    ended = "every unit of the stress test is settled"
    run_units(store, first, (generation_memory, generation_work), run, options, display, ended)
    generations.adopt(store, _open(store, todo))  # cells that share an adapter
    return done


def run_units(
    store: Store,
    units: Mapping[str, Saved],
    needs: tuple[Callable[[Saved, ModelFiles], int], Callable[[Saved, ModelFiles], float]],
    run: RunSettings,
    options: Options,
    display: Display,
    ended: str,
) -> None:
    """Run units of work with saved adapters until each has ended or was given up.

    Args:
        store: The results, which have the adapters.
        units: Key -> unit; nothing happens without any.
        needs: Bytes that a unit needs at its peak, and its work, by the files of its model.
        run: Settings of the sweep.
        options: How to run.
        display: Shows how it goes.
        ended: Reason of the last notification.
    """
    if not units:
        return
    memory: dict[str, int] = {}
    jobs: list[Job] = []
    for key, unit in units.items():
        files = files_of(unit.model)
        memory[key] = needs[0](unit, files) if files else RUNTIME_BYTES
        jobs.append(Job(key, needs[1](unit, files) if files else 1.0, memory[key]))
    work = Work(
        specs=dict(units),
        jobs=tuple(jobs),
        rules=rules_of(run),
        notify=run.notify,
        notify_failures=run.notify_failures,
        equip=partial(_equipped, store),
        ended=ended,
    )
    with closing(engine_of(run, options, memory, display)) as engine:
        Run(store, engine, display, work).to_the_end()


def _open(store: Store, units: Sequence[GenerationSpec]) -> list[GenerationSpec]:
    """The units without answers."""
    ended = generations.statuses(store)
    return [u for u in units if ended.get((u.cell_id, u.generation_id)) is not Status.OK]


def _equipped(store: Store, spec: Spec) -> Spec:
    """A unit with the files of its adapter, as stored; the worker checks them."""
    if not isinstance(spec, SavedSpec) or spec.adapter_sha256 is None:
        return spec
    return spec.carrying(read_adapter(store.adapter_folder(spec.cell_id, spec.step)))


@cache
def files_of(model: ModelSpec) -> ModelFiles | None:
    """Files of a model on this machine; None if only hosts have it."""
    try:
        return locate(model.name, model.revision, download=False, digest=model.digest)[1]
    except NotHereError:
        return None
