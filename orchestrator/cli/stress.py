"""`rho-sweep stress`, and the stress test that follows a launch."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cells.prompt_sets import as_jsonl, load_sets
from orchestrator.cluster.follow import follow
from orchestrator.cluster.remote_sweep import Far
from orchestrator.config.cluster_file import demand_cluster
from orchestrator.config.stress_block import StressSettings, as_options, settings_of
from orchestrator.errors import UserError
from orchestrator.execution.display import Display
from orchestrator.execution.launch import Options
from orchestrator.execution.terminal import FAILED, INTERRUPTED, interruptible, shown
from orchestrator.results.manifest import load_manifest
from orchestrator.results.store import Store
from orchestrator.results.stress_record import Tested, read_plan, tested, units_in
from orchestrator.stress.judges import FORMS
from orchestrator.stress.judging import judged_so_far
from orchestrator.stress.run import stress
from orchestrator.stress.summary import as_lines, summarise
from tasks.contract.cell import Status

AGAIN = "interrupted; finished answers are kept; go on with: rho-sweep stress {folder} {options}"


def command(
    results: Annotated[Path, typer.Argument(help="A results folder, e.g. results/quickstart.")],
    prompts: Annotated[
        list[str], typer.Option("--prompts", metavar="SET", help="A built-in set or a file.")
    ] = [],  # noqa: B006 - typer reads the default and never changes it
    samples: Annotated[int | None, typer.Option(help="Answers to each prompt.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Tokens of an answer at most.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the draws.")] = None,
    judge: Annotated[str | None, typer.Option(help=FORMS)] = None,
    cluster: Annotated[
        Path | None, typer.Option(help="The cluster that made the results (cluster.yaml).")
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="Ray on this machine (default).")] = False,
    inline: Annotated[bool, typer.Option("--inline", help="In this process, no Ray.")] = False,
    slots: Annotated[int | None, typer.Option(min=1, help="Cells at once.")] = None,
    ray: Annotated[
        str | None, typer.Option(hidden=True, help="Of a running Ray; for the driver on a head.")
    ] = None,
    without: Annotated[list[str], typer.Option(hidden=True, help="A host not to be used.")] = [],  # noqa: B006 - as above
) -> None:
    """Let every finished cell answer prompts, judge the answers; nothing is trained.

    What is not given is as in the sweep's `stress:` block. Only what is missing is generated.

    Example: rho-sweep stress results/stress --prompts starter --max-tokens 128
    """
    if sum((cluster is not None, local, inline)) > 1:
        raise UserError("--cluster, --local and --inline exclude each other")
    given = {
        "prompts": prompts or None,
        "samples": samples,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "seed": seed,
        "judge": judge,
    }
    Store.existing(results)
    settings = settings_of(load_manifest(results).get("stress"), given)
    if cluster is not None:
        if slots is not None:
            raise UserError("--slots is for this machine; hosts have theirs in the cluster file")
        _far(results, settings, cluster)
        return
    options = Options(inline=inline, address=ray, slots=slots, without=frozenset(without))
    interruptible()
    try:
        with shown() as display:
            found = stress(results, settings, options, display)
    except KeyboardInterrupt:
        sets = [w for name in settings.prompts for w in ("--prompts", name)]
        again = shlex.join([*sets, *as_options(settings)])
        typer.echo(AGAIN.format(folder=results, options=again), err=True)
        raise typer.Exit(INTERRUPTED) from None
    _end(found, results)


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
        raise UserError(f"{folder}: the stress test did not begin; see {folder / 'launch.log'}")
    store = Store(folder)
    found = tested(store, judged_so_far(store, plan["judge"]), 0)
    tell(found, folder)
    return found


def _end(found: Tested, folder: Path) -> None:
    tell(found, folder)
    if found.failed:
        raise typer.Exit(FAILED)


def _far(folder: Path, settings: StressSettings, cluster_file: Path) -> None:
    """Run the test where the results were made; the driver lives on the cluster's head."""
    if Far.of(folder) is None:
        raise UserError(
            f"{folder}: was made on this machine, and so were its adapters; leave out --cluster"
        )
    sets = [(s.name, as_jsonl(s)) for s in load_sets(settings.prompts, download=True)]
    far = Far(demand_cluster(cluster_file), folder)
    started = far.stress(as_options(settings), sets)
    typer.echo(f"started: process {started['pid']} on the head", err=True)
    try:
        with shown() as display:
            follow(far, display, stress=True)
    except KeyboardInterrupt:
        typer.echo(f"it goes on; end it: rho-sweep stop {folder}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if tell_far(folder).failed:
        raise typer.Exit(FAILED)
