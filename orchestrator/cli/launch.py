"""`rho-sweep launch`: here, detached, or on a cluster."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import stress as stress_cli
from orchestrator.cli.options import SetOption, SweepArgument
from orchestrator.cluster.follow import follow
from orchestrator.cluster.remote_sweep import Far
from orchestrator.config import sweep_file as sweeps
from orchestrator.config.cluster_file import load_cluster
from orchestrator.config.hosts import Cluster
from orchestrator.errors import UserError
from orchestrator.execution import launch as launching
from orchestrator.execution.terminal import FAILED, INTERRUPTED, interruptible, shown
from orchestrator.results import lock
from orchestrator.results.manifest import demand_ours, load_manifest
from orchestrator.results.store import Store


def launch(
    sweep: SweepArgument,
    set_: SetOption = [],  # noqa: B006 - typer reads the default and never changes it
    results: Annotated[
        Path | None, typer.Option(help="This sweep's own folder [default: results/NAME].")
    ] = None,
    cluster: Annotated[
        Path | None, typer.Option(help="A file that names the hosts (cluster.yaml).")
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="Ray on this machine (default).")] = False,
    inline: Annotated[bool, typer.Option("--inline", help="In this process, no Ray.")] = False,
    slots: Annotated[int | None, typer.Option(min=1, help="Cells at once.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return at once.")] = False,
    ray: Annotated[
        str | None, typer.Option(hidden=True, help="Of a running Ray; for the driver on a head.")
    ] = None,
    without: Annotated[list[str], typer.Option(hidden=True, help="A host not to be used.")] = [],  # noqa: B006 - as above
) -> None:
    """Run every cell that has no result yet; launching again resumes.

    Examples:
      rho-sweep launch quickstart

      rho-sweep launch sweep.yaml --set probes.heldout=0 --results results/in-sample

      rho-sweep launch sweep.yaml --cluster cluster.yaml --detach
    """
    if sum((cluster is not None, local, inline)) > 1:
        raise UserError("--cluster, --local and --inline exclude each other")
    loaded = sweeps.load(sweep, set_)
    folder = results if results is not None else Path("results") / loaded.name
    hosts = load_cluster(cluster) if cluster is not None else None
    if cluster is not None and hosts is not None:
        if slots is not None:
            raise UserError("--slots is for this machine; hosts have theirs in the cluster file")
        _launch_far(loaded, folder, hosts, cluster, detach=detach)
        return
    if detach:
        _detach(loaded, folder)
        return
    options = launching.Options(inline=inline, address=ray, slots=slots, without=frozenset(without))
    interruptible()
    try:
        with shown() as display:
            summary = launching.launch(loaded, folder, options, display)
            tested = stress_cli.after_launch(loaded.stress, folder, options, display)
    except KeyboardInterrupt:
        typer.echo(f"interrupted; finished cells are in {folder}; launch again to go on", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if tested is not None:
        stress_cli.tell(tested, folder)
    _report(summary, folder)
    if tested is not None and tested.failed:
        raise typer.Exit(FAILED)


def _detach(loaded: sweeps.Sweep, folder: Path) -> None:
    """Run this very command again in a session of its own."""
    launching.resolve(loaded, download=True)
    demand_ours(folder)
    Store(folder).create()
    command = [sys.executable, "-m", "orchestrator", *sys.argv[1:]]
    command.remove("--detach")
    with (folder / "launch.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    typer.echo(f"process {process.pid}; follow it: rho-sweep status {folder} --watch", err=True)


def _launch_far(
    loaded: sweeps.Sweep, folder: Path, hosts: Cluster, cluster_file: Path, *, detach: bool
) -> None:
    """Run the sweep on a cluster; the driver lives on its head."""
    demand_ours(folder)
    Store(folder).create()
    if holder := lock.holder(folder):
        raise UserError(f"{folder}: a launch is running on this machine (process {holder[0]})")
    far = Far(hosts, folder)
    started = far.launch(sweeps.as_text(loaded))
    far.remember(cluster_file)
    where = f"process {started['pid']} on {hosts.head}" if "pid" in started else hosts.head
    typer.echo(f"{'running already' if started.get('running') else 'started'}: {where}", err=True)
    for host in started.get("without", []):
        typer.echo(f"{host} is not used: its canary was wrong; see cluster doctor", err=True)
    if detach:
        typer.echo(f"follow it: rho-sweep status {folder} --watch", err=True)
        return
    try:
        with shown() as display:
            follow(far, display)
    except KeyboardInterrupt:
        if not (sys.stdin.isatty() and typer.confirm("stop the sweep? (n: it goes on)", err=True)):
            typer.echo(f"it goes on; follow it: rho-sweep status {folder} --watch", err=True)
            raise typer.Exit(INTERRUPTED) from None
        typer.echo(far.stop(), err=True)
        raise typer.Exit(INTERRUPTED) from None
    tested = stress_cli.tell_far(folder) if loaded.stress is not None else None
    _report(launching.summary(Store(folder), load_manifest(folder)["cells"], 0), folder)
    if tested is not None and tested.failed:
        raise typer.Exit(FAILED)


def _report(summary: launching.Summary, folder: Path) -> None:
    for cell in summary.unfinished:
        status = summary.statuses.get(cell, "open")
        message = summary.messages.get(cell, "")
        typer.echo(f"{status} {cell} {summary.labels[cell]}: {message}", err=True)
    ok = summary.total - len(summary.unfinished)
    typer.echo(f"{folder}: {ok} of {summary.total} cells scored, {summary.reused} were done before")
    typer.echo(f"tables: rho-sweep analyze {folder}", err=True)
    if summary.unfinished:
        raise typer.Exit(FAILED)
