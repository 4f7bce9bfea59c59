"""Work with saved adapters in this process or on a cluster, and what is printed of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import typer

from orchestrator.cells.prompt_sets import as_jsonl, load_sets
from orchestrator.cluster.follow import ANSWERS, Watched, demand_ended, follow, scorings
from orchestrator.cluster.remote_sweep import AskedFile, Far
from orchestrator.cluster.trust.remembered import made_on_a_cluster
from orchestrator.config.cluster_file import demand_cluster
from orchestrator.config.fields import StressSettings
from orchestrator.config.stress_block import as_options
from orchestrator.config.sweep_file import Sweep
from orchestrator.errors import UserError, as_typed
from orchestrator.execution.display import Display
from orchestrator.execution.launch import Options
from orchestrator.execution.terminal import FAILED, INTERRUPTED, interruptible, shown
from orchestrator.results.manifest import load_manifest
from orchestrator.results.store import Store
from orchestrator.results.stress_record import Tested, read_plan, tested, units_in, units_of_pack
from orchestrator.stress.judging import judged_so_far
from orchestrator.stress.run import stress
from orchestrator.stress.score import Rescored, chosen, name_of, rescored, score
from orchestrator.stress.summary import as_lines, summarise
from tasks.contract.cell import Status
from tasks.data.probe_packs import pack_source, to_json
from tasks.sources.declared import Delivery

AGAIN = "interrupted; {kept}; go on with: {again}"


def here(folder: Path, settings: StressSettings, options: Options) -> None:
    """Test the finished cells of a results folder and print how it ended.

    Raises:
        typer.Exit: With 1 if units failed, with 130 if it was interrupted.
    """
    interruptible()
    try:
        with shown() as display:
            found = stress(folder, settings, options, display)
    except KeyboardInterrupt:
        sets = [w for name in settings.prompts for w in ("--prompts", name)]
        again = as_typed("stress", folder, *sets, *as_options(settings))
        typer.echo(AGAIN.format(kept=_kept(folder), again=again), err=True)
        raise typer.Exit(INTERRUPTED) from None
    tell(found, folder)
    if found.failed:
        raise typer.Exit(FAILED)


def _kept(folder: Path) -> str:
    """How much an interrupted test leaves."""
    units = units_in(folder)
    rows = Store(folder).rows("generations") if units else ()
    kept = units.keys() & {r["generation_id"] for r in rows if r["status"] == Status.OK}
    return f"the answers of {len(kept)} of {len(units)} units are kept"


def after_launch(sweep: Sweep, folder: Path, options: Options, display: Display) -> Tested | None:
    """The test that a sweep's `stress:` block asks for; None where there is nothing to test."""
    if sweep.stress is None:
        return None
    ended = Store(folder).statuses()
    if not any(ended.get(cell) is Status.OK for cell in load_manifest(folder)["cells"]):
        return None
    return stress(folder, sweep.stress, options, display, sweep.run)


def tell(found: Tested, folder: Path) -> None:
    """Print how a test ended; units without answers are named."""
    for label, message in found.failed.items():
        typer.echo(f"failed {label}: {message}", err=True)
    for label, status in found.untested.items():
        typer.echo(f"not tested, {status}: {label}", err=True)
    show_summary(folder, found.judged.judge)
    ok = len(found.units) - len(found.failed)
    typer.echo(f"{folder}: {ok} of {len(found.units)} units answered, {found.reused} were before")
    typer.echo(found.judged.line)
    typer.echo(f"answers side by side: {as_typed('report', folder)}", err=True)


def show_summary(folder: Path, judge: str) -> None:
    """Print what the answers to the last stress test came to."""
    store, units = Store(folder), units_in(folder)
    answers = [r for r in store.rows("generations") if r["generation_id"] in units]
    found = summarise(store.rows("cells"), answers, store.rows("judgements"), judge)
    typer.echo("\n".join(as_lines(found)))


def tell_far(folder: Path) -> Tested:
    """As `tell`, of a test that a driver elsewhere has made; returns what it told.

    Raises:
        UserError: It did not get that far.
    """
    plan = read_plan(folder)
    if plan is None:
        raise UserError(f"{folder}: the stress test did not begin", f"see {folder / 'launch.log'}")
    demand_ended(folder, ANSWERS)
    store = Store(folder)
    found = tested(store, judged_so_far(store, plan["judge"]), 0)
    tell(found, folder)
    return found


def on_cluster(folder: Path, settings: StressSettings, cluster_file: Path) -> None:
    """Run the test where the results were made; the driver lives on the cluster's head.

    Raises:
        UserError: The results were made here, or another problem that the user can fix.
        typer.Exit: As `here`.
    """
    sets = load_sets(settings.prompts, download=True)
    files = [("--prompts", f"{s.name}.jsonl", as_jsonl(s)) for s in sets]
    _followed(folder, cluster_file, "stress", as_options(settings), files, ANSWERS)
    if tell_far(folder).failed:
        raise typer.Exit(FAILED)


def _followed(
    folder: Path,
    cluster_file: Path,
    command: Literal["stress", "score"],
    options: list[str],
    files: list[AskedFile],
    work: Watched,
) -> None:
    """Run a command on saved adapters on the cluster that has them, until its driver has ended."""
    if not made_on_a_cluster(folder):
        raise UserError(
            f"{folder}: was made on this machine, and so were its adapters", "leave out --cluster"
        )
    far = Far(demand_cluster(cluster_file), folder)
    started = far.later(command, options, files)
    far.remember(cluster_file)
    typer.echo(f"started: process {started['pid']} on the head", err=True)
    try:
        with shown() as display:
            follow(far, display, work)
    except KeyboardInterrupt:
        typer.echo(f"it goes on; end it: {as_typed('stop', folder)}", err=True)
        raise typer.Exit(INTERRUPTED) from None


def score_here(folder: Path, pack: str, behaviors: Sequence[str], options: Options) -> None:
    """Let saved adapters score a pack and print how it ended.

    Raises:
        typer.Exit: With 1 if units failed, with 130 if it was interrupted.
    """
    interruptible()
    try:
        with shown() as display:
            found = score(folder, pack, behaviors, options, display)
    except KeyboardInterrupt:
        units = units_of_pack(folder, name_of(pack))
        kept = len(units.keys() & Store(folder).scored_units())
        typer.echo(
            f"interrupted; the scores of {kept} of {len(units)} units are kept; the same command "
            "goes on",
            err=True,
        )
        raise typer.Exit(INTERRUPTED) from None
    _tell_scored(found, folder, pack)


def score_on_cluster(folder: Path, pack: str, behaviors: Sequence[str], cluster_file: Path) -> None:
    """The same where the results were made; a pack that is a file is sent to the head.

    Raises:
        UserError: As `on_cluster`.
        typer.Exit: As `score_here`.
    """
    pairs, name = chosen(pack, behaviors), name_of(pack)
    options = [word for behavior in behaviors for word in ("--behavior", behavior)]
    files: list[AskedFile] = []
    if pack_source(pack).delivery is Delivery.FILE:
        files = [("--pack", name, "".join(f"{to_json(p)}\n" for p in pairs))]
    else:
        options += ["--pack", pack]
    store, work = Store(folder), scorings(name)
    before = store.scored_units()
    _followed(folder, cluster_file, "score", options, files, work)
    demand_ended(folder, work)
    done = len(before & units_of_pack(folder, name).keys())
    _tell_scored(rescored(store, name, done), folder, pack)


def _tell_scored(found: Rescored, folder: Path, pack: str) -> None:
    for key, message in found.failed.items():
        typer.echo(f"failed {found.units[key]} ({key}): {message}", err=True)
    ok = len(found.units) - len(found.failed)
    typer.echo(f"{folder}: {ok} of {len(found.units)} units scored, {found.reused} were before")
    typer.echo(f"tables: {as_typed('analyze', folder, '--pack', pack)}", err=True)
    if found.failed:
        raise typer.Exit(FAILED)
