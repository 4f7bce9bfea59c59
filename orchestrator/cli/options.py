"""What several commands share: arguments, options, and how a group finds its commands."""

import re
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from typer.core import TyperGroup

from orchestrator.errors import UserError
from orchestrator.visible import door


def complete_preset(incomplete: str) -> list[str]:
    """Names of presets that begin so, for the shell; it completes files by itself."""
    from orchestrator.config.preset_files import descriptions

    return [name for name in descriptions() if name.startswith(incomplete)]


def complete_results(incomplete: str) -> list[str]:
    """Results folders that begin so, for the shell; those under `results` if nothing is typed."""
    above, slash, _ = incomplete.rpartition("/")
    roots = [above + slash] if slash else ["", "results/"]
    found = [
        root + p.parent.name for root in roots for p in sorted(Path(root).glob("*/sweep.yaml"))
    ]
    return [name for name in found if name.startswith(incomplete)]


def complete_cell(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of cells that begin so, for the shell; those of the results named before."""
    from orchestrator.results.manifest import load_manifest

    try:
        cells: dict[str, str] = load_manifest(Path(ctx.params["results"]))["cells"]
    except (UserError, OSError, KeyError, TypeError):
        return []
    return [cell for cell in cells if cell.startswith(incomplete)]


def apart(output: Path | None) -> Path | None:
    """A place for output, checked: not among the data of results."""
    from orchestrator.results.folder import demand_apart

    if output is not None:
        demand_apart(output)
    return output


def demand_one_place(cluster: Path | None, *, local: bool, inline: bool, slots: int | None) -> None:
    """Check that the options name one place for the work.

    Raises:
        UserError: They name several, or slots of hosts.
    """
    if sum((cluster is not None, local, inline)) > 1:
        raise UserError("--cluster, --local and --inline exclude each other")
    if cluster is not None and slots is not None:
        raise UserError("--slots is for this machine", "hosts have theirs in the cluster file")


SweepArgument = Annotated[
    str, typer.Argument(help="A YAML file, or a preset's name.", autocompletion=complete_preset)
]
ResultsArgument = Annotated[
    Path,
    typer.Argument(
        help="A results folder, e.g. results/quickstart.", autocompletion=complete_results
    ),
]
ResultsOption = Annotated[
    Path | None, typer.Option(help="This sweep's own folder [default: results/NAME].")
]
SetOption = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a field of the sweep.")
]
ClusterOption = Annotated[
    Path | None, typer.Option(help="A file that names the hosts (cluster.yaml).")
]
LocalOption = Annotated[bool, typer.Option("--local", help="Ray on this machine (default).")]
InlineOption = Annotated[bool, typer.Option("--inline", help="In this process, no Ray.")]
SlotsOption = Annotated[int | None, typer.Option(min=1, help="Cells, or other units, at once.")]
RayOption = Annotated[
    str | None, typer.Option(hidden=True, help="Of a running Ray; for the driver on a head.")
]
WithoutOption = Annotated[list[str], typer.Option(hidden=True, help="A host not to be used.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON (docs/json.md).")]


WHOLE, NUMBER = r"[-+]?[0-9]+", r"[-+.0-9eE]+|[-+]?(?:inf|nan)"
"""What an option takes for a number, as YAML 1.2 does: Python also reads `1_0`, as 10."""
LONGEST = 1_000
"""Characters of a command's first sentence in a list of commands; typer would cut it to a line."""


class Conversion:
    """Converts what was given for a parameter, or was not.

    typer loads pydantic for it (0.15 s of CPU), also where an option is absent; here only numbers
    and choices need it.
    """

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value in the parameter's type."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if self._kind in (str, Path):
            return self._kind(value)
        if get_args(self._kind) in ((str,), (Path,)):
            return [get_args(self._kind)[0](one) for one in value]
        if isinstance(value, str):
            for kind, form, what in ((int, WHOLE, "whole number"), (float, NUMBER, "number")):
                if kind in (self._kind, *get_args(self._kind)) and not re.fullmatch(form, value):
                    raise typer.BadParameter(f"{value!r} is no {what}", ctx=ctx, param=param)
        param._runtime_param = None
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


EXAMPLES = re.compile(r"\n\n(?=Examples?:| *rho-sweep )")
"""Where a paragraph of examples begins in the help of a command."""


class Group(TyperGroup):
    """A group whose commands start faster and write through the door of `orchestrator.visible`."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command line; text of others reaches the terminal with hidden characters shown."""
        for param in self.params:
            _quick(param)
        with door():
            return super().main(*args, **options)

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Read the words of a command line; without any, help is what was asked for."""
        return super().parse_args(ctx, args or ([] if ctx.resilient_parsing else ["--help"]))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands, each with its whole first sentence."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, c.get_short_help_str(LONGEST)) for name, c in commands])

    def get_help_option(self, ctx: Any) -> Any:
        """The flag `--help` of this group."""
        return _quick(super().get_help_option(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command with this name; None if there is none."""
        found = super().get_command(ctx, cmd_name)
        if found is not None:
            for param in (*found.params, found.get_help_option(ctx)):
                _quick(param)
            # a paragraph after this mark is shown as it stands: no example is filled to the width
            found.help = EXAMPLES.sub("\n\n\b\n", found.help or "") or None
        return found


def _quick(param: Any) -> Any:
    if param is not None and param._runtime_param is None:
        param._runtime_param = Conversion(param.type_descriptor.annotation)
    return param
