"""`rho-sweep cluster ...`."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.options import Group, JsonOption, SetOption, SweepArgument
from orchestrator.execution.terminal import FAILED

if TYPE_CHECKING:
    from orchestrator.config.hosts import Cluster

ClusterArgument = Annotated[Path, typer.Argument(help="A file that names the hosts.")]

app = typer.Typer(
    cls=Group,
    rich_markup_mode=None,
    help="Several machines as one: docs/cluster.md goes through it.\n\n"
    "Example: rho-sweep cluster up cluster.yaml",
)


@app.command()
def install(
    cluster: ClusterArgument,
    wheels: Annotated[
        Path | None, typer.Option(help="Folder of wheels to copy; for hosts without a registry.")
    ] = None,
    python: Annotated[
        str | None, typer.Option(help="Version that uv of every host installs, e.g. 3.12.8.")
    ] = None,
) -> None:
    """Put this very version with its pinned packages on every host.

    Example: rho-sweep cluster install cluster.yaml --python 3.12.8
    """
    from orchestrator.cluster.install import install as install_on
    from orchestrator.cluster.wheel import this_version

    gathered = install_on(_read(cluster), this_version(), wheels, _say, python)
    for name, what in gathered.done.items():
        typer.echo(f"{name}: {what}")
    _fail_on(gathered.failed)


@app.command()
def prefetch(
    cluster: ClusterArgument,
    sweep: SweepArgument,
    set_: SetOption = [],  # noqa: B006 - typer reads the default and never changes it
    from_here: Annotated[
        bool, typer.Option("--from-here", help="Copy from this machine; hosts ask no hub.")
    ] = False,
) -> None:
    """Bring a sweep's models and data to every host; only what is missing or wrong is copied.

    Example: rho-sweep cluster prefetch cluster.yaml sweep.yaml
    """
    from orchestrator.cells.load import load
    from orchestrator.cluster.assets import of_sweep
    from orchestrator.cluster.prefetch import prefetch as prefetch_to

    named = _read(cluster)
    wanted = of_sweep(load(sweep, set_), download=from_here)
    gathered = prefetch_to(named, wanted, from_here=from_here, say=_say)
    for name, brought in gathered.done.items():
        for label, what in brought.items():
            typer.echo(f"{name}: {label}: {what}")
        if not brought:
            typer.echo(f"{name}: nothing needed; all of it ships with the program")
    _fail_on(gathered.failed)


@app.command()
def doctor(
    cluster: ClusterArgument,
    sweep: Annotated[
        str | None, typer.Argument(help="Also look for its models, data and memory.")
    ] = None,
    set_: SetOption = [],  # noqa: B006 - typer reads the default and never changes it
    json_: JsonOption = False,
) -> None:
    """Look at every host before anything runs; exit code 1 if something is wrong.

    Example: rho-sweep cluster doctor cluster.yaml sweep.yaml
    """
    from orchestrator.cells.load import load
    from orchestrator.cluster.doctor.checks import examine

    named = _read(cluster)
    report = examine(named, load(sweep, set_) if sweep else None, _say)
    if json_:
        typer.echo(json.dumps(report.as_json(), indent=2))
    else:
        for host, findings in report.findings.items():
            for f in findings:
                typer.echo(f"{f.level:<8} {host:<10} {f.topic:<9} {f.text}")
    if not report.healthy:
        raise typer.Exit(FAILED)


@app.command()
def up(cluster: ClusterArgument) -> None:
    """Start Ray on every host; what runs already is left alone.

    Example: rho-sweep cluster up cluster.yaml
    """
    from orchestrator.cluster.ray import bring_up

    raised = bring_up(_read(cluster), _say)
    for name, what in raised.hosts.items():
        typer.echo(f"{name}: {'was up' if what == 'up' else what}")
    _fail_on(raised.failed)


@app.command()
def down(cluster: ClusterArgument) -> None:
    """Stop what `cluster up` started, and nothing else; logs stay on the hosts.

    Example: rho-sweep cluster down cluster.yaml
    """
    from orchestrator.cluster.ray import take_down

    gathered = take_down(_read(cluster))
    for name, stopped in gathered.done.items():
        typer.echo(f"{name}: {_counted(stopped)}")
    _fail_on(gathered.failed)


@app.command()
def status(cluster: ClusterArgument, json_: JsonOption = False) -> None:
    """Show hosts, slots, running cells and memory; exit code 1 if a host is not up.

    Example: rho-sweep cluster status cluster.yaml
    """
    from orchestrator.cluster.ray import status as status_of

    rows = status_of(_read(cluster))
    if json_:
        typer.echo(json.dumps(rows, indent=2))
    else:
        _print(rows)
        for row in rows:
            if row["message"]:
                typer.echo(row["message"], err=True)
    if any(row["state"] != "up" for row in rows):
        raise typer.Exit(FAILED)


def _read(cluster: Path) -> "Cluster":
    from orchestrator.config.cluster_file import demand_cluster

    return demand_cluster(cluster)


def _print(rows: list[dict[str, Any]]) -> None:
    """Print hosts as a table; where no terminal says how wide it is, in 110 columns."""
    from rich.table import Table

    from orchestrator.execution.console import Console

    table = Table(box=None)
    for title in ("host", "address", "state", "chip"):
        table.add_column(title)
    for title in ("running", "slots", "memory", "free"):
        table.add_column(title, justify="right")
    for row in rows:
        name = f"{row['host']} (head)" if row["head"] else row["host"]
        running = "-" if row["running"] is None else str(row["running"])
        bytes_ = [row[key] for key in ("memory_bytes", "free_bytes")]
        sizes = ["-" if size is None else f"{size / 2**30:.0f} GB" for size in bytes_]
        chip = row["chip"] or "-"
        table.add_row(name, row["address"], row["state"], chip, running, str(row["slots"]), *sizes)
    Console(width=None if sys.stdout.isatty() else 110).print(table)


def _counted(stopped: Mapping[str, int]) -> str:
    if not stopped:
        return "nothing ran"
    parts = [f"{n} {kind}" if n > 1 else kind for kind, n in sorted(stopped.items())]
    return f"stopped {', '.join(parts)}"


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _fail_on(failed: Mapping[str, str]) -> None:
    for message in failed.values():
        typer.echo(f"error: {message}", err=True)
    if failed:
        raise typer.Exit(FAILED)
