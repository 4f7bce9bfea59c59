"""Commands about a sweep file: `presets`, `init`, `schema`, `plan`."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import (
    JsonOption,
    ResultsOption,
    SetOption,
    apart,
    complete_preset,
    complete_results,
)
from orchestrator.errors import UserError, as_typed


def presets() -> None:
    """List the built-in sweeps, one line each.

    Example: rho-sweep presets
    """
    from orchestrator.config.preset_files import descriptions

    for name, description in descriptions().items():
        typer.echo(f"{name:<16} {description}")


def init(
    preset: Annotated[
        str, typer.Argument(help="See: rho-sweep presets", autocompletion=complete_preset)
    ],
    output: Annotated[Path, typer.Option("-o", "--output", callback=apart)] = Path("sweep.yaml"),
    force: Annotated[bool, typer.Option(help="Overwrite the file.")] = False,
) -> None:
    """Write a commented sweep file, and beside it the schema from which an editor completes it.

    Example: rho-sweep init dose-response -o my-sweep.yaml
    """
    from orchestrator.config.sweep_file import SweepFile, preset_text, schema_text
    from orchestrator.results.files import write_whole

    text = preset_text(preset)
    if output == Path("-"):
        typer.echo(text, nl=False)
        return
    beside = output.with_suffix(".schema.json")
    for path in (output, beside) if not force else ():
        old = path == beside and path.is_file() and b'"title": "Sweep"' in path.read_bytes()
        if path.exists() and not old:
            raise UserError(f"{path} exists", "choose another with -o, or use --force")
    head = f"# yaml-language-server: $schema=./{beside.name}\n"
    write_whole(output, (head + text).encode())
    write_whole(beside, schema_text(SweepFile).encode())
    typer.echo(f"{output}: edit it, then: {as_typed('plan', output)}", err=True)


def schema(
    cluster: Annotated[bool, typer.Option("--cluster", help="Of cluster.yaml.")] = False,
) -> None:
    """Print the JSON Schema of a sweep file.

    Example: rho-sweep schema > sweep.schema.json
    """
    from orchestrator.config.hosts import Cluster
    from orchestrator.config.sweep_file import SweepFile, schema_text

    typer.echo(schema_text(Cluster if cluster else SweepFile), nl=False)


def plan(
    sweep: Annotated[
        list[str],
        typer.Argument(
            help="Files or presets; several are one union.", autocompletion=complete_preset
        ),
    ],
    set_: SetOption = [],  # noqa: B006 - typer reads the default and never changes it
    results: ResultsOption = None,
    pilot: Annotated[
        Path | None,
        typer.Option(
            help="Results whose scatter is taken for the plan's.", autocompletion=complete_results
        ),
    ] = None,
    cluster: Annotated[
        Path | None,
        typer.Option(help="Also ask the hosts of this file for their room, speed and files."),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Show cells, what is done, memory, disk, time and what claims can find; touches nothing.

    Examples:
      rho-sweep plan dose-response ablation no-margin

      rho-sweep plan dose-response --pilot results/quickstart

      rho-sweep plan scale --cluster cluster.yaml
    """
    from orchestrator.cells.load import load
    from orchestrator.cli.show.lines import shown
    from orchestrator.inspection.plan import describe, plan_into

    frame = None
    if pilot is not None:
        from orchestrator.analysis.load import load_frame
        from orchestrator.results.store import Store

        frame = load_frame([Store.existing(pilot)])
    sweeps = [load(s, set_) for s in sweep]
    found, hosts = plan_into(sweeps, results, frame), None
    if cluster is not None:
        from orchestrator.cluster.doctor import outlook
        from orchestrator.config.cluster_file import load_cluster

        named = load_cluster(cluster)
        hosts = outlook.on_hosts(named, sweeps, found) if named else None
    if json_:
        typer.echo(found.to_json(cluster=hosts.as_json() if hosts else None))
        return
    with shown(hanging=9) as show:
        show([*describe(found), *(outlook.describe(hosts) if hosts else ())])
