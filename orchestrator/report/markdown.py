"""A report as Markdown: the same blocks; a figure is the table of its numbers."""

from collections.abc import Iterable, Iterator

from orchestrator.analysis.tables.view import View
from orchestrator.report.blocks import (
    Block,
    Claim,
    Facts,
    Figure,
    Gap,
    Note,
    Report,
    Table,
    title_of,
)
from orchestrator.report.text import line, markdown, paragraph


def as_markdown(report: Report) -> str:
    """The whole file."""
    return "\n\n".join(part for part in _report(report) if part) + "\n"


def _report(report: Report) -> Iterator[str]:
    yield f"# {markdown(report.title)}"
    yield paragraph(report.description)
    yield _facts(report.summary)
    for section in report.sections:
        yield f"## {markdown(section.title)}"
        yield from _blocks(section.blocks)
        for part in section.parts:
            yield f"### {markdown(part.title)}"
            yield from _blocks(part.blocks)
    yield paragraph(report.made)


def _blocks(blocks: Iterable[Block]) -> Iterator[str]:
    for block in blocks:
        yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    match block:
        case Note(text=text, lead=lead):
            yield f"{_strong(lead)} {markdown(text)}" if line(lead) else paragraph(text)
        case Facts(pairs=pairs):
            yield _facts(pairs)
        case Gap(title=title, reason=reason):
            yield f"{_strong(title)}: not shown, {markdown(reason)}."
        case Claim(sentence=sentence, asked=asked, table=view):
            yield f"#### “{markdown(sentence)}”"
            yield paragraph(asked)
            yield from _view(view)
        case Table(view=view, keyed=keyed):
            yield f"### {markdown(title_of(view))}" if keyed else ""
            yield paragraph(view.title) if keyed else _strong(view.title)
            yield from _view(view)
        case Figure(title=title, caption=caption, numbers=view):
            yield f"### {markdown(title)}"
            yield paragraph(caption)
            yield from _view(view)


def _strong(text: str) -> str:
    """Nothing where there is nothing: four asterisks would be a line across."""
    return f"**{markdown(text)}**" if line(text) else ""


def _facts(pairs: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- **{markdown(name)}:** {markdown(text)}" for name, text in pairs)


def _view(view: View) -> Iterator[str]:
    """A table, then its notes."""
    rule = ["---:" if column.numeric else "---" for column in view.shown]
    rows = [
        [markdown(column.heading) for column in view.shown],
        rule,
        *([markdown(column.text(row)) for column in view.shown] for row in view.rows),
    ]
    yield "\n".join(f"| {' | '.join(row)} |" for row in rows)
    yield "\n".join(f"- {paragraph(note)}" for note in view.notes)
