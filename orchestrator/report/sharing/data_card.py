"""The card of a results folder as a data set, and how to cite it."""

from collections.abc import Mapping

import yaml

from orchestrator import __version__
from orchestrator.analysis.tables.columns import count, words
from orchestrator.analysis.tables.view import View
from orchestrator.report.blocks import Facts, Note, Report, Section, Table
from orchestrator.report.content import ReportContent
from orchestrator.report.markdown import as_markdown
from orchestrator.report.sections.cells import counts_text
from orchestrator.report.sections.claims import claims_section
from orchestrator.results.schema import TABLES

ABOUT = {
    "cells": "one row a cell: settings, status, machine, versions, losses, times",
    "attempts": "one row an attempt at a cell",
    "steps": "one row an optimizer step",
    "scores": "one row a cell, behavior, split, step (null: end) and pack (null: own): rho",
    "probe_scores": "one row a cell, probe pair, step and pack: log-probabilities and gap",
    "generations": "one row an answer to a prompt",
    "judgements": "one row a label that a judge gave an answer",
    "imported": "one row a number that another tool measured of a cell",
}


def data_card(content: ReportContent, lengths: Mapping[str, int]) -> str:
    """A card with the tables, the claims and their verdicts.

    Args:
        content: Of the results.
        lengths: Name of a table -> rows that were exported.
    """
    rows = [{"table": n, "rows": lengths[n], "about": about} for n, about in ABOUT.items()]
    tables = View(
        key="",
        name="tables",
        title="Tables",
        columns=(
            words("Table", "table"),
            count("Rows", "rows"),
            words("What a row is", "about"),
        ),
        rows=tuple(rows),
        notes=("Units are in the metadata of each field. A missing score is null, never 0.",),
    )
    report = Report(
        title=content.name,
        description=content.description or "Results of a rho-sweep.",
        summary=(("Cells", counts_text(content.cells)), *content.facts),
        sections=(
            Section(title="Content", blocks=(Table(view=tables, keyed=False),)),
            claims_section(content),
            Section(
                title="Before you use it",
                blocks=(
                    Note(
                        text="The texts of answers were written by a model: they may be wrong, "
                        "or harmful where prompts ask for harm."
                    ),
                    Facts(pairs=(("Cite", "CITATION.cff"),)),
                ),
            ),
        ),
        made=f"Made {content.now} by rho-sweep {__version__}.",
    )
    configs = [{"config_name": n, "data_files": f"{n}.parquet"} for n in TABLES]
    head = {"tags": ["rho-sweep"], "configs": configs}
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n\n{as_markdown(report)}"


def citation(content: ReportContent) -> str:
    """A citation file (Citation File Format 1.2) of the data; whoever shares them adds names."""
    facts = {
        "cff-version": "1.2.0",
        "message": "If you use these data, please cite them as below.",
        "type": "dataset",
        "title": f"Results of the sweep {content.name}",
        "authors": [{"name": "put your name here"}],
        "date-released": content.now[:10],
        "references": [
            {
                "type": "software",
                "title": "rho-sweep",
                "version": __version__,
                "authors": [{"name": "The rho-sweep authors"}],
            }
        ],
    }
    return yaml.safe_dump(facts, sort_keys=False)
