"""`rho-sweep analyze`."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.errors import UserError


def analyze(
    results: Annotated[
        list[Path] | None, typer.Argument(help="Results folders; several are read as one.")
    ] = None,
    table: Annotated[
        list[str], typer.Option("--table", help="Print a table, e.g. T5 or effects; or all.")
    ] = [],  # noqa: B006 - typer reads the default and never changes it
    split: Annotated[
        str | None, typer.Option(help="Pairs the tables are about: heldout or train.")
    ] = None,
    questions: Annotated[
        Path | None, typer.Option(help="A file with an analysis: block; exploratory.")
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="What the published figures alone support.")
    ] = False,
    against: Annotated[
        str | None, typer.Option(help="`published` puts the notes' numbers beside.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for the tables' files.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON (docs/json.md).")] = False,
) -> None:
    """Say what results support: means, contrasts with verdicts, and tables T1 to T14.

    Examples:
      rho-sweep analyze results/quickstart

      rho-sweep analyze results/quickstart --table effects

      rho-sweep analyze results/dose-response results/ablation --table all

      rho-sweep analyze --published
    """
    from orchestrator.analysis.analyze import Asked
    from orchestrator.analysis.analyze import analyze as run
    from orchestrator.cli.show_analysis import (
        ALL,
        questions_of,
        remember,
        show_losses,
        show_published,
        show_summary,
        show_tables,
        write,
    )
    from orchestrator.config.contrasts import SPLITS
    from orchestrator.results.store import Store

    if against not in (None, "published"):
        raise UserError(f"--against must be published, got {against!r}")
    if split not in (None, *SPLITS):
        raise UserError(f"--split must be one of {', '.join(SPLITS)}; got {split!r}")
    if published:
        if results:
            raise UserError("--published is about the notes alone", "use --against published")
        show_published(table or [ALL], questions_of(questions), as_json_=json_)
        return
    if not results:
        raise UserError("name a results folder, e.g. results/quickstart, or use --published")
    later = questions_of(questions)
    asked = Asked(questions=later, split=split, published=against is not None)
    found = run(Store.all_existing(*results), asked)
    if later is not None:
        remember(later, results)
    write(found, results, output)
    if json_:
        typer.echo(found.to_json())
    elif table or against:
        show_tables((*found.views, *found.missing), table or [ALL])
    else:
        show_summary(found, results)
    show_losses(found, results)
