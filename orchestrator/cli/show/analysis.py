"""An analysis in the terminal and as files; the questions of `--questions`."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.text import Text

from orchestrator.analysis.analyze import Analysis
from orchestrator.analysis.inference.record import SILENT
from orchestrator.analysis.output import FOLDER, write_analysis
from orchestrator.analysis.published.tables import published_tables
from orchestrator.analysis.tables.arms import HELDOUT, Arms
from orchestrator.analysis.tables.render import as_json, terminal
from orchestrator.analysis.tables.scores.changes import changes
from orchestrator.analysis.tables.scores.general import NAME as GENERAL
from orchestrator.analysis.tables.view import Missing, View
from orchestrator.cli.show.claims import claim_lines
from orchestrator.cli.show.filters import Filter
from orchestrator.cli.show.screen import say
from orchestrator.cli.show.views import show_views
from orchestrator.config.contrasts import Questions, parse_questions
from orchestrator.config.yaml_lines import parse_yaml
from orchestrator.errors import UserError, as_typed, hint
from orchestrator.execution.console import Console
from orchestrator.inspection.status import passed_over_lines
from orchestrator.results.folder import demand_results
from orchestrator.results.registration import log_questions
from orchestrator.stats.records import ALPHA
from orchestrator.visible import short
from tasks.contract.cell import NodeError
from tasks.sources.jsonl import read_text
from tasks.sources.paths import real

ALL = "all"

EVERYTHING = Filter()
PIPED_WIDTH = 110
"""Columns of the summary where no terminal says how wide it is."""


def questions_of(path: Path | None) -> Questions | None:
    """Read the `analysis:` block of a file that may hold nothing else; None without a file.

    Raises:
        UserError: The file is missing, wrong, or asks nothing.
    """
    if path is None:
        return None
    try:
        document = parse_yaml(read_text(path), str(path), real(path).parent)
    except NodeError as error:
        raise UserError(str(error)) from None
    found = parse_questions(document)
    if not found.contrasts:
        raise UserError(f"{path}: asks nothing", "it needs analysis: with contrasts:")
    return found


def remember(asked: Questions, results: Sequence[Path]) -> None:
    """Log questions in the results of which they are asked; say where that cannot be done."""
    for folder in results:
        try:
            log_questions(demand_results(folder), asked.contrasts, datetime.now(UTC))
        except UserError as error:
            typer.echo(f"{error}\nthese questions are not in the log of {folder}", err=True)


def show_published(table: Sequence[str], asked: Questions | None, *, as_json_: bool) -> None:
    """Print what the published figures alone support, at the level of the questions if any."""
    views = published_tables(asked.alpha if asked else ALPHA)
    if as_json_:
        body = {
            "tables": [as_json(v) for v in views if isinstance(v, View)],
            "missing_tables": [asdict(v) for v in views if isinstance(v, Missing)],
        }
        typer.echo(json.dumps(body, indent=2, allow_nan=False))
    else:
        show_tables(views, table)


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


def show_tables(
    views: Sequence[View | Missing], table: Sequence[str], only: Filter = EVERYTHING
) -> None:
    """Print the tables with these keys or names; `all` stands for every table."""
    chosen = _chosen(views, table)
    show_views([only.view(v) if isinstance(v, View) else v for v in chosen])


def show_arms(view: View, *, as_json_: bool) -> None:
    """Print the same arms of two results, side by side."""
    if as_json_:
        typer.echo(json.dumps(as_json(view), indent=2, allow_nan=False))
        return
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    console.print(terminal(view))


def show_summary(
    found: Analysis, results: Sequence[Path], only: Filter, pack: str | None = None
) -> None:
    """Print the claims, what each arm changed, held-out pairs first, and what to know of these.

    Args:
        found: The analysis.
        results: Of these folders.
        only: What to show of it.
        pack: That it is about, where that is not the sweep's own.
    """
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    if pack:
        say(console, Text(f"pack {pack}, scored after the sweep: all of it is exploratory"))
    for indent, line in claim_lines([row for row in found.inference if only.claim(row)]):
        say(console, line, indent)
    evidence = [e for e in found.evidence if only.evidence(e)]
    for split in sorted({e.split for e in evidence}, key=lambda s: (s != HELDOUT, s)):
        console.print("", terminal(changes(Arms(evidence, split))))
    for view in found.views:
        if view.name == GENERAL:
            console.print("", terminal(only.view(view)))
    labels = {e.arm_id: e.label for e in found.evidence}
    for arm in found.silent:
        say(console, Text(f"{labels[arm]}: {SILENT}"))
    for text in found.warnings:
        say(console, Text(f"warning: {text}"))
    names = " ".join(v.name for v in found.views)
    tables = as_typed("analyze", *results, "--table")
    beside = Console(stderr=True, width=None if sys.stderr.isatty() else PIPED_WIDTH)
    say(beside, Text(f"more tables: {tables} NAME; names: {names}, all"))


def show_losses(found: Analysis, results: Sequence[Path]) -> None:
    """Name on stderr the cells without scores, and the entries that were passed over."""
    lines = [short(f"{c['status']} {c['cell_id']}: {c['message']}") for c in found.unscored]
    for line in (*lines, *(line for folder in results for line in passed_over_lines(folder))):
        typer.echo(line, err=True)


def write(found: Analysis, results: Sequence[Path], output: Path | None) -> None:
    """Write the tables into the results folder, or into `output`; unless of one folder only there.

    Args:
        found: The analysis.
        results: Of these folders; none where what they hold is not its main subject.
        output: The user's own folder.
    """
    if output is None and len(results) != 1:
        return
    target = output or results[0] / FOLDER
    try:
        write_analysis(target, found.registration, found.inference, found.views)
    except (UserError, OSError) as error:
        if output is not None:
            raise
        typer.echo(f"{error}\nno files were written", err=True)
