"""`rho-sweep stress`, `score` and `import`: what comes later to saved adapters."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import (
    ClusterOption,
    Group,
    InlineOption,
    LocalOption,
    RayOption,
    ResultsArgument,
    SlotsOption,
    WithoutOption,
    demand_one_place,
)
from orchestrator.errors import as_typed
from tasks.judges.names import FORMS


def command(
    results: ResultsArgument,
    prompts: Annotated[
        list[str], typer.Option("--prompts", metavar="SET", help="A built-in set or a file.")
    ] = [],  # noqa: B006 - typer reads the default and never changes it
    samples: Annotated[int | None, typer.Option(help="Answers to each prompt.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Tokens of an answer at most.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the draws.")] = None,
    thinking: Annotated[
        str | None, typer.Option(help="strip: judge what follows a thought; off: no thoughts.")
    ] = None,
    judge: Annotated[str | None, typer.Option(help=FORMS)] = None,
    cluster: ClusterOption = None,
    local: LocalOption = False,
    inline: InlineOption = False,
    slots: SlotsOption = None,
    ray: RayOption = None,
    without: WithoutOption = [],  # noqa: B006 - as above
) -> None:
    """Let every finished cell answer prompts, judge the answers; nothing is trained.

    What is not given is as in the sweep's `stress:` block; a judge or prompts that are not
    built in must be given. Only what is missing is generated.

    Example: rho-sweep stress results/stress --prompts starter --max-tokens 128
    """
    demand_one_place(cluster, local=local, inline=inline, slots=slots)
    given = {
        "prompts": prompts or None,
        "samples": samples,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "seed": seed,
        "thinking": thinking,
        "judge": judge,
    }
    from orchestrator.cli import stressing
    from orchestrator.config.stress_block import settings_of
    from orchestrator.execution.launch import Options
    from orchestrator.results.manifest import load_manifest
    from orchestrator.results.store import Store

    Store.existing(results)
    settings = settings_of(results, load_manifest(results).get("stress"), given)
    if cluster is not None:
        stressing.on_cluster(results, settings, cluster)
    else:
        options = Options(inline=inline, address=ray, slots=slots, without=frozenset(without))
        stressing.here(results, settings, options)


def score(
    results: ResultsArgument,
    pack: Annotated[str, typer.Option("--pack", help="A built-in pack, or a JSON Lines file.")],
    behavior: Annotated[
        list[str], typer.Option("--behavior", help="Only this behaviour; may be repeated.")
    ] = [],  # noqa: B006 - typer reads the default and never changes it
    cluster: ClusterOption = None,
    local: LocalOption = False,
    inline: InlineOption = False,
    slots: SlotsOption = None,
    ray: RayOption = None,
    without: WithoutOption = [],  # noqa: B006 - as above
) -> None:
    """Let every saved adapter and the untrained model score another pack; nothing is trained.

    Only what is missing is scored. Claims stay on the sweep's own pack; the scores are shown by
    rho-sweep analyze RESULTS --pack PACK.

    Example: rho-sweep score results/first --pack more.jsonl
    """
    demand_one_place(cluster, local=local, inline=inline, slots=slots)
    from orchestrator.cli import stressing
    from orchestrator.execution.launch import Options
    from orchestrator.results.store import Store

    Store.existing(results)
    if cluster is not None:
        stressing.score_on_cluster(results, pack, behavior, cluster)
    else:
        options = Options(inline=inline, address=ray, slots=slots, without=frozenset(without))
        stressing.score_here(results, pack, behavior, options)


imports = typer.Typer(cls=Group, rich_markup_mode=None)
FileArgument = Annotated[Path, typer.Argument(help="The other tool's file.")]
CellOption = Annotated[
    str | None, typer.Option("--cell", help="Id of its cell, where the file names no adapter.")
]


@imports.callback()
def import_() -> None:
    """Results of other tools: docs/import.md.

    Example: rho-sweep import lm-eval results.json results/first
    """


@imports.command(name="lm-eval")
def import_lm_eval(file: FileArgument, results: ResultsArgument, cell: CellOption = None) -> None:
    """Numbers of lm-evaluation-harness, or of mlx_lm.evaluate, as measurements of a cell.

    Example: rho-sweep import lm-eval results.json results/first --cell 0123456789abcdef
    """
    _import_numbers("lm-eval", file, results, cell)


@imports.command(name="inspect")
def import_inspect(file: FileArgument, results: ResultsArgument, cell: CellOption = None) -> None:
    """Numbers of a log of Inspect, .json or .eval, as measurements of a cell.

    Example: rho-sweep import inspect log.eval results/first
    """
    _import_numbers("inspect", file, results, cell)


@imports.command(name="rho-eval")
def import_rho_eval(
    folder: Annotated[Path, typer.Argument(help="Where its result files lie (*.json).")],
    results: Annotated[Path, typer.Option(help="Root under which the results are made.")] = Path(
        "results"
    ),
) -> None:
    """Result files of rho-eval's campaign as results to analyze; what they lack is unknown.

    Example: rho-sweep import rho-eval knowledge-fidelity/results/alignment
    """
    from orchestrator.stress.predecessor import bring

    found = bring(folder, results)
    for note in found.notes:
        typer.echo(note, err=True)
    for path, cells in found.folders.items():
        typer.echo(f"{path}: {cells} cells; see: {as_typed('analyze', path)}")


def _import_numbers(tool: str, file: Path, results: Path, cell: str | None) -> None:
    from orchestrator.results.store import Store
    from orchestrator.stress.imported import import_file

    found = import_file(Store.existing(results), tool, file, cell)
    typer.echo(f"{found.cell}: {', '.join(found.names)}")
