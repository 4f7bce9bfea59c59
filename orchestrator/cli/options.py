"""What several commands share: arguments, options, and how a group finds its commands."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from orchestrator.visible import door


def complete_preset(incomplete: str) -> list[str]:
    """Names of presets that begin so, for the shell; it completes files by itself."""
    from orchestrator.config.preset_files import descriptions

    return [name for name in descriptions() if name.startswith(incomplete)]


def complete_results(incomplete: str) -> list[str]:
    """Results folders that begin so, for the shell; those under `results` if nothing is typed."""
    above, slash, start = (incomplete or "results/").rpartition("/")
    found = Path(above + slash).glob("*/sweep.yaml")
    names = sorted(manifest.parent.name for manifest in found)
    return [above + slash + name for name in names if name.startswith(start)]


SweepArgument = Annotated[
    str, typer.Argument(help="A YAML file, or a preset's name.", autocompletion=complete_preset)
]
ResultsArgument = Annotated[
    Path,
    typer.Argument(
        help="A results folder, e.g. results/quickstart.", autocompletion=complete_results
    ),
]
SetOption = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a field of the sweep.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON (docs/json.md).")]


COMPLETION = ("install_completion", "show_completion")
"""Flags that typer adds to the outermost group."""


class Group(TyperGroup):
    """A group whose commands start faster and write through the door of `orchestrator.visible`.

    typer loads pydantic (0.15 s of CPU) to convert the value of an absent flag, which is None for
    `--help` and for those that install completion. A default of False needs no conversion.
    """

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command line; text of others reaches the terminal with hidden characters shown."""
        for flag in self.params:
            if flag.name in COMPLETION:
                _false_by_default(flag)
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
