"""`rho-sweep cluster ...`."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from orchestrator.cluster import assets as needs
from orchestrator.cluster import checks as cluster_doctor
from orchestrator.cluster import install as installing
from orchestrator.cluster import prefetch as prefetching
from orchestrator.cluster import ray as cluster_ray
from orchestrator.cluster.wheel import this_version
from orchestrator.config import sweep_file as sweeps
from orchestrator.config.cluster_file import demand_cluster

FAILED = 1
ClusterArgument = Annotated[Path, typer.Argument(help="A file that names the hosts.")]
SweepArgument = Annotated[str, typer.Argument(help="A YAML file, or a preset's name.")]
SetOption = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a field of the sweep.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON (docs/json.md).")]

app = typer.Typer(
    no_args_is_help=True,
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
) -> None:
    """Put this very version with its pinned packages on every host.

    Example: rho-sweep cluster install cluster.yaml
    """
    gathered = installing.install(demand_cluster(cluster), this_version(), wheels, _say)
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
    named = demand_cluster(cluster)
    wanted = needs.of_sweep(sweeps.load(sweep, set_), download=from_here)
    gathered = prefetching.prefetch(named, wanted, from_here=from_here, say=_say)
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
    named = demand_cluster(cluster)
    report = cluster_doctor.examine(named, sweeps.load(sweep, set_) if sweep else None, _say)
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
    raised = cluster_ray.bring_up(demand_cluster(cluster), _say)
    for name, what in raised.hosts.items():
        typer.echo(f"{name}: {'was up' if what == 'up' else what}")
    _fail_on(raised.failed)


@app.command()
def down(cluster: ClusterArgument) -> None:
    """Stop what `cluster up` started, and nothing else; logs stay on the hosts.

    Example: rho-sweep cluster down cluster.yaml
    """
    gathered = cluster_ray.take_down(demand_cluster(cluster))
    for name, stopped in gathered.done.items():
        typer.echo(f"{name}: {_counted(stopped)}")
    _fail_on(gathered.failed)


@app.command()
def status(cluster: ClusterArgument, json_: JsonOption = False) -> None:
    """Show hosts, slots, running cells and memory; exit code 1 if a host is not up.

    Example: rho-sweep cluster status cluster.yaml
    """
    rows = cluster_ray.status(demand_cluster(cluster))
    if json_:
        typer.echo(json.dumps(rows, indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else 110).print(_table(rows))
        for row in rows:
            if row["message"]:
                typer.echo(row["message"], err=True)
    if any(row["state"] != "up" for row in rows):
        raise typer.Exit(FAILED)


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None)
    for title in ("host", "address", "state", "chip"):
        table.add_column(title)
    for title in ("running", "slots", "memory", "free"):
        table.add_column(title, justify="right")
    for row in rows:
        name = f"{row['host']} (head)" if row["head"] else row["host"]
        running = "-" if row["running"] is None else str(row["running"])
        sizes = [_gigabytes(row[key]) for key in ("memory_bytes", "free_bytes")]
        chip = row["chip"] or "-"
        table.add_row(name, row["address"], row["state"], chip, running, str(row["slots"]), *sizes)
    return table


def _gigabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 2**30:.0f} GB"


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
