"""Commands about results: what there is, how far it is, what it holds, and whether it is whole."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import (
    JsonOption,
    ResultsArgument,
    apart,
    complete_cell,
    complete_results,
)
from orchestrator.errors import UserError
from orchestrator.execution.terminal import FAILED

if TYPE_CHECKING:
    from orchestrator.cluster.remote_sweep import Far


def overview(
    root: Annotated[Path, typer.Argument(help="Folder that holds all results.")] = Path("results"),
    json_: JsonOption = False,
) -> None:
    """List the results under a folder: cells, claims, model, time of the last result.

    Example: rho-sweep results
    """
    from dataclasses import asdict

    from orchestrator.cli.show.lines import shown
    from orchestrator.inspection.overview import lines_of
    from orchestrator.inspection.overview import overview as overview_of

    found = list(overview_of(root))
    if json_:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2))
        return
    with shown() as show:
        show(lines_of(found) or [f"{root}: no results yet"])


def status(
    results: ResultsArgument,
    watch: Annotated[
        bool, typer.Option("--watch", help="Redraw every two seconds until the launch ends.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Show how far a sweep is: what runs where, what failed and why, time passed and left.

    Example: rho-sweep status results/quickstart --watch
    """
    from orchestrator.cli.show.lines import shown
    from orchestrator.inspection.status import passed_over_lines, status_lines
    from orchestrator.inspection.status import status as status_of
    from orchestrator.results.live import read_live
    from orchestrator.results.store import Store

    with shown(redraw=watch and not json_) as show:
        while True:
            found = status_of(Store.existing(results), pulled(results))
            if json_:
                typer.echo(json.dumps(found, indent=2))
            else:
                show(status_lines(found, read_live(results).get("elapsed_s")))
            if not watch or found["launch"] is None:
                break
            time.sleep(2)
    for line in passed_over_lines(results):
        typer.echo(line, err=True)


def logs(
    results: ResultsArgument,
    cell: Annotated[
        str | None,
        typer.Argument(
            help="Start of a cell id, or a label; without it all are listed.",
            autocompletion=complete_cell,
        ),
    ] = None,
) -> None:
    """Show progress, attempts and error of one cell; without a cell, list all of them.

    Examples:
      rho-sweep logs results/quickstart

      rho-sweep logs results/quickstart 3f2a
    """
    from orchestrator.results.store import Store

    pulled(results)
    store = Store.existing(results)
    if cell is None:
        from orchestrator.cli.show.views import show_views
        from orchestrator.inspection.listing import listing

        show_views(listing(store))
        return
    from orchestrator.inspection.status import find_cell, log_lines

    typer.echo("\n".join(log_lines(store, find_cell(store, cell))))


def stop(results: ResultsArgument) -> None:
    """Stop a running launch; finished cells are kept.

    Example: rho-sweep stop results/dose-response
    """
    from orchestrator.results.folder import demand_results

    typer.echo(stopped(demand_results(results)))


def report(
    results: Annotated[
        list[Path],
        typer.Argument(
            help="Results folders; several are read as one.", autocompletion=complete_results
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", callback=apart, help="The file [default: RESULTS/report.html]."
        ),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Markdown; also where the file ends in .md.")
    ] = False,
) -> None:
    """Write claims, figures and tables as one file that opens from disk.

    Examples:
      rho-sweep report results/quickstart

      rho-sweep report results/quickstart -o quickstart.md

      rho-sweep report results/dose-response results/ablation -o both.html
    """
    from orchestrator.inspection.status import loss_lines
    from orchestrator.report import write_report
    from orchestrator.results.store import Store

    for folder in results:
        pulled(folder)
    typer.echo(write_report(results[0], output, markdown=markdown, others=results[1:]))
    for line in (line for folder in results for line in loss_lines(Store(folder))):
        typer.echo(line, err=True)


def export(
    results: ResultsArgument,
    to: Annotated[str, typer.Option("--to", help="parquet or csv")] = "parquet",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", callback=apart, help="Folder.")
    ] = None,
) -> None:
    """Write every table as one Parquet or CSV file.

    Example: rho-sweep export results/quickstart --to csv
    """
    if to not in ("parquet", "csv"):
        raise UserError(f"--to must be parquet or csv, got {to!r}")
    from orchestrator.inspection.export import export as export_to
    from orchestrator.inspection.status import loss_lines
    from orchestrator.results.store import Store

    target = output if output is not None else results / "export"
    store = Store.existing(results)
    for path in export_to(store, to, target):
        typer.echo(path)
    for line in loss_lines(store):
        typer.echo(line, err=True)


def card(
    results: ResultsArgument,
    arm: Annotated[
        str | None,
        typer.Argument(help="Start of an arm's id, or its label; none: all tables as a data set."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the adapter [default: the first].")] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", callback=apart, help="Folder [default: in RESULTS/cards]."),
    ] = None,
    fuse: Annotated[
        bool, typer.Option("--fuse", help="Also the whole model, with the adapter in its weights.")
    ] = False,
    push: Annotated[
        str | None, typer.Option(help="OWNER/NAME of a hub repository; made private if new.")
    ] = None,
) -> None:
    """Write an adapter with its model card, or all tables with a data card, to hand on.

    The adapter is written in the layouts of mlx-lm and, where torch has the same layers, of PEFT.

    Examples:
      rho-sweep card results/quickstart "rho-guided w=0.5 m=0.1" --seed 42

      rho-sweep card results/quickstart -o dataset
    """
    if arm is None and (seed is not None or fuse):
        raise UserError("--seed and --fuse are about an adapter", "name its arm")
    from orchestrator.report.sharing.folder import share_adapter, share_results
    from orchestrator.report.sharing.push import push as to_hub
    from orchestrator.results.store import Store

    store = Store.existing(results)
    if arm is None:
        made = share_results(store, output)
    else:
        made = share_adapter(store, arm, seed, output, fuse=fuse)
    for note in made.notes:
        typer.echo(note, err=True)
    typer.echo(made.folder)
    if push is not None:
        typer.echo(to_hub(made.folder, push, data=arm is None))


def check(results: ResultsArgument, json_: JsonOption = False) -> None:
    """Verify every file of a results folder; names what is damaged, and how to have it anew.

    Example: rho-sweep check results/quickstart
    """
    from orchestrator.inspection.check import check as checked
    from orchestrator.inspection.check import lines_of
    from orchestrator.inspection.status import passed_over_lines
    from orchestrator.results.store import Store

    found = checked(Store.existing(results))
    typer.echo(found.to_json() if json_ else "\n".join(lines_of(found, results)))
    for line in passed_over_lines(results):
        typer.echo(line, err=True)
    if found.problems:
        raise typer.Exit(FAILED)


def compare(
    left: ResultsArgument,
    right: ResultsArgument,
    arms: Annotated[
        bool, typer.Option("--arms", help="The same arms side by side, e.g. of two models.")
    ] = False,
    split: Annotated[
        str | None, typer.Option(help="With --arms: heldout or train [default: heldout].")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Compare two results cell by cell: scores and adapter bytes; exit code 1 if they differ.

    With --arms: arm by arm, as differences of means with intervals; exit code 0.

    Examples:
      rho-sweep compare results/here results/there

      rho-sweep compare results/qwen-7b results/llama-8b --arms
    """
    from orchestrator.inspection.compare_results import compare as compared
    from orchestrator.results.store import Store

    stores = Store.all_existing(left, right)
    if arms:
        from orchestrator.cli.show.analysis import show_arms
        from orchestrator.inspection.compare_arms import compare_arms

        show_arms(compare_arms(stores[0], stores[1], split), as_json_=json_)
        return
    if split is not None:
        raise UserError("--split goes with --arms")
    found = compared(*stores)
    if json_:
        typer.echo(found.to_json())
    else:
        typer.echo(
            f"{found.same} same, {found.different} different, "
            f"{found.only_left} only in {left}, {found.only_right} only in {right}"
        )
        for cell, parts in found.differing.items():
            typer.echo(f"  {cell}: {', '.join(parts)}")
        if found.only_left and found.only_right:
            typer.echo("the same arms of two different sweeps: add --arms", err=True)
    if found.different or found.only_left or found.only_right:
        raise typer.Exit(FAILED)


def pulled(folder: Path) -> tuple[int, str] | None:
    """Copy what is new on the cluster that makes these results; returns the driver's process.

    Returns:
        Process id and host; None for results made here, and where no driver runs.
    """
    far = _far(folder)
    if far is None:
        return None
    try:
        return far.pull().driver
    except UserError as error:
        typer.echo(f"{error}\nthis is what was here before", err=True)
        return None


def stopped(folder: Path) -> str:
    """Ask the launch that makes these results to stop, here or on its cluster; what came of it."""
    from orchestrator.results import lock

    far = _far(folder)
    return far.stop() if far else lock.stop(folder)


def _far(folder: Path) -> "Far | None":
    """The cluster that makes these results, if this machine remembers one."""
    from orchestrator.cluster.trust.remembered import Memory, made_on_a_cluster

    if folder.is_dir() and Memory(folder).cluster_file is not None:
        from orchestrator.cluster.remote_sweep import Far  # loads what checks a cluster file

        return Far.of(folder)
    if made_on_a_cluster(folder):
        typer.echo(
            f"{folder}: was made on a cluster, and this machine does not remember on which; this "
            "is what is here; to connect: rho-sweep launch SWEEP --cluster FILE",
            err=True,
        )
    return None
