"""`rho-sweep analyze`: means, verdicts and tables, in the terminal, as files and as JSON."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from orchestrator.analysis.analyze import Analysis, Asked
from orchestrator.analysis.analyze import analyze as run
from orchestrator.analysis.analyze import tables as arm_tables
from orchestrator.analysis.output import FOLDER, write_analysis
from orchestrator.analysis.published.tables import published_tables
from orchestrator.analysis.tables.render import as_json, terminal, visible
from orchestrator.analysis.tables.view import Missing, View
from orchestrator.config.contrasts import SPLITS, Questions, parse_questions
from orchestrator.config.fields import hint
from orchestrator.config.yaml_lines import parse_yaml, raise_problems
from orchestrator.errors import UserError
from orchestrator.results.store import Store
from tasks.contract.cell import NodeError
from tasks.sources.jsonl import read_text

ALL, CLAIMS = "all", "T13"
PIPED_WIDTH, PIPED_TABLE_WIDTH = 110, 240
"""Columns where no terminal says how wide it is: of the summary, and of the wide tables."""


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
    """Say what results support: means, contrasts with verdicts, and tables T1 to T13.

    Examples:
      rho-sweep analyze results/quickstart

      rho-sweep analyze results/quickstart --table effects

      rho-sweep analyze results/dose-response results/ablation --table all

      rho-sweep analyze --published
    """
    if against not in (None, "published"):
        raise UserError(f"--against must be published, got {against!r}")
    if split not in (None, *SPLITS):
        raise UserError(f"--split must be one of {', '.join(SPLITS)}; got {split!r}")
    if published:
        if results:
            raise UserError("--published is about the notes alone; use --against published")
        _show_published(table or [ALL], as_json_=json_)
        return
    if not results:
        raise UserError("name a results folder, e.g. results/quickstart, or use --published")
    asked = Asked(questions=_questions(questions), split=split, published=against is not None)
    found = run(Store.all_existing(*results), asked)
    _write(found, results, output)
    if json_:
        typer.echo(found.to_json())
    elif table or against:
        _print(_chosen((*found.views, *found.missing), table or [ALL]))
    else:
        _summary(found, results)
    for cell in found.unscored:
        typer.echo(f"{cell['status']} {cell['cell_id']}: {cell['message']}", err=True)


def _questions(path: Path | None) -> Questions | None:
    """The `analysis:` block of a file that may hold nothing else."""
    if path is None:
        return None
    try:
        document = parse_yaml(read_text(path), str(path), path.resolve().parent)
    except NodeError as error:
        raise UserError(str(error)) from None
    problems = list(document.problems)
    found = parse_questions(document, problems)
    raise_problems(document, problems)
    if not found.contrasts:
        raise UserError(f"{path}: asks nothing; it needs analysis: with contrasts:")
    return found


def _show_published(table: Sequence[str], *, as_json_: bool) -> None:
    views = published_tables()
    if as_json_:
        body = {
            "tables": [as_json(v) for v in views if isinstance(v, View)],
            "missing_tables": [asdict(v) for v in views if isinstance(v, Missing)],
        }
        typer.echo(json.dumps(body, indent=2, allow_nan=False))
    else:
        _print(_chosen(views, table))


def _chosen(views: Sequence[View | Missing], table: Sequence[str]) -> list[View | Missing]:
    """The tables with these keys or names, in the order of the tables."""
    if ALL in table:
        return list(views)
    wanted = {word.lower() for word in table}
    known = {word for v in views for word in (v.key, v.name)}
    unknown = [w for w in table if w.lower() not in {k.lower() for k in known}]
    if unknown:
        names = ", ".join(dict.fromkeys(f"{v.key} {v.name}" for v in views))
        near = hint(unknown[0], tuple(known))
        raise UserError(f"no table {unknown[0]!r}{near} (tables: {names}, or all)")
    return [v for v in views if {v.key.lower(), v.name.lower()} & wanted]


def _print(views: Sequence[View | Missing]) -> None:
    console = Console(width=None if sys.stdout.isatty() else PIPED_TABLE_WIDTH)
    for view in views:
        if isinstance(view, View):
            console.print(terminal(view), "")
        else:
            console.print(f"{view.key}  {view.name}: not shown, {view.reason}\n", markup=False)


def _summary(found: Analysis, results: Sequence[Path]) -> None:
    """Means over seeds, then the claims; the wide tables are named."""
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    for table in arm_tables(found):
        console.print(table)
    for view in found.views:
        if view.key == CLAIMS:
            console.print("\n".join(_claims(view)), markup=False, highlight=False)
    names = ", ".join(f"{v.key} {v.name}" for v in found.views if v.key != CLAIMS)
    folders = " ".join(map(str, results))
    typer.echo(f"tables: {names}\nprint them: rho-sweep analyze {folders} --table all", err=True)


def _claims(view: View) -> Iterator[str]:
    """Each claim with its verdict, and below it what every behaviour says."""
    yield "claims"
    for row in view.rows:
        yield f"  {row['verdict']:<13} {visible(row['claim'])} ({row['family']})"
        yield from (f"  {'':<15} {visible(part)}" for part in (row["reason"] or "").split("; "))


def _write(found: Analysis, results: Sequence[Path], output: Path | None) -> None:
    """One folder's analysis lies in it; of several, where the user says."""
    if output is None and len(results) > 1:
        return
    target = output or results[0] / FOLDER
    try:
        write_analysis(target, found.registration, found.inference, found.views)
    except (UserError, OSError) as error:
        if output is not None:
            raise
        typer.echo(f"{error}\nno files were written", err=True)
