"""The command line. Data on stdout, progress on stderr; exit codes as in docs/cli.md.

Modules that declare commands import nothing heavy; a command imports what it needs when it runs.
"""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from orchestrator import __version__
from orchestrator.cli import analyze, cluster, judge, launch, results, serve, stress, sweeps
from orchestrator.cli.options import Group, apart
from orchestrator.errors import UserError, next_step
from orchestrator.execution.terminal import FAILED, FIXABLE, INTERRUPTED
from orchestrator.visible import door, short, visible
from tasks.contract.cell import NodeError

app = typer.Typer(
    cls=Group,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Run grids of rho-guided fine-tuning cells and say what the results support.\n\n"
    "Start with: rho-sweep launch quickstart",
)
_debug = False


def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _version_first(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit


@app.callback()
def main_options(
    version_: Annotated[  # noqa: ARG001 - its callback acts on it
        bool,
        typer.Option(
            "--version", callback=_version_first, is_eager=True, help="Print the version."
        ),
    ] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Options of every command."""
    global _debug  # noqa: PLW0603 - typer offers no other way to hand it to `main`
    _debug = debug


def doctor(
    results: Annotated[Path, typer.Option(help="Where a sweep's results would be written.")] = Path(
        "results"
    ),
    full: Annotated[
        bool, typer.Option("--full", help="Compute for a minute or two, and write one file.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", callback=apart, help="File of --full; JSON.")
    ] = None,
) -> None:
    """Check this machine; every finding says what to do.

    Example: rho-sweep doctor --full -o mac.json
    """
    if full:
        _first_day(output)
        return
    if output is not None:
        raise UserError("-o goes with --full", "run: rho-sweep doctor --full -o FILE")
    from orchestrator.inspection.local_checks import PROBLEM, examine
    from orchestrator.inspection.macs import asked_here
    from orchestrator.inspection.macs import findings as of_mac

    findings = list(examine(results))
    if (said := asked_here()) is not None:
        findings += of_mac(said, kept_awake=True)
    for finding in findings:
        typer.echo(f"{finding.level:<8} {finding.topic:<9} {finding.text}")
    if any(f.level == PROBLEM for f in findings):
        raise typer.Exit(FAILED)


def _first_day(output: Path | None) -> None:
    """Bits, parity, memory and speed of this machine as JSON, without names of it or its user."""
    from orchestrator.cluster import canary
    from orchestrator.inspection import first_day
    from orchestrator.results.files import write_whole

    def say(part: str) -> None:
        typer.echo(f"{part.replace('_', ' ')} ...", err=True)

    found = first_day.examine(canary.spec(), canary.estimate(), say)
    text = first_day.without_names(json.dumps(found, indent=2))
    if output is None:
        typer.echo(text)
    else:
        write_whole(output, text.encode())
        typer.echo(f"{output}: look through it, then attach it to a report", err=True)
    if found["problems"]:
        typer.echo("\n".join(found["problems"]), err=True)
        raise typer.Exit(FAILED)


app.add_typer(cluster.app, name="cluster")
app.command()(launch.launch)
app.command(name="stress")(stress.command)
app.command()(stress.score)
app.add_typer(stress.imports, name="import")
app.command()(analyze.analyze)
app.add_typer(judge.app, name="judge")
app.command()(sweeps.presets)
app.command()(sweeps.init)
app.command()(sweeps.schema)
app.command()(sweeps.plan)
app.command(name="results")(results.overview)
app.command()(results.status)
app.command()(results.logs)
app.command()(results.stop)
app.command()(serve.serve)
app.command()(results.report)
app.command()(results.export)
app.command()(results.card)
app.command()(results.check)
app.command()(results.compare)
app.command()(doctor)
app.command()(version)


def main() -> None:
    """Entry point: errors that the user can fix are one message and exit code 2."""
    with door():
        sys.exit(_run())


def _run() -> int:
    """The exit code of the command line."""
    try:
        code: Any = app(standalone_mode=False, prog_name="rho-sweep")
    except (UserError, NodeError) as error:
        if _debug:
            raise
        # what a node says of foreign files is one line, whatever they hold
        _tell(visible(str(error)) if isinstance(error, NodeError) else error)
        return FIXABLE
    except TyperException as error:
        context = getattr(error, "ctx", None)
        see = f" See: {context.command_path} --help" if context else ""
        _tell(f"{error.format_message()}{see}")
        return FIXABLE
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a file system has more ways to say no than we foresee
        if _debug:
            raise
        reason = error.strerror or str(error)
        places = [str(place) for place in (error.filename, error.filename2) if place]
        try:
            Path.cwd()
            _tell(UserError(": ".join([*places, reason]), next_step(error)))
        except FileNotFoundError:
            _tell(UserError("the working folder is gone", "go to one that is there: cd"))
        return FIXABLE
    return code if isinstance(code, int) else 0


def _tell(problem: object) -> None:
    """Print what is wrong, if there is room for it: stderr may be a file on a full disk."""
    with suppress(OSError):
        typer.echo("\n".join(map(short, f"error: {problem}".splitlines())), err=True)
