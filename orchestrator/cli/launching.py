"""The three places of a launch's driver: this process, a detached one, or the head of a cluster.

Where cells run is another choice: `here` has them run by Ray's workers, or inline in this process.
"""

import os
import subprocess
import sys
from pathlib import Path

import typer

from orchestrator.cells.load import resolve
from orchestrator.cli.stressing import after_launch, tell, tell_far
from orchestrator.cluster.follow import demand_ended, follow
from orchestrator.cluster.remote_sweep import Far
from orchestrator.config.hosts import Cluster
from orchestrator.config.sweep_file import Sweep, as_text
from orchestrator.errors import UserError, as_typed
from orchestrator.execution.launch import Decide, Options, Summary, launch, summary
from orchestrator.execution.terminal import FAILED, INTERRUPTED, interruptible, shown
from orchestrator.inspection.status import kept_line
from orchestrator.results import lock
from orchestrator.results.manifest import demand_ours, labels_to_run, load_manifest
from orchestrator.results.store import Store
from tasks.model import children


def here(loaded: Sweep, folder: Path, options: Options, *, until_decided: bool = False) -> None:
    """Drive the sweep from this process, then its stress test, and print how both ended.

    With `until_decided`, seeds are added look by look, for claims that are not decided.

    Raises:
        typer.Exit: With 1 if cells or units failed, with 130 if it was interrupted.
    """
    decide: Decide | None = None
    if until_decided:
        from orchestrator.analysis.undecided import aside

        decide = aside
    interruptible()
    try:
        with shown() as display:
            found = launch(loaded, folder, options, display, decide)
            tested = after_launch(loaded, folder, options, display)
    except KeyboardInterrupt:
        typer.echo(f"interrupted; {kept_line(folder)}; launch again to go on", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if tested is not None:
        tell(tested, folder)
    _report(found, folder)
    if tested is not None and tested.failed:
        raise typer.Exit(FAILED)


def detached(loaded: Sweep, folder: Path) -> None:
    """Run this very command again in a session of its own."""
    resolve(loaded, download=True)
    demand_ours(folder)
    Store(folder).create()
    command = children.python("-m", "orchestrator", *sys.argv[1:])
    command.remove("--detach")
    with (folder / "launch.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ,  # with secrets: it is this command, which may judge and ask the hub
            start_new_session=True,
        )
    typer.echo(
        f"process {process.pid}; follow it: {as_typed('status', folder, '--watch')}", err=True
    )


def again(words: list[str]) -> str:
    """Launch in the background as another process would; returns what it said."""
    done = subprocess.run(
        children.python("-m", "orchestrator", "launch", *words, "--detach"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,  # its messages are what is shown
        env=os.environ,  # as above
    )
    return (done.stderr + done.stdout).strip()


def on_cluster(
    loaded: Sweep,
    folder: Path,
    hosts: Cluster,
    cluster_file: Path,
    *,
    detach: bool,
    keep: bool,
    until_decided: bool = False,
) -> None:
    """Run the sweep on a cluster; the driver lives on its head."""
    demand_ours(folder)
    Store(folder).create()
    if holder := lock.holder(folder):
        raise UserError(f"{folder}: a launch is running on this machine (process {holder[0]})")
    far = Far(hosts, folder)
    started = far.launch(as_text(loaded), keep=keep, until_decided=until_decided)
    far.remember(cluster_file)
    where = f"process {started['pid']} on {hosts.head}" if "pid" in started else hosts.head
    typer.echo(f"{'running already' if started.get('running') else 'started'}: {where}", err=True)
    for host in started.get("without", []):
        typer.echo(f"{host} is not used: its canary was wrong; see cluster doctor", err=True)
    if detach:
        typer.echo(f"follow it: {as_typed('status', folder, '--watch')}", err=True)
        return
    try:
        with shown() as display:
            follow(far, display)
    except KeyboardInterrupt:
        if not (sys.stdin.isatty() and typer.confirm("stop the sweep? (n: it goes on)", err=True)):
            typer.echo(f"it goes on; follow it: {as_typed('status', folder, '--watch')}", err=True)
            raise typer.Exit(INTERRUPTED) from None
        typer.echo(far.stop(), err=True)
        raise typer.Exit(INTERRUPTED) from None
    demand_ended(folder)
    tested = tell_far(folder) if loaded.stress is not None else None
    _report(summary(Store(folder), labels_to_run(load_manifest(folder)), 0), folder)
    if tested is not None and tested.failed:
        raise typer.Exit(FAILED)


def _report(summary: Summary, folder: Path) -> None:
    for cell in summary.unfinished:
        status = summary.statuses.get(cell, "open")
        message = summary.messages.get(cell, "")
        typer.echo(f"{status} {cell} {summary.labels[cell]}: {message}", err=True)
    ok = summary.total - len(summary.unfinished)
    typer.echo(f"{folder}: {ok} of {summary.total} cells scored, {summary.reused} were done before")
    typer.echo(f"tables: {as_typed('analyze', folder)}", err=True)
    if summary.unfinished:
        raise typer.Exit(FAILED)
