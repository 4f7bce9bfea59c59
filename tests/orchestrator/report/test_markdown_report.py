"""The report as Markdown, read back by a CommonMark parser."""

import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from orchestrator.report import render
from orchestrator.report.blocks import Facts, Gap, Note, Report, Section, Table
from orchestrator.report.markdown import as_markdown
from orchestrator.report.text import line
from tests.orchestrator.report.contents import a_content, a_view, with_text

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
EXPECTED = {
    "heading", "paragraph", "bullet_list", "list_item", "inline", "text", "strong",
    "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip


def tokens(text: str) -> list:
    """All of them, inline ones after their block."""
    found = []
    for token in PARSER.parse(text):
        found += [token, *(token.children or [])]
    return found


def kinds(text: str) -> set[str]:
    return {t.type.removesuffix("_open").removesuffix("_close") for t in tokens(text)}


def shown(text: str) -> list[str]:
    """What a reader sees, one text a block."""
    inline = [t for t in PARSER.parse(text) if t.type == "inline"]
    return ["".join(c.content for c in t.children) for t in inline]


def test_everything_of_the_page_is_there():
    seen = shown(render(a_content(), markdown=True))
    for part in (
        "Claims",
        "“rho-guided is above SFT alone”",
        "T5 effects",
        "Effects of 2 contrasts",
        "+0.123",
        "[-0.011, +0.257]",
        "0.042",
        "Response to the weight (heldout split)",
        "Does the contrastive term go silent?",
        "out of memory",
        "k_proj, q_proj",
    ):
        assert part in seen
    assert "T1 refusal_buffer: not shown, there is no contrastive-only arm." in seen


def test_a_table_has_as_many_cells_in_every_row():
    rows = [r for r in render(a_content(), markdown=True).splitlines() if r.startswith("|")]
    assert len(rows) > 40
    parsed = [t.type for t in PARSER.parse(render(a_content(), markdown=True))]
    assert parsed.count("tr_open") == len(rows) - parsed.count("table_open")


def test_hostile_text_stays_text():
    text = (
        "# a <script>x</script> **b** [c](http://d) ![e](f) | `g` $h$ @i https://j www.k &lt; ~l~"
    )
    hostile = render(with_text(a_content(), text), markdown=True)
    assert kinds(hostile) <= EXPECTED
    assert line(text) in shown(hostile)
    assert "https://j" not in hostile, "GitHub would make it a link"


@pytest.mark.slow
@given(text=st.text(), other=st.text(min_size=1))
@example(text="1. a", other="---")
@example(text="    code", other="> quote")
@example(text="a\n===\n", other="| a | b |\n|---|---|")
@example(text="\\", other="a ##")
@settings(max_examples=150, deadline=None)
def test_every_text_comes_back_from_markdown(text, other):
    view = with_text(a_view(), text)
    blocks = (
        Note(text=text),
        Note(text=text, lead=other),
        Facts(pairs=((other, text),)),
        Gap(title=other, reason=text),
        Table(view=view, keyed=False),
    )
    section = Section(title=other, blocks=blocks)
    made = as_markdown(
        Report(title=text, description=text, summary=(), sections=(section,), made=other)
    )
    assert kinds(made) <= EXPECTED
    for part in (text, other):
        assert line(part) == "" or line(part) in shown(made)
    cells = [t for t in tokens(made) if t.type == "td_open"]
    assert len(cells) == 2 * len(view.filled)


@pytest.mark.slow
def test_markdown_needs_no_drawing():
    code = (
        "import sys\n"
        "from tests.orchestrator.report.contents import a_content\n"
        "from orchestrator.report import render\n"
        "render(a_content(), markdown=True)\n"
        "sys.exit('matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
