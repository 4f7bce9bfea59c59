"""Arranges what a report shows: sections, their order, and at most so many rows of a table."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

from orchestrator import __version__
from orchestrator.analysis.inference.record import ANSWERS, Inference
from orchestrator.analysis.tables.arms import Arms
from orchestrator.analysis.tables.design.claims import by_claim, joint
from orchestrator.analysis.tables.design.estimates import KEY as ESTIMATES
from orchestrator.analysis.tables.scores.changes import changes
from orchestrator.analysis.tables.scores.general import NAME as GENERAL
from orchestrator.analysis.tables.view import View
from orchestrator.config.contrast_kinds import LOG_RATIO, Compared
from orchestrator.report.blocks import Answers, Block, Figure, Gap, Note, Report, Section, Table
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
        *_claims_by_split(content),
        ("Perplexity of general texts", perplexity_text(content.views)),
        ("Multiple-choice items", capability_text(content.views)),
        ("Model", ", ".join(dict.fromkeys(map(models_of, (content.manifest, *content.others))))),
        *((name, text) for name, text in content.facts if name in FACTS_ON_TOP),
    ]
    figures = figures_by_split(content)
    main = answering(content, registered, figures)
    answer = tuple(figures.pop(main)) if main is not None else ()
    # Figures that cannot be drawn come last, each with its reason.
    drawn_first = sorted(chain(*figures.values()), key=lambda f: isinstance(f, Gap))
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
            *([Section(title="The answer in one figure", blocks=answer)] if answer else []),
            *changes_sections(content),
            Section(title="Figures", blocks=tuple(drawn_first)),
            *answers_sections(content),
            Section(title="Tables", blocks=tested or (Note(text="There is none."),)),
            *([Section(title="Estimates, never verdicts", blocks=estimated)] if estimated else []),
            cells_section(content),
            setup_section(content),
        ),
        made=f"Made {content.now} by rho-sweep {__version__}.",
    )


def _claims_by_split(content: ReportContent) -> list[tuple[str, str]]:
    """How many registered claims have which verdict, counted as on the first screen of `analyze`.

    The split that the claims are about comes first; no other is counted with it.
    """
    found: dict[str, list[str]] = {content.split: []}
    for (*_, split), rows in by_claim(filter(is_registered, content.inference)).items():
        first, *others = dict.fromkeys(row.verdict for row in rows)
        found.setdefault(split, []).append(joint([first, *others]) if others else first)
    of = {split: split if split == ANSWERS else f"{split} pairs" for split in found}
    return [(f"Claims on {of[split]}", tally(said)) for split, said in found.items() if said]


def perplexity_text(views: Sequence[View]) -> str:
    """What the arm that lost most on neutral texts lost; empty where it was not measured."""
    if (lost := _lost_most(views, "text-neutral")) is None:
        return ""
    return f"{math.expm1(min(-lost[0], 99)):+.1%} on neutral texts in {lost[1]}, which lost most"


def capability_text(views: Sequence[View]) -> str:
    """What the arm that lost most on the multiple-choice set lost; empty without one."""
    if (lost := _lost_most(views, "capability")) is None:
        return ""
    return f"{100 * lost[0]:+.1f} points of accuracy in {lost[1]}, which lost most"


def _lost_most(views: Sequence[View], measure: str) -> tuple[float, str] | None:
    """Change from the untrained model and arm; None where nothing was measured."""
    rows = [row for view in views if view.name == GENERAL for row in view.rows]
    known = ((row.get(measure), row["arm"]) for row in rows)
    return min(((change, arm) for change, arm in known if change is not None), default=None)


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


def figures_by_split(content: ReportContent) -> dict[str, list[Figure | Gap]]:
    """Name -> its figure for the pairs of the claims, then those for other pairs."""
    found = {name: [figure] for name, figure in figures_of(content).items()}
    for split in splits_of(content):
        for name, other in figures_of(replace(content, split=split)).items():
            one = found[name][0]
            # a figure that is not about pairs has the same title for each split
            if isinstance(one, Figure) and isinstance(other, Figure) and one.title != other.title:
                found[name][0] = replace(one, split=content.split)
                found[name].append(replace(other, split=split))
    return found


def splits_of(content: ReportContent) -> list[str]:
    """Splits with scores, that of the claims first."""
    return sorted({e.split for e in content.evidence}, key=lambda s: (s != content.split, s))


def answering(
    content: ReportContent,
    registered: Sequence[Inference],
    figures: Mapping[str, Sequence[Figure | Gap]],
) -> str | None:
    """Name of the figure that answers the first registered claim; None where none is drawn."""
    ways = ["contrasts", "changes"]
    if registered:
        row, arms = registered[0], {e.arm_id: e for e in content.evidence}
        ends = [arms[a] for a in (*row.arms[:1], *row.arms[-1:]) if a in arms]
        if row.split == ANSWERS:
            ways.insert(0, "refusals")
        elif row.kind.rules.unit == LOG_RATIO:
            ways.insert(0, "spread")
        elif row.kind.rules.compares in (Compared.DOSES, Compared.BEST):
            axes = (WEIGHT, MARGIN, *other_axes(content.evidence))
            ways[:0] = [*(x.name for x in axes if len({x.of(e) for e in ends}) > 1), "curve"]
    return next((way for way in ways if isinstance(figures[way][0], Figure)), None)


def changes_sections(content: ReportContent) -> list[Section]:
    """What each arm changed, on the pairs of the claims and then on the others."""
    splits = splits_of(content)
    tables = [
        Table(
            view=shortened(changes(Arms(content.evidence, split))),
            keyed=False,
            split=split if len(splits) > 1 else "",
        )
        for split in splits
    ]
    return [Section(title="What each arm changed", blocks=tuple(tables))] if tables else []


def answers_sections(content: ReportContent) -> list[Section]:
    """The answers of the stress test, if there was one."""
    if not content.asked:
        return []
    total = len(content.asked) + content.asked_left_out
    cut = [Note(text=t) for t in listed(len(content.asked), total, "prompts")]
    note = Note(
        text="Answers of the untrained model beside those of each arm's first seed, with the "
        "judge's label and reason. Prompts whose answers have several labels come first."
    )
    blocks: list[Block] = [note, *cut, Answers(items=content.asked)]
    return [Section(title="Prompts and answers", blocks=tuple(blocks))]


def shortened(view: View) -> View:
    """The view with at most MAX_ROWS rows, and a note where rows are left out."""
    cut = listed(MAX_ROWS, len(view.rows), "rows")
    return replace(view, rows=view.rows[:MAX_ROWS], notes=(*view.notes, *cut)) if cut else view
