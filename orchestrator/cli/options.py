"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

SweepArgument = Annotated[str, typer.Argument(help="A YAML file, or a preset's name.")]
ResultsArgument = Annotated[Path, typer.Argument(help="A results folder, e.g. results/quickstart.")]
SetOption = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a field of the sweep.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON (docs/json.md).")]
