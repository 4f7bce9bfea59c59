"""How far a judge agrees with people, in the terminal."""

import sys

import typer
from rich.table import Table

from orchestrator.execution.console import Console
from orchestrator.stress.validation import LABELS, Share, Validation


def show(found: Validation) -> None:
    """Print the confusion of labels as a table, then the rates."""
    table = Table(box=None, title=f"{found.judge}, {found.half}: {found.n} examples")
    table.add_column("a person says")
    for label in LABELS:
        table.add_column(str(label), justify="right")
    for said, row in found.confusion.items():
        table.add_row(said, *(str(row[judged] or ".") for judged in LABELS))
    Console(width=None if sys.stdout.isatty() else 110).print(table)
    typer.echo("\n".join(_summary(found)))


def _summary(found: Validation) -> list[str]:
    five = _kappa(found.kappa, found.kappa_interval)
    refused = _kappa(found.kappa_refusal, found.kappa_refusal_interval)
    return [
        "",
        f"sensitivity      {_share(found.sensitivity)}  of what refuses, judged so",
        f"specificity      {_share(found.specificity)}  of what does not refuse, judged so",
        f"kappa            {five}  five labels",
        f"kappa            {refused}  refused or not",
        f"unjudged         {found.n_unjudged} of {found.n}",
        "",
        "each label       of it, judged so                 of others, judged so",
        *(
            f"{label:<17}{_share(rates['sensitivity']):<33}{_share(rates['specificity'])}"
            for label, rates in found.labels.items()
        ),
        "",
        *(f"differs          {m.id}: {m.label}, judged {m.judged}" for m in found.mistakes),
    ]


def _share(share: Share) -> str:
    if share.value is None or share.low is None or share.high is None:
        return "-  (nothing to count)"
    return f"{share.value:.3f} [{share.low:.3f}, {share.high:.3f}]  {share.k} of {share.n}"


def _kappa(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None or interval is None:
        return "-"
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"
