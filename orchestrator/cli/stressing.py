"""A stress test in this process or on a cluster, and what is printed of it."""

from pathlib import Path

import typer

from orchestrator.cells.prompt_sets import as_jsonl, load_sets
from orchestrator.cluster.follow import demand_ended, follow
from orchestrator.cluster.remote_sweep import Far
from orchestrator.cluster.trust.remembered import made_on_a_cluster
from orchestrator.config.cluster_file import demand_cluster
from orchestrator.config.fields import StressSettings
from orchestrator.config.stress_block import as_options
from orchestrator.errors import UserError, as_typed
from orchestrator.execution.display import Display
from orchestrator.execution.launch import Options
from orchestrator.execution.terminal import FAILED, INTERRUPTED, interruptible, shown
from orchestrator.results.manifest import load_manifest
from orchestrator.results.store import Store
from orchestrator.results.stress_record import Tested, read_plan, tested, units_in
from orchestrator.stress.judging import judged_so_far
from orchestrator.stress.run import stress
from orchestrator.stress.summary import as_lines, summarise
from tasks.contract.cell import Status

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


def after_launch(
    settings: StressSettings | None, folder: Path, options: Options, display: Display
) -> Tested | None:
    """The test that a sweep's `stress:` block asks for; None where there is nothing to test."""
    if settings is None:
        return None
    ended = Store(folder).statuses()
    if not any(ended.get(cell) is Status.OK for cell in load_manifest(folder)["cells"]):
        return None
    return stress(folder, settings, options, display)


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
    demand_ended(folder, stress=True)
    store = Store(folder)
    found = tested(store, judged_so_far(store, plan["judge"]), 0)
    tell(found, folder)
    return found


def on_cluster(folder: Path, settings: StressSettings, cluster_file: Path) -> None:
    """Run the test where the results were made; the driver lives on the cluster's head."""
    if not made_on_a_cluster(folder):
        raise UserError(
            f"{folder}: was made on this machine, and so were its adapters", "leave out --cluster"
        )
    sets = [(s.name, as_jsonl(s)) for s in load_sets(settings.prompts, download=True)]
    far = Far(demand_cluster(cluster_file), folder)
    started = far.stress(as_options(settings), sets)
    far.remember(cluster_file)
    typer.echo(f"started: process {started['pid']} on the head", err=True)
    try:
        with shown() as display:
            follow(far, display, stress=True)
    except KeyboardInterrupt:
        typer.echo(f"it goes on; end it: {as_typed('stop', folder)}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if tell_far(folder).failed:
        raise typer.Exit(FAILED)
