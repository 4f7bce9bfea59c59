"""Plan, launch and read sweeps from Python; `import orchestrator` offers what is here."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.analysis.analyze import Analysis, analyze
from orchestrator.analysis.output import inference_table
from orchestrator.analysis.tables import render
from orchestrator.cells.load import load
from orchestrator.cli.stressing import after_launch
from orchestrator.errors import UserError, hint
from orchestrator.execution.launch import Options
from orchestrator.execution.launch import launch as run
from orchestrator.execution.terminal import shown
from orchestrator.inspection import plan as planning
from orchestrator.report import analysed
from orchestrator.report.blocks import Figure, Gap
from orchestrator.report.figures.canvas import drawing
from orchestrator.report.outline import figures_of
from orchestrator.results.schema import PACK, STEP, TABLES
from orchestrator.results.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


class Results:
    """The results of a sweep, as they were when first asked for.

    Every table is a `pyarrow.Table` with the names, ids and units as stored; `to_pandas()`,
    `polars.from_arrow` and DuckDB take it as it is. A missing score is null, never 0.

    Args:
        folder: e.g. `results/quickstart`.

    Raises:
        UserError: There are no results.
    """

    def __init__(self, folder: str | Path) -> None:
        self._store = Store.existing(Path(folder))

    def __repr__(self) -> str:
        statuses = list(self._store.statuses().values())
        counts = [f"{statuses.count(s)} {s}" for s in dict.fromkeys(statuses)]
        return f"Results({str(self.folder)!r}): {', '.join(counts) or 'no cell has ended'}"

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self._store.folder

    def cells(self) -> pa.Table:
        """One row a cell: settings, status, host, versions, losses, times."""
        return self.table("cells")

    def scores(self) -> pa.Table:
        """One row a cell, behaviour and split: rho in nats per token, accuracy, calibration.

        As the sweep scored them at the end of training; `table("scores")` has moments before that
        and packs of `rho-sweep score`, too.
        """
        return _of_the_end(self.table("scores"))

    def probe_scores(self) -> pa.Table:
        """One row a cell and probe pair: log-probabilities in nats, gap in nats per token.

        Of the sweep's own pack at the end of training, like `scores`.
        """
        return _of_the_end(self.table("probe_scores"))

    def claims(self) -> pa.Table:
        """One row a contrast, behaviour and set of arms: estimate, interval, p, verdict."""
        return inference_table(self._analysis.inference)

    def table(self, name: str) -> pa.Table:
        """A table by its name: one of the store's, or of the analysis (`effects`, `T5`).

        Raises:
            UserError: There is no such table, or these results do not fill it.
        """
        if name in TABLES:
            return self._store.read(name)
        found = next((v for v in self._analysis.views if name in (v.name, v.key)), None)
        if found is not None:
            return render.arrow(found)
        missing = {n: m.reason for m in self._analysis.missing for n in (m.name, m.key)}
        if name in missing:
            raise UserError(f"these results have no table {name}: {missing[name]}")
        known = (*TABLES, *(v.name for v in self._analysis.views))
        raise UserError(f"there is no table {name!r}{hint(name, known)}", ", ".join(known))

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures that these results fill."""
        return tuple(name for name, f in self._figures.items() if isinstance(f, Figure))

    def figure(self, name: str) -> "Drawing":
        """A figure of the report, as a matplotlib figure.

        Raises:
            UserError: There is no such figure, or these results do not fill it.
        """
        found = self._figures.get(name)
        if found is None:
            known = ", ".join(self.figures)
            raise UserError(f"there is no figure {name!r}{hint(name, self.figures)}", known)
        if isinstance(found, Gap):
            raise UserError(f"these results have no figure {name}: {found.reason}")
        return drawing(found)

    @cached_property
    def _analysis(self) -> Analysis:
        return analyze([self._store])

    @cached_property
    def _figures(self) -> dict[str, Figure | Gap]:
        return figures_of(analysed(self._store))


def _of_the_end(table: pa.Table) -> pa.Table:
    return table.filter(pc.and_(pc.is_null(table[STEP]), pc.is_null(table[PACK])))


def plan(
    *sweeps: str, settings: Sequence[str] = (), results: str | Path | None = None
) -> planning.Plan:
    """What a launch would do; printed, it reads as `rho-sweep plan`. Writes nothing.

    Args:
        sweeps: Files or presets; several are one union.
        settings: As `--set`, e.g. `["grids.0.seed=[1, 2]"]`.
        results: As of `launch`; of one sweep only.

    Raises:
        UserError: Everything that is wrong with the files.
    """
    folder = None if results is None else Path(results)
    return planning.plan_into([load(sweep, settings) for sweep in sweeps], folder)


def launch(
    sweep: str,
    *,
    settings: Sequence[str] = (),
    results: str | Path | None = None,
    inline: bool = False,
    slots: int | None = None,
) -> Results:
    """Run every cell that has no result yet, on this machine, and open the results.

    Interrupted, it keeps finished cells, and the same call goes on. A cell that failed costs no
    exception: see the column `status` of `cells()`.

    Args:
        sweep: A file or a preset.
        settings: As `--set`.
        results: This sweep's own folder; None for `results/NAME`.
        inline: In this process instead of Ray's workers.
        slots: Cells at once; None lets the program choose.

    Raises:
        UserError: Something that the user can fix; finished cells are kept.
    """
    loaded = load(sweep, settings)
    folder = Path(results) if results is not None else Path("results") / loaded.name
    options = Options(inline=inline, slots=slots)
    with shown() as display:
        run(loaded, folder, options, display)
        after_launch(loaded, folder, options, display)
    return Results(folder)
