"""Text of others reaches a terminal or a spreadsheet with its hidden characters shown."""

import csv
import io
import json
import re
import sys
import time
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from orchestrator.execution.console import Console
from orchestrator.execution.display import PlainDisplay
from orchestrator.visible import HIDDEN, door, inert, visible, visible_lines
from tasks.contract.cell import Status
from tests.builders import a_failure, a_result, launched

EVIL = (
    "\x1b]0;owned\x07 \x9b2J\r\u202egnp.exe\u200b\u2028ok: 5 of 5\x7f [link=http://x]y[/link] [/z]"
)
SHOWN = r"\u001b]0;owned\u0007 \u009b2J\u000d\u202egnp.exe\u200b\u2028ok: 5 of 5\u007f"
SWEEP = """
name: s
model: m
grid: {condition: [rho-guided], rho_weight: [0.1], margin: [0.1], seed: [1, 2]}
"""


def hidden(text: str) -> list[str]:
    return [c for c in text if c not in "\n\t" and unicodedata.category(c) in HIDDEN]


# laws


@given(st.text())
def test_no_hidden_character_is_left_and_all_others_are(text):
    assert hidden(visible_lines(text)) == []
    assert not set("\n\t") & set(visible(text))
    kept = re.sub(r"\\u[0-9a-f]{4}", "", visible_lines(text))
    assert visible_lines(kept) == kept


ANY = st.text(st.characters(exclude_categories=())) | st.text(
    st.characters(categories=sorted(HIDDEN)) | st.sampled_from("ab\n\t]^-\\\u00e9\U0001f600")
)


@given(ANY)
@example("".join(map(chr, range(0x10000))))
@example("".join(map(chr, range(0x10000, 0x110000, 7))))
def test_lines_are_shown_character_by_character(text):
    def shown(character: str) -> str:
        units = character.encode("utf-16-be", "surrogatepass").hex()
        return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))

    assert visible_lines(text) == "".join(shown(c) if hidden(c) else c for c in text)


def test_a_long_text_with_a_hidden_character_takes_no_time_for_each_character():
    text = "An answer in plain words. " * 40_000
    visible_lines("\u200b")
    took = {}
    for begun in ("", "\u200b"):
        start = time.process_time()
        visible_lines(begun + text)
        took[begun] = time.process_time() - start
    assert took["\u200b"] < 0.1 + 4 * took[""]


@given(st.recursive(st.none() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_json_through_the_door_is_the_same_json(value):
    text = json.dumps(value, ensure_ascii=False)
    assert json.loads(visible_lines(text)) == value


@given(st.text())
def test_what_rich_draws_shows_them_too_and_takes_nothing_for_markup(text):
    table = Table(box=None)
    table.add_column("name")
    table.add_row(f"{text}[link=http://x]y[/link]")
    table.add_row(Text(text))
    stream = io.StringIO()
    before, sys.stdout = sys.stdout, stream
    try:
        Console(width=10_000).print(table, f"{text}[/z]")
    finally:
        sys.stdout = before
    assert hidden(stream.getvalue()) == []
    assert "[link=http://x]y[/link]" in stream.getvalue()


@given(st.text())
def test_no_text_begins_as_a_formula(text):
    assert not inert(text).lstrip().startswith(("=", "+", "-", "@", "\uff1d"))


# commands


@pytest.fixture
def results(tmp_path):
    store, expansion = launched(tmp_path / "s", SWEEP)
    ok, failed, *_ = expansion.all
    store.commit(a_result(ok), attempts=1, ray=None)
    store.commit_failure(a_failure(failed, EVIL), attempts=1, ray=None)
    (store.folder / "logs").mkdir(exist_ok=True)
    (store.folder / "logs" / f"{failed.cell_id}.log").write_text(f"step 1 {EVIL}\n")
    return store, failed.cell_id


@pytest.mark.parametrize("command", ["status", "logs", "analyze"])
def test_a_message_of_a_cell_cannot_steer_the_terminal(results, rho_sweep, command):
    store, cell = results
    said = rho_sweep(command, store.folder, *([cell] if command == "logs" else []))
    assert hidden(said.out + said.err) == []
    assert SHOWN in said.out + said.err


@pytest.mark.parametrize("command", ["status", "logs", "analyze"])
def test_a_message_of_any_length_floods_no_terminal(tmp_path, rho_sweep, command):
    store, expansion = launched(tmp_path / "s", SWEEP)
    for spec in expansion.all[1:]:
        store.commit(a_result(spec), attempts=1, ray=None)
    failure = a_failure(expansion.all[0], "A" * 1_000_000)
    store.commit_failure(failure, attempts=1, ray=None)
    words = [failure.spec.key] if command == "logs" else []
    said = rho_sweep(command, store.folder, *words)
    assert said.code == 0
    assert "more characters)" in said.out + said.err
    assert len(said.out + said.err) < 20_000


def test_an_error_of_any_length_floods_no_terminal(tmp_path, rho_sweep):
    said = rho_sweep("status", tmp_path / "/".join("A" * 200 for _ in range(100)))
    assert said.code == 2
    assert said.err.endswith(" more characters)\n")
    assert len(said.err) < 3_000


def test_json_of_a_command_holds_the_message_as_it_is(results, rho_sweep):
    store, _ = results
    out = rho_sweep("status", store.folder, "--json").out
    assert json.loads(out)["unscored"][0]["message"] == EVIL


def test_an_error_that_repeats_a_name_shows_it(rho_sweep, tmp_path):
    said = rho_sweep("status", "no\x1b]0;owned\x07\u202ename")
    assert said.code == 2
    assert r"no\u001b]0;owned\u0007\u202ename" in said.err
    (tmp_path / "s.yaml").write_text('name: "a\\e[2Jb"\nmodel: m\n')
    assert hidden(rho_sweep("plan", "s.yaml").err) == []


def test_a_line_of_a_launch_stays_one_line(capsys):
    with door():
        display = PlainDisplay()
        display.settled("label\n5 of 5 cells scored", Status.FAILED, EVIL)
        display.note(EVIL)
    err = capsys.readouterr().err
    assert hidden(err) == []
    assert err.count("\n") == 2


# spreadsheets


@given(st.sampled_from(["=", "+", "-", "@", "\t", "\r", "", " ", "\n", "\uff1d"]), st.text())
def test_a_cell_of_csv_is_no_formula_and_comes_back_as_documented(sign, text):
    cell = inert(visible_lines(sign + text))
    assert hidden(cell) == []
    assert not cell.lstrip("\n ").startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d"))
    assert cell.removeprefix("'") == visible_lines(sign + text).removeprefix("'")


def test_an_exported_answer_is_no_formula_and_numbers_stay_numbers(tmp_path, rho_sweep):
    store, expansion = launched(tmp_path / "s", SWEEP)
    first, second = expansion.all[:2]
    store.commit_failure(a_failure(first, "=cmd|' /C calc'!A0"), attempts=1, ray=None)
    store.commit_failure(a_failure(second, EVIL), attempts=1, ray=None)
    assert rho_sweep("export", store.folder, "--to", "csv", "-o", tmp_path / "csv").code == 0
    with (tmp_path / "csv" / "cells.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {r["message"] for r in rows} == {"'=cmd|' /C calc'!A0", inert(visible_lines(EVIL))}
    assert hidden((tmp_path / "csv" / "cells.csv").read_text()) == []
    assert sorted(r["seed"] for r in rows) == ["", "1"]
