"""`rho-sweep launch`: its options. docs/launch.md tells what happens up to the first cell."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import (
    ClusterOption,
    InlineOption,
    LocalOption,
    RayOption,
    ResultsOption,
    SetOption,
    SlotsOption,
    SweepArgument,
    WithoutOption,
    demand_one_place,
)
from orchestrator.errors import UserError


class Until(StrEnum):
    """When a launch ends that does not run every cell."""

    DECIDED = "decided"


def launch(
    sweep: SweepArgument,
    set_: SetOption = [],  # noqa: B006 - typer reads the default and never changes it
    results: ResultsOption = None,
    cluster: ClusterOption = None,
    local: LocalOption = False,
    inline: InlineOption = False,
    slots: SlotsOption = None,
    rename: Annotated[
        str | None, typer.Option(help="A name for this sweep in place of the file's.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Beside another sweep of this name, which stays.")
    ] = False,
    until: Annotated[
        Until | None,
        typer.Option(
            help="decided: only the seeds of the first registered look, then those of the next "
            "one for claims that are not decided (analysis.sequential)."
        ),
    ] = None,
    cell: Annotated[
        list[str],
        typer.Option(metavar="CELL", help="Only this cell: the start of an id, or a label."),
    ] = [],  # noqa: B006 - as above
    detach: Annotated[bool, typer.Option("--detach", help="Return at once.")] = False,
    ray: RayOption = None,
    without: WithoutOption = [],  # noqa: B006 - as above
) -> None:
    """Run every cell that has no result yet; launching again resumes.

    Examples:
      rho-sweep launch quickstart

      rho-sweep launch sweep.yaml --set probes.heldout=0 --results results/in-sample

      rho-sweep launch sweep.yaml --cluster cluster.yaml --detach

      rho-sweep launch sweep.yaml --until decided

      rho-sweep launch sweep.yaml --cell "sft-only seed=42"

      rho-sweep launch sweep.yaml --set track.tensorboard=my-runs
    """
    demand_one_place(cluster, local=local, inline=inline, slots=slots)
    if cell and (cluster is not None or until is not None):
        raise UserError("--cell is for launches on this machine without --until")
    from orchestrator.cells.load import load
    from orchestrator.cli import launching
    from orchestrator.config.cluster_file import load_cluster
    from orchestrator.execution.launch import NO_RULE, RULE_HINT, Options

    loaded = load(sweep, [*set_, *([f"name={rename}"] if rename is not None else [])])
    if until is not None and not (loaded.questions.looks and loaded.questions.contrasts):
        raise UserError(NO_RULE, RULE_HINT)
    folder = results if results is not None else Path("results") / loaded.name
    hosts = load_cluster(cluster) if cluster is not None else None
    if cluster is not None and hosts is not None:
        decided = until is not None
        launching.on_cluster(
            loaded, folder, hosts, cluster, detach=detach, keep=keep, until_decided=decided
        )
    elif detach:
        launching.detached(loaded, folder)
    else:
        options = Options(
            inline=inline,
            address=ray,
            slots=slots,
            without=frozenset(without),
            keep=keep,
            only=tuple(cell),
        )
        launching.here(loaded, folder, options, until_decided=until is not None)
