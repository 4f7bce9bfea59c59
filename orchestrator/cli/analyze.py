"""`rho-sweep analyze`."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import apart, complete_results
from orchestrator.errors import UserError


def analyze(
    results: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Results folders; several are read as one.", autocompletion=complete_results
        ),
    ] = None,
    table: Annotated[
        list[str],
        typer.Option("--table", metavar="NAME", help="Print a table, e.g. T5 or effects; or all."),
    ] = [],  # noqa: B006 - typer reads the default and never changes it
    behavior: Annotated[
        list[str], typer.Option("--behavior", help="Show only this behaviour; may be repeated.")
    ] = [],  # noqa: B006 - as above
    arm: Annotated[
        list[str],
        typer.Option("--arm", help="Show only arms with these words, e.g. 'rho-guided w=0.5'."),
    ] = [],  # noqa: B006 - as above
    split: Annotated[
        str | None, typer.Option(help="Show only these pairs: heldout or train.")
    ] = None,
    questions: Annotated[
        Path | None, typer.Option(help="A file with an analysis: block; exploratory.")
    ] = None,
    pack: Annotated[
        str | None,
        typer.Option(help="Another pack, scored with rho-sweep score; exploratory, no files."),
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="What the published figures alone support.")
    ] = False,
    against: Annotated[
        str | None, typer.Option(help="`published` puts the notes' numbers beside.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", callback=apart, help="Folder for the tables' files."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON (docs/json.md).")] = False,
) -> None:
    """Say what results support: claims, what each arm changed, and tables T1 to T15.

    Examples:
      rho-sweep analyze results/quickstart

      rho-sweep analyze results/quickstart --behavior factual --arm "rho-guided w=0.5"

      rho-sweep analyze results/quickstart --table effects

      rho-sweep analyze results/dose-response results/ablation --table all

      rho-sweep analyze results/quickstart --pack more.jsonl

      rho-sweep analyze --published
    """
    from orchestrator.analysis.analyze import Asked
    from orchestrator.analysis.analyze import analyze as run
    from orchestrator.cli.show.analysis import (
        ALL,
        questions_of,
        remember,
        show_losses,
        show_published,
        show_summary,
        show_tables,
        write,
    )
    from orchestrator.cli.show.filters import Filter
    from orchestrator.config.contrasts import SPLITS
    from orchestrator.results.store import Store

    if against not in (None, "published"):
        raise UserError(f"--against must be published, got {against!r}")
    if split not in (None, *SPLITS):
        raise UserError(f"--split must be one of {', '.join(SPLITS)}; got {split!r}")
    if published:
        if results or behavior or arm or pack:
            raise UserError("--published is about the notes alone", "use --against published")
        show_published(table or [ALL], questions_of(questions), as_json_=json_)
        return
    if json_ and (behavior or arm):
        raise UserError("--behavior and --arm choose what is printed", "JSON has all of it")
    if not results:
        raise UserError("name a results folder, e.g. results/quickstart, or use --published")
    later = questions_of(questions)
    asked = Asked(questions=later, split=split, published=against is not None, pack=pack)
    found = run(Store.all_existing(*results), asked)
    only = Filter.of(found.evidence, behavior, arm, split)
    if later is not None:
        remember(later, results)
    write(found, () if pack else results, output)
    if json_:
        typer.echo(found.to_json())
    elif table or against:
        show_tables((*found.views, *found.missing), table or [ALL], only)
    else:
        show_summary(found, results, only, pack)
    show_losses(found, results)
