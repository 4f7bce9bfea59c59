"""`rho-sweep judge ...`."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import Group, ResultsArgument
from tasks.judges.names import FORMS, RULES

app = typer.Typer(
    cls=Group,
    rich_markup_mode=None,
)


@app.callback()
def judges() -> None:
    """Judges of generated answers: docs/prompts-and-judges.md.

    Example: rho-sweep judge validate --half heldback
    """


@app.command()
def run(
    results: ResultsArgument,
    judge: Annotated[str, typer.Option(help=FORMS)] = RULES,
) -> None:
    """Label the answers that a stress test generated; those without a label are asked again.

    Example: rho-sweep judge run results/stress --judge rules
    """
    from orchestrator.execution.terminal import interruptible
    from orchestrator.results.attempts import alone
    from orchestrator.results.store import Store
    from orchestrator.stress.judges import judge_of
    from orchestrator.stress.judging import judge_answers

    store = Store.existing(results)
    named = judge_of(judge)
    interruptible()
    with alone(store):
        typer.echo(judge_answers(store, named).line)


@app.command()
def validate(
    file: Annotated[
        Path,
        typer.Argument(
            help="Labelled examples, JSONL; or those that ship: written (by us), real (by models)."
        ),
    ] = Path("written"),
    judge: Annotated[str, typer.Option(help=FORMS)] = RULES,
    half: Annotated[str, typer.Option(help="dev, heldback or all")] = "all",
    json_: Annotated[bool, typer.Option("--json", help="Print JSON (docs/json.md).")] = False,
) -> None:
    """Compare a judge's verdicts with people's labels.

    Example: rho-sweep judge validate real --judge rules --half heldback
    """
    from orchestrator.cli.show.validation import show
    from orchestrator.stress import validation
    from orchestrator.stress.judges import judge_of
    from tasks.starter import EXAMPLES

    examples = validation.load_examples(EXAMPLES.get(str(file), file), half)
    found = validation.validate(judge_of(judge), examples, half)
    if json_:
        typer.echo(found.to_json())
    else:
        show(found)
