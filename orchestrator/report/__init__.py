"""A report of one results folder: claims, figures, tables, cells and settings, in one file."""

import re
from pathlib import Path

from orchestrator.analysis.analyze import analyze
from orchestrator.errors import UserError
from orchestrator.report.content import ReportContent, from_store
from orchestrator.report.html import html
from orchestrator.report.markdown import as_markdown
from orchestrator.report.outline import outline
from orchestrator.results.files import write_whole
from orchestrator.results.store import Store

NAMES = {False: "report.html", True: "report.md"}
MARKDOWN = (".md", ".markdown")
MARKS = re.compile(
    rb'<meta name="generator" content="rho-sweep report">|\nMade [^\n]* by rho-sweep '
)
"""In every report: the generator of a page, the last line in Markdown."""


def write_report(folder: Path, output: Path | None = None, *, markdown: bool = False) -> Path:
    """Write the report of a results folder.

    Args:
        folder: The results.
        output: The file; None is `report.html` (or `.md`) in the folder. `.md` means Markdown.
        markdown: Write Markdown whatever the name.

    Returns:
        The file written.

    Raises:
        UserError: There are no results, a table is corrupted, or the file cannot be written.
    """
    plain = markdown or (output is not None and output.suffix.lower() in MARKDOWN)
    target = output if output is not None else folder / NAMES[plain]
    if target.is_dir():
        raise UserError(
            f"{target}: is a folder; name a file in it, e.g. -o {target / NAMES[plain]}"
        )
    _demand_ours(target)
    text = render(analysed(Store.existing(folder)), markdown=plain)
    write_whole(target, text.encode())
    return target


def _demand_ours(target: Path) -> None:
    """Raise where a file that is no report would be overwritten."""
    if target.is_file() and not MARKS.search(target.read_bytes()):
        raise UserError(f"{target}: is no report and would be overwritten; choose another with -o")


def analysed(store: Store) -> ReportContent:
    """What the results hold, and what it supports."""
    found = analyze([store])
    missing = [(m.key, m.name, m.reason) for m in found.missing]
    return from_store(
        store, found.evidence, found.inference, found.views, missing, split=found.split
    )


def render(content: ReportContent, *, markdown: bool = False) -> str:
    """The report as text; the same content gives the same text."""
    tree = outline(content)
    return as_markdown(tree) if markdown else html(tree)
