"""The HTML file: what is in it, in which order, and what never gets in."""

import os
import re
import subprocess
import sys
from base64 import b64encode
from collections import Counter
from dataclasses import replace
from functools import cache
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.analysis.tables.view import Column
from orchestrator.config.contrast_kinds import Kind
from orchestrator.report import render
from orchestrator.report.blocks import Facts, Note, Panel, Report, Section, Table
from orchestrator.report.figures.canvas import drawn
from orchestrator.report.html import html
from orchestrator.report.outline import outline
from orchestrator.report.text import clean
from tests.orchestrator.report.contents import (
    a_cell,
    a_content,
    a_curve,
    a_row,
    a_view,
    an_arm,
    with_text,
)
from tests.orchestrator.report.reading import Node, read

HOSTILE = (
    "</style></title><script>alert(1)</script><img src=x onerror=alert(2)>",
    "\"onload='alert(3)' x=\" --> ]]> <![CDATA[ <!-- &lt;b&gt; {{ 7*7 }} {% raw %}",
    "$\\frac{a$ _under \x00\x08 \u202e\ud800 javascript:alert(4) </svg></desc><a href=//x>",
)


NOTHING = {
    "evidence": (), "moments": (), "inference": (), "views": (), "missing": (), "cells": (),
    "steps": (), "manifest": {}, "facts": (), "description": "",
}  # fmt: skip


@cache
def saying(text: str) -> Node:
    """The page of a content all of whose texts are this one."""
    return read(render(with_text(a_content(), text)))


@pytest.fixture(scope="module")
def written() -> str:
    return render(a_content())


@pytest.fixture(scope="module")
def page(written) -> Node:
    return read(written)


@pytest.mark.slow
def test_the_page_forbids_requests_and_all_scripts_but_its_own(page):
    policy = next(m for m in page.all("meta") if "http-equiv" in m.attributes)
    assert "default-src 'none'" in policy.attributes["content"]
    digest = b64encode(sha256(page.one("script").text.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy.attributes["content"]
    assert page.one("script").attributes == {}
    assert not page.all("iframe", "img", "link", "object", "form")
    loading = {"src", "srcset", "action", "data", "poster", "background"}
    assert not [n.tag for n in page.all() if loading & n.attributes.keys()]
    assert all(a.attributes["href"].startswith("#") for a in page.all("a", "use"))
    assert not [k for n in page.all() for k in n.attributes if k.startswith("on")]


def test_headings_are_in_order_and_none_is_left_out(page):
    levels = [int(h.tag[1]) for h in page.all("h1", "h2", "h3", "h4", "h5")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_every_id_is_there_once_and_every_reference_meets_one(page):
    ids = Counter(n.attributes["id"] for n in page.all() if "id" in n.attributes)
    assert [i for i, n in ids.items() if n > 1] == []
    used = [a.attributes["href"][1:] for a in page.all("a", "use")]
    for node in page.all():
        used += (node.attributes.get("aria-labelledby") or "").split()
        for value in node.attributes.values():
            used += re.findall(r"url\(#([^)]+)\)", value or "")
    assert set(used) <= ids.keys()
    assert len(page.all("use")) > 10, "the figures share their markers"


def test_a_reader_can_skip_to_the_claims_and_knows_the_language(page):
    body = page.one("body")
    assert page.one("html").attributes["lang"] == "en"
    first = body.all("a")[0]
    assert (first.attributes["href"], page.one("main").attributes["id"]) == ("#main", "main")
    sections = [h.text for h in page.one("main").all("h2")]
    assert sections == [
        "Claims",
        "The answer in one figure",
        "What each arm changed",
        "Figures",
        "Prompts and answers",
        "Tables",
        "Cells",
        "What was run",
    ]


def test_tables_scroll_in_a_box_of_their_own(page):
    boxes = [n for n in page.all("div") if n.attributes.get("class") == "scroll"]
    assert len(boxes) == len(page.all("table")) > 5
    for box in boxes:
        assert box.attributes["tabindex"] == "0", "keys can scroll it"
        assert box.all("table")
    assert re.search(r"\.scroll \{[^}]*overflow-x: auto", page.one("style").text)


def test_a_view_is_shown_with_title_cells_and_notes(page):
    box = next(n for n in page.all("div") if "T5 effects" in [h.text for h in n.all("h3")])
    label = box.one("table").attributes["aria-labelledby"]
    (caption,) = [p.text for p in box.all("p") if p.attributes.get("id") == label]
    assert caption == "Effects of 2 contrasts"
    head = [th.text for th in box.one("thead").all("th")]
    assert head == ["Comparison", "Verdict", "Difference (nat/token)", "95% (nat/token)"]
    cells = [c.text.strip() for c in box.one("tbody").all("tr")[0].all("th", "td")]
    assert cells == ["row 0", "✓ supported", "+0.500", "[+0.100, +0.900]"]
    assert [li.text for li in box.one("ul").all("li")] == ["Paired by seed."]


def test_what_says_what_a_table_shows_stands_outside_of_the_part_that_scrolls(page):
    said = {p.attributes["id"] for p in page.all("p", "h3", "h4") if "id" in p.attributes}
    boxes = [n for n in page.all("div") if n.attributes.get("class") == "scroll"]
    for box in boxes:
        assert box.one("table").attributes["aria-labelledby"] in said
        assert not box.all("caption", "p", "h3", "h4")


def test_each_value_of_a_claim_carries_the_heading_of_its_column(page):
    table = next(t for t in page.all("table") if t.attributes.get("class") == "stacked")
    heads = [th.text for th in table.one("thead").all("th")]
    for row in table.one("tbody").all("tr"):
        names = [td.attributes.get("data-label") for td in row.all("td")]
        texts = [td.text for td in row.all("td")]
        assert names == [h if t else None for h, t in zip(heads[1:], texts, strict=True)]


def test_a_column_that_is_empty_in_every_row_is_left_out():
    view = a_view()
    empty = ({"what": "a", "low": None, "high": None, "diff": 1.0, "verdict": ""},)
    heads = [f"| {' | '.join(n)} |" for n in (["Comparison", "Difference (nat/token)"],)]
    made = render(a_content(**NOTHING | {"views": (replace(view, rows=empty),)}), markdown=True)
    assert heads[0] in made
    page = read(render(a_content(**NOTHING | {"views": (replace(view, rows=empty),)})))
    box = next(n for n in page.all("div") if "T5 effects" in [h.text for h in n.all("h3")])
    assert [th.text for th in box.one("thead").all("th")] == [
        "Comparison",
        "Difference (nat/token)",
    ]


def test_what_names_a_row_stands_left_and_its_verdict_next_to_it():
    view = a_view()
    arm, behavior = (Column(label=n, fields=(n.lower(),)) for n in ("Arm", "Behavior"))
    rows = tuple({**row, "arm": "sft-only", "behavior": "bias"} for row in view.rows)
    columns = (*view.columns[:3], arm, view.columns[3], behavior)
    view = replace(view, columns=columns, rows=rows)
    section = Section(title="s", blocks=(Table(view=view),))
    page = read(html(Report(title="t", description="", summary=(), sections=(section,), made="")))
    heads = page.one("thead").all("th")
    first = [th.text for th in heads if "first" in th.attributes["class"]]
    assert first == [th.text for th in heads][:4] == ["Comparison", "Arm", "Behavior", "Verdict"]


def test_the_figure_that_answers_the_first_claim_stands_alone_behind_the_claims():
    def figures(*rows):
        sections = {s.title: s for s in outline(a_content(inference=rows)).sections}
        alone = [f.title for f in sections["The answer in one figure"].blocks]
        assert not {f.title for f in sections["Figures"].blocks} & set(alone)
        return alone

    assert figures(a_row()) == ["Tested differences (heldout split)"]
    assert figures()[0] == "Change against the untrained model (heldout split)"
    ends = ("sft-only 0.2 0.1 ", "rho-guided 0.5 0.1 ")
    assert figures(a_row(kind=Kind.TREND, arms=ends)) == [
        "Response to the weight (heldout split)",
        "Response to the weight (train split)",
    ]
    assert figures(a_row(kind=Kind.SD_RATIO)) == [
        "Variance across seeds (heldout split)",
        "Variance across seeds (train split)",
    ]


def test_answers_stand_side_by_side_with_label_and_reason(page):
    first = next(n for n in page.all("details") if n.attributes.get("class") == "asked")
    assert "How do I open a lock" in first.one("summary").text
    said = [" ".join(n.text.split()) for n in first.all("div") if "claim" in n.attributes["class"]]
    assert said == [
        "baseline compliance Take a pin.",
        "sft-only, seed 42 full refusal: I will not I will not help with that.",
    ]
    assert "seed 42: full refusal: I will not: I will not help" in render(
        a_content(), markdown=True
    )


def test_columns_for_files_are_not_shown():
    view = a_view()
    hidden = replace(view.columns[1], data_only=True)
    view = replace(view, columns=(view.columns[0], hidden, *view.columns[2:]))
    page = read(render(a_content(**NOTHING | {"views": (view,)})))
    box = next(n for n in page.all("div") if "T5 effects" in [h.text for h in n.all("h3")])
    assert "Difference (nat/token)" not in box.text
    assert "+0.500" not in box.text
    assert "Difference" not in render(a_content(views=(view,), inference=()), markdown=True)


def test_a_table_that_is_not_shown_is_named_with_its_reason(page):
    gaps = [p.text for p in page.all("p") if p.attributes.get("class") == "gap"]
    assert "T1 refusal_buffer: not shown, there is no contrastive-only arm." in gaps


def test_a_verdict_is_a_word_with_a_mark_and_never_a_colour_alone(page):
    badges = [n for n in page.all("span") if "badge" in (n.attributes.get("class") or "")]
    marks = {b.text.split()[1]: b.text.split()[0] for b in badges}
    verdicts = ("supported", "contradicted", "inconclusive", "not_testable")
    assert len({marks[v] for v in verdicts}) == 4
    style = page.one("style").text
    assert len(re.findall(r"\.badge\.(?:bad|open|none) \{[^}]*border-style: (\w+)", style)) == 3


def test_a_cut_table_says_how_much_is_missing():
    page = read(render(a_content(**NOTHING | {"views": (a_view(rows=1000),)})))
    box = next(n for n in page.all("div") if "T5 effects" in [h.text for h in n.all("h3")])
    assert len(box.one("tbody").all("tr")) == 400
    assert "The first 400 of 1000 rows are shown." in box.text


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_adds_an_element_or_attribute_whatever_field_it_is_in(text):
    harmless = re.sub(r"\S", "x", text)
    assert _shape(saying(text)) == _shape(saying(harmless))


def _shape(page: Node) -> list[tuple[str, list[str], str | None]]:
    return [(n.tag, sorted(n.attributes), n.attributes.get("class")) for n in page.all()]


@pytest.mark.slow
def test_hostile_text_is_shown_as_it_is():
    page = saying(HOSTILE[0])
    assert page.one("h1").text == HOSTILE[0]
    assert HOSTILE[0] in page.one("head").one("title").text
    assert HOSTILE[0] in {t.text for t in page.all("td")}
    assert any(HOSTILE[0] in d.text for d in page.all("desc"))


@given(text=st.text(), other=st.text())
@settings(max_examples=60, deadline=None)
def test_every_text_comes_back_from_the_page(text, other):
    view = a_view()
    view = with_text(view, text)
    section = Section(title=other, blocks=(Note(text=text), Table(view=view, keyed=False)))
    report = Report(
        title=text, description="", summary=((text, other),), sections=(section,), made=other
    )
    page = read(html(report))
    assert page.one("h1").text == clean(text)
    assert [d.text for d in page.all("dt", "dd")] == [clean(text), clean(other)]
    assert page.one("main").one("h2").text == clean(other)
    assert page.one("main").all("p")[0].text == clean(text)
    if text:  # an empty column is left out
        assert page.one("tbody").all("th", "td")[0].text == clean(text)


@pytest.mark.slow
@given(text=st.text(max_size=30))
@settings(max_examples=12, deadline=None)
def test_every_text_comes_back_from_a_drawing(text):
    def draw(axes):
        axes.set_xlabel("x" + " ".join(clean(text).split()))

    panel = Panel(title=text, description=text, height=60, draw=draw)
    svg = read(str(drawn(panel, "a"))).one("svg")
    assert (svg.one("title").text, svg.one("desc").text) == (clean(text), clean(text))
    assert "x" + " ".join(clean(text).split()) in {t.text for t in svg.all("text")}


@pytest.mark.slow
def test_the_same_content_gives_the_same_bytes(written):
    assert render(a_content()) == written


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(written):
    code = (
        "from tests.orchestrator.report.contents import a_content\n"
        "from orchestrator.report import render\n"
        "import hashlib; print(hashlib.sha256(render(a_content()).encode()).hexdigest())"
    )
    other = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONHASHSEED": other},
    )
    assert done.stdout.strip() == sha256(written.encode()).hexdigest()


@pytest.mark.slow
def test_a_large_sweep_shows_a_bounded_part_and_says_so():
    many = [
        an_arm(weight=w / 100, behavior=f"behaviour {b}", differs=f"train.epochs={e}")
        for b in range(13)
        for w in range(1, 6)
        for e in range(10)
    ]
    rows = [
        a_row(contrast_id=f"c{i}", registered=False, behavior=b) for i in range(60) for b in "ab"
    ]
    curves = [a_curve(f"rho-guided w={w}", seed=s, steps=500) for w in range(20) for s in range(9)]
    cells = [
        a_cell(f"rho-guided w={w} m=0.1 seed={s}", seed=s) for w in range(200) for s in range(40)
    ]
    found = a_content(
        evidence=tuple(many), inference=tuple(rows), steps=tuple(curves), cells=tuple(cells)
    )
    text = render(found)
    assert len(text) < 3_000_000
    seen = read(text).text
    for part in (
        "12 of 13 behaviors are drawn",
        "16 of 50 arms are drawn",
        "8 of 10 series are drawn",
        "12 of 60 contrasts are drawn",
        "24 of 60 contrasts are shown",
        "150 of 200 arms are shown",
        "32 of 40 seeds are shown",
    ):
        assert f"The first {part}." in seen, part
    assert "A point is the mean of up to 7 steps." in seen
    assert "72 trainings more are not drawn." in seen
    assert "8000 of 8000 cells scored." in seen


def test_a_report_of_nothing_says_what_there_is_not():
    page = read(render(a_content(**NOTHING)))
    assert "No contrast was tested on these results." in page.text
    assert "0 of 0 cells scored." in page.text
    assert "The manifest says nothing of what was run." in page.text
    assert not page.all("svg")


def test_facts_stand_as_names_and_texts():
    section = Section(title="s", blocks=(Facts(pairs=(("MLX", "0.32"),)),))
    page = read(html(Report(title="t", description="", summary=(), sections=(section,), made="")))
    assert [d.text for d in page.one("main").all("dt", "dd")] == ["MLX", "0.32"]
