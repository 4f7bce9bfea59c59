"""The command line. Data on stdout, progress on stderr; exit codes as in docs/cli.md."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from orchestrator import __version__
from orchestrator.analysis.load import load_frame
from orchestrator.cli import analyze as analyze_cli
from orchestrator.cli import cluster as cluster_cli
from orchestrator.cli import judge as judge_cli
from orchestrator.cli import launch as launch_cli
from orchestrator.cli import stress as stress_cli
from orchestrator.cli.options import JsonOption, ResultsArgument, SetOption
from orchestrator.cluster.remote_sweep import Driver, Far
from orchestrator.config import sweep_file as sweeps
from orchestrator.errors import UserError
from orchestrator.execution.terminal import FAILED, FIXABLE, INTERRUPTED
from orchestrator.inspection import compare_results as comparison
from orchestrator.inspection import local_checks as doctoring
from orchestrator.inspection import plan as planning
from orchestrator.inspection import status as inspect
from orchestrator.results.files import write_whole
from orchestrator.results.store import Store
from tasks.contract.cell import NodeError

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Run grids of rho-guided fine-tuning cells and say what the results support.\n\n"
    "Start with: rho-sweep launch quickstart",
)
app.add_typer(cluster_cli.app, name="cluster")
app.command(name="launch")(launch_cli.launch)
app.command(name="stress")(stress_cli.command)
app.command(name="analyze")(analyze_cli.analyze)
app.add_typer(judge_cli.app, name="judge")
_debug = False


@app.callback()
def main_options(
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Options of every command."""
    global _debug  # noqa: PLW0603 - typer offers no other way to hand it to `main`
    _debug = debug


@app.command()
def presets() -> None:
    """List the built-in sweeps, one line each.

    Example: rho-sweep presets
    """
    for name in sweeps.presets():
        typer.echo(f"{name:<16} {sweeps.load(name).description}")


@app.command()
def init(
    preset: Annotated[str, typer.Argument(help="See: rho-sweep presets")],
    output: Annotated[Path, typer.Option("-o", "--output")] = Path("sweep.yaml"),
    force: Annotated[bool, typer.Option(help="Overwrite the file.")] = False,
) -> None:
    """Write a commented sweep file.

    Example: rho-sweep init dose-response -o my-sweep.yaml
    """
    text = sweeps.preset_text(preset)
    if output.exists() and not force:
        raise UserError(f"{output} exists; choose another with -o, or use --force")
    write_whole(output, text.encode())
    typer.echo(f"{output}: edit it, then: rho-sweep plan {output}", err=True)


@app.command()
def plan(
    sweep: Annotated[list[str], typer.Argument(help="Files or presets; several are one union.")],
    set_: SetOption = [],  # noqa: B006 - typer reads the default and never changes it
    results: Annotated[Path, typer.Option(help="Folder that holds all results.")] = Path("results"),
    pilot: Annotated[
        Path | None, typer.Option(help="Results whose spread over seeds is taken for the plan's.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Show cells, what is done, memory, time, attainable p and power; touches nothing.

    Examples:
      rho-sweep plan dose-response ablation no-margin

      rho-sweep plan dose-response --pilot results/quickstart
    """
    evidence = load_frame([Store.existing(pilot)]).evidence() if pilot is not None else []
    found = planning.plan([sweeps.load(s, set_) for s in sweep], results, evidence)
    if json_:
        typer.echo(found.to_json())
    else:
        typer.echo("\n".join(planning.describe(found)))


@app.command()
def status(
    results: ResultsArgument,
    watch: Annotated[bool, typer.Option("--watch", help="Until the launch ends.")] = False,
    json_: JsonOption = False,
) -> None:
    """Show how far a sweep is.

    Example: rho-sweep status results/quickstart --watch
    """
    while True:
        found = inspect.status(Store.existing(results), _pulled(results))
        typer.echo(json.dumps(found, indent=2) if json_ else "\n".join(inspect.status_lines(found)))
        if not watch or found["launch"] is None:
            return
        time.sleep(2)


@app.command()
def logs(
    results: ResultsArgument,
    cell: Annotated[str, typer.Argument(help="Start of a cell id, or a label.")],
) -> None:
    """Show progress, attempts and error of one cell.

    Example: rho-sweep logs results/quickstart 3f2a
    """
    _pulled(results)
    store = Store.existing(results)
    typer.echo("\n".join(inspect.log_lines(store, inspect.find_cell(store, cell))))


@app.command()
def stop(results: ResultsArgument) -> None:
    """Stop a running launch; finished cells are kept.

    Example: rho-sweep stop results/dose-response
    """
    folder = Store.existing(results).folder
    far = Far.of(folder)
    typer.echo(far.stop() if far else inspect.stop(folder))


def _pulled(folder: Path) -> Driver | None:
    """The driver of results that are made on a cluster, once what is new there is here too."""
    far = Far.of(folder)
    if far is None:
        return None
    try:
        return far.pull().driver
    except UserError as error:
        typer.echo(f"{error}\nthis is what was here before", err=True)
        return None


@app.command()
def report(
    results: ResultsArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file [default: RESULTS/report.html].")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Markdown; also where the file ends in .md.")
    ] = False,
) -> None:
    """Write claims, figures and tables as one file that opens from disk.

    Examples:
      rho-sweep report results/quickstart

      rho-sweep report results/quickstart -o quickstart.md
    """
    from orchestrator.report import write_report  # loads templates and figures

    _pulled(results)
    typer.echo(write_report(results, output, markdown=markdown))


@app.command()
def export(
    results: ResultsArgument,
    to: Annotated[str, typer.Option("--to", help="parquet or csv")] = "parquet",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder.")] = None,
) -> None:
    """Write every table as one Parquet or CSV file.

    Example: rho-sweep export results/quickstart --to csv
    """
    if to not in ("parquet", "csv"):
        raise UserError(f"--to must be parquet or csv, got {to!r}")
    target = output if output is not None else results / "export"
    for path in inspect.export(Store.existing(results), to, target):
        typer.echo(path)


@app.command()
def compare(
    left: Annotated[Path, typer.Argument(help="A results folder.")],
    right: Annotated[Path, typer.Argument(help="Another one.")],
    json_: JsonOption = False,
) -> None:
    """Compare two results cell by cell: scores and adapter bytes.

    Example: rho-sweep compare results/here results/there
    """
    found = comparison.compare(*Store.all_existing(left, right))
    if json_:
        typer.echo(found.to_json())
        return
    typer.echo(
        f"{found.same} same, {found.different} different, "
        f"{found.only_left} only in {left}, {found.only_right} only in {right}"
    )
    for cell, parts in found.differing.items():
        typer.echo(f"  {cell}: {', '.join(parts)}")


@app.command()
def doctor(
    results: Annotated[Path, typer.Option(help="Folder that holds all results.")] = Path("results"),
) -> None:
    """Check this machine; every finding says what to do.

    Example: rho-sweep doctor
    """
    findings = list(doctoring.examine(results))
    for finding in findings:
        typer.echo(f"{finding.level:<8} {finding.topic:<9} {finding.text}")
    if any(f.level == doctoring.PROBLEM for f in findings):
        raise typer.Exit(FAILED)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Entry point: errors that the user can fix are one message and exit code 2."""
    try:
        code: Any = app(standalone_mode=False, prog_name="rho-sweep")
    except (UserError, NodeError) as error:
        if _debug:
            raise
        typer.echo(f"error: {error}", err=True)
        sys.exit(FIXABLE)
    except TyperException as error:
        context = getattr(error, "ctx", None)
        see = f" See: {context.command_path} --help" if context else ""
        typer.echo(f"error: {error.format_message()}{see}", err=True)
        sys.exit(FIXABLE)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:  # a file system has more ways to say no than we foresee
        if _debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        typer.echo(f"error: {where}{error.strerror or error}", err=True)
        sys.exit(FIXABLE)
    sys.exit(code if isinstance(code, int) else 0)
