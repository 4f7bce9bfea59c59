"""A report of one results folder: claims, figures, tables, cells and settings, in one file."""

import re
from collections.abc import Sequence
from pathlib import Path

from orchestrator.analysis.analyze import analyze
from orchestrator.errors import UserError
from orchestrator.report.content import ReportContent, from_store, together
from orchestrator.report.html import html
from orchestrator.report.markdown import as_markdown
from orchestrator.report.outline import outline
from orchestrator.results.files import write_whole
from orchestrator.results.store import Store
from tasks.contract.cell import Status
from tasks.sources.jsonl import demand_file

NAMES = {False: "report.html", True: "report.md"}
MARKDOWN = (".md", ".markdown")
MARKS = re.compile(
    rb'<meta name="generator" content="rho-sweep report">|\nMade [^\n]* by rho-sweep '
)
"""Matches every report this module wrote: a meta tag in HTML, the last line in Markdown."""

DONE = (Status.OK, Status.DIVERGED)
"""A cell that ended so in one of several results is not looked for in the next."""


def write_report(
    folder: Path,
    output: Path | None = None,
    *,
    markdown: bool = False,
    others: Sequence[Path] = (),
) -> Path:
    """Write the report of a results folder.

    Args:
        folder: The results folder.
        output: The file to write; None for `report.html` (or `report.md`) in the folder. A name
            that ends in `.md` or `.markdown` selects Markdown.
        markdown: Write Markdown whatever the name of the file.
        others: Further results, which are analysed with the first as one; they need `output`.

    Returns:
        The path of the file written.

    Raises:
        UserError: The folder has no results, a table is corrupted, the path is a folder or a file
            that is not a report, or the file cannot be written.
    """
    if others and output is None:
        raise UserError("a report of several results lies in none of them", "name it with -o FILE")
    plain = markdown or (output is not None and output.suffix.lower() in MARKDOWN)
    target = output if output is not None else folder / NAMES[plain]
    if target.is_dir():
        raise UserError(
            f"{target}: is a folder", f"name a file in it, e.g. -o {target / NAMES[plain]}"
        )
    if target.is_file():
        demand_file(target)
    if target.is_file() and not MARKS.search(target.read_bytes()):
        raise UserError(
            f"{target}: is no report and would be overwritten", "choose another with -o"
        )
    text = render(analysed(*Store.all_existing(folder, *others)), markdown=plain)
    write_whole(target, text.encode())
    return target


def analysed(*stores: Store) -> ReportContent:
    """Analyse results, several as one, and collect what their report shows."""
    found = analyze(stores)
    missing = [(m.key, m.name, m.reason) for m in found.missing]
    contents: list[ReportContent] = []
    for store in stores:
        content = from_store(
            store,
            found.evidence,
            found.inference,
            found.views,
            missing,
            split=found.split,
            alpha=found.registration.alpha,
            moments=found.moments,
            without={c.cell_id for earlier in contents for c in earlier.cells if c.status in DONE},
        )
        contents.append(content)
    return together(contents)


def render(content: ReportContent, *, markdown: bool = False) -> str:
    """The report as HTML, or as Markdown; equal contents give equal text."""
    tree = outline(content)
    return as_markdown(tree) if markdown else html(tree)
