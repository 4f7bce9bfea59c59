"""`rho-sweep serve`."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import ResultsArgument, SetOption
from orchestrator.errors import UserError


def serve(
    results: ResultsArgument,
    sweep: Annotated[
        str | None,
        typer.Option(help="Its sweep file: the page can then launch it again, if you confirm."),
    ] = None,
    set_: SetOption = [],  # noqa: B006 - typer reads the default and never changes it
    cluster: Annotated[Path | None, typer.Option(help="The hosts of such a launch.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 0,
) -> None:
    """Show a sweep as a live page in a browser on this machine, until Ctrl-C.

    Examples:
      rho-sweep serve results/quickstart

      rho-sweep serve results/first --sweep my.yaml
    """
    from orchestrator.cli.results import pulled, stopped
    from orchestrator.cluster.trust.remembered import made_on_a_cluster
    from orchestrator.report.serving.server import Server
    from orchestrator.report.serving.site import Means, Site
    from orchestrator.results.folder import demand_results

    if sweep is None and (set_ or cluster is not None):
        raise UserError("--set and --cluster are of a launch", "name its file with --sweep")
    demand_results(results)
    far = cluster is not None or made_on_a_cluster(results)

    def again(*cells: str) -> str:
        from orchestrator.cli.launching import again

        words = [word for setting in set_ for word in ("--set", setting)]
        words += [word for cell in cells for word in ("--cell", cell)]
        words += ["--cluster", str(cluster)] if cluster is not None else []
        return again([str(sweep), *words, "--results", str(results)])

    means = Means(
        pull=lambda: pulled(results),
        stop=lambda: stopped(results),
        launch=None if sweep is None else again,
        retry=None if far or sweep is None else again,
    )
    with Server(Site(results, means), port) as server:
        typer.echo(server.address)
        typer.echo("open it in a browser on this machine; Ctrl-C ends it", err=True)
        server.serve_forever()
