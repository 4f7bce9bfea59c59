"""Arranges what a report shows: sections, their order, and at most so many rows of a table."""

from dataclasses import replace

from orchestrator import __version__
from orchestrator.analysis.inference.record import ANSWERS
from orchestrator.analysis.tables.design.estimates import KEY as ESTIMATES
from orchestrator.analysis.tables.view import View
from orchestrator.report.blocks import Block, Figure, Gap, Note, Report, Section, Table
from orchestrator.report.content import ReportContent
from orchestrator.report.figures.curves import ACTIVITY, CE_LOSS, HINGE_LOSS, curve_figure
from orchestrator.report.figures.dose import (
    MARGIN,
    WEIGHT,
    curve_of_scores,
    dose_figure,
    other_axes,
)
from orchestrator.report.figures.forest import contrast_figure, delta_figure
from orchestrator.report.figures.refusals import refusal_figure
from orchestrator.report.figures.spread import spread_figure
from orchestrator.report.sections.cells import cells_section, counts_text
from orchestrator.report.sections.claims import claims_section, is_registered
from orchestrator.report.sections.setup import models_of, setup_section
from orchestrator.report.text import listed
from orchestrator.stats.verdict import tally

MAX_ROWS = 400
"""Of a table; a note says how many rows there are."""
FACTS_ON_TOP = ("Time in cells", "Chip", "rho-sweep")


def outline(content: ReportContent) -> Report:
    """The report: claims first, then the figures, tables, cells and settings behind them."""
    own = (content.split, ANSWERS)
    registered = [r for r in content.inference if is_registered(r) and r.split in own]
    summary = [
        ("Cells", counts_text(content.cells)),
        ("Registered claims", tally(row.verdict for row in registered) if registered else ""),
        ("Split of the claims", content.split),
        ("Model", models_of(content.manifest)),
        *((name, text) for name, text in content.facts if name in FACTS_ON_TOP),
    ]
    # Figures that cannot be drawn come last, each with its reason.
    drawn_first = sorted(figures_of(content).values(), key=lambda f: isinstance(f, Gap))
    tables = [(v.key, Table(view=shortened(v))) for v in content.views]
    gaps = [(m[0], Gap(title=f"{m[0]} {m[1]}", reason=m[2])) for m in content.missing]
    every: list[tuple[str, Block]] = [*tables, *gaps]
    tested = tuple(block for key, block in every if key != ESTIMATES)
    estimated = tuple(block for key, block in every if key == ESTIMATES)
    return Report(
        title=content.name,
        description=content.description,
        summary=tuple((name, text) for name, text in summary if text),
        sections=(
            claims_section(content),
            Section(title="Figures", blocks=tuple(drawn_first)),
            Section(title="Tables", blocks=tested or (Note(text="There is none."),)),
            *([Section(title="Estimates, never verdicts", blocks=estimated)] if estimated else []),
            cells_section(content),
            setup_section(content),
        ),
        made=f"Made {content.now} by rho-sweep {__version__}.",
    )


def figures_of(content: ReportContent) -> dict[str, Figure | Gap]:
    """Name -> figure, in the order of the report; one that cannot be drawn is a gap."""
    axes = (WEIGHT, MARGIN, *other_axes(content.evidence))
    return {
        **{axis.name: dose_figure(content, axis) for axis in axes},
        "curve": curve_of_scores(content),
        "contrasts": contrast_figure(content),
        "changes": delta_figure(content),
        "spread": spread_figure(content),
        "hinge_active": curve_figure(content, ACTIVITY),
        "hinge_loss": curve_figure(content, HINGE_LOSS),
        "ce_loss": curve_figure(content, CE_LOSS),
        "refusals": refusal_figure(content),
    }


def shortened(view: View) -> View:
    """The view with at most MAX_ROWS rows, and a note where rows are left out."""
    cut = listed(MAX_ROWS, len(view.rows), "rows")
    return replace(view, rows=view.rows[:MAX_ROWS], notes=(*view.notes, *cut)) if cut else view
