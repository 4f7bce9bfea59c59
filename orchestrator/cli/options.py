"""What several commands share: arguments, options, and how a group finds its commands."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from orchestrator.visible import door

SweepArgument = Annotated[str, typer.Argument(help="A YAML file, or a preset's name.")]
ResultsArgument = Annotated[Path, typer.Argument(help="A results folder, e.g. results/quickstart.")]
SetOption = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a field of the sweep.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON (docs/json.md).")]


class Group(TyperGroup):
    """A group whose commands start faster and write through the door of `orchestrator.visible`.

    typer loads pydantic (0.15 s of CPU) to convert the value of an absent `--help` flag, which is
    None. A default of False needs no conversion.
    """

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command line; text of others reaches the terminal with hidden characters shown."""
        with door():
            return super().main(*args, **options)

    def get_help_option(self, ctx: Any) -> Any:
        """The flag `--help` of this group."""
        return _false_by_default(super().get_help_option(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command with this name; None if there is none."""
        found = super().get_command(ctx, cmd_name)
        if found is not None:
            _false_by_default(found.get_help_option(ctx))
        return found


def _false_by_default(flag: Any) -> Any:
    if flag is not None:
        flag.default = False
    return flag
