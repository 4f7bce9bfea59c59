"""A report as Markdown: the blocks of the HTML report, with a table in place of each drawing."""

from collections.abc import Iterable, Iterator
from itertools import chain

from orchestrator.analysis.tables.view import View
from orchestrator.report.blocks import (
    Answers,
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
    """The report as the text of one Markdown file."""
    found = [
        f"# {markdown(report.title)}",
        paragraph(report.description),
        _facts(report.summary),
    ]
    for section in report.sections:
        found.append(f"## {markdown(section.title)}")
        found += chain.from_iterable(map(_paragraphs, section.blocks))
        for part in section.parts:
            found.append(f"### {markdown(part.title)}")
            found += chain.from_iterable(map(_paragraphs, part.blocks))
    found.append(paragraph(report.made))
    return "\n\n".join(text for text in found if text) + "\n"


def _paragraphs(block: Block) -> Iterator[str]:
    """A block as paragraphs of Markdown; empty ones are dropped by the caller."""
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
        case Answers(items=items):
            for item in items:
                yield _strong(item.prompt)
                said = [(a.arm, a.label, a.reason, a.text) for a in item.answers]
                yield "\n".join(f"- {markdown(': '.join(filter(None, told)))}" for told in said)
        case Figure(title=title, caption=caption, numbers=view):
            yield f"### {markdown(title)}"
            yield paragraph(caption)
            yield from _view(view)


def _strong(text: str) -> str:
    """The text in bold; empty for an empty text, since `****` is a horizontal line."""
    return f"**{markdown(text)}**" if line(text) else ""


def _facts(pairs: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- **{markdown(name)}:** {markdown(text)}" for name, text in pairs)


def _view(view: View) -> Iterator[str]:
    """A table, then its notes as a list."""
    rule = ["---:" if column.numeric else "---" for column in view.filled]
    rows = [
        [markdown(column.heading) for column in view.filled],
        rule,
        *([markdown(column.text(row)) for column in view.filled] for row in view.rows),
    ]
    yield "\n".join(f"| {' | '.join(row)} |" for row in rows)
    yield "\n".join(f"- {paragraph(note)}" for note in view.notes)
