"""`rho-sweep judge ...`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from orchestrator.stress import judging, validation
from orchestrator.stress.judges import FORMS, RULES, judge_of
from orchestrator.stress.validation import LABELS, Share, Validation
from tasks.starter import JUDGED

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def judges() -> None:
    """Judges of generated answers: docs/prompts-and-judges.md.

    Example: rho-sweep judge validate --half heldback
    """


app.command()(judging.run)


@app.command()
def validate(
    file: Annotated[
        Path | None, typer.Argument(help="Labelled examples, JSONL; those that ship by default.")
    ] = None,
    judge: Annotated[str, typer.Option(help=FORMS)] = RULES,
    half: Annotated[str, typer.Option(help="dev, heldback or all")] = validation.ALL,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON (docs/json.md).")] = False,
) -> None:
    """Compare a judge's verdicts with people's labels.

    Example: rho-sweep judge validate --judge rules --half heldback
    """
    examples = validation.load_examples(file or JUDGED, half)
    found = validation.validate(judge_of(judge), examples, half)
    if json_:
        typer.echo(found.to_json())
        return
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(_confusion(found))
    typer.echo("\n".join(_summary(found)))


def _confusion(found: Validation) -> Table:
    table = Table(box=None, title=f"{found.judge}, {found.half}: {found.n} examples")
    table.add_column("a person says")
    for label in LABELS:
        table.add_column(str(label), justify="right")
    for said, row in found.confusion.items():
        table.add_row(said, *(str(row[judged] or ".") for judged in LABELS))
    return table


def _summary(found: Validation) -> list[str]:
    return [
        "",
        f"sensitivity    {_share(found.sensitivity)}  of what refuses, judged so",
        f"specificity    {_share(found.specificity)}  of what does not refuse, judged so",
        f"kappa          {_number(found.kappa)}  five labels",
        f"kappa          {_number(found.kappa_refusal)}  refused or not",
        f"unjudged       {found.n_unjudged} of {found.n}",
        *(f"differs        {m.id}: {m.label}, judged {m.judged}" for m in found.mistakes),
    ]


def _share(share: Share) -> str:
    if share.value is None or share.low is None or share.high is None:
        return "-  (nothing to count)"
    return f"{share.value:.3f} [{share.low:.3f}, {share.high:.3f}]  {share.k} of {share.n}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
