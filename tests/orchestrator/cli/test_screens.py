"""What `analyze` prints: claims first, every digit at any width, and only what is asked for."""

import io
import re
import sys

import pytest
from rich.cells import cell_len
from rich.text import Text

from orchestrator.analysis.tables.arms import Arms
from orchestrator.analysis.tables.columns import RHO
from orchestrator.analysis.tables.render import terminal
from orchestrator.analysis.tables.scores.changes import changes
from orchestrator.analysis.tables.view import Column, Shape, View
from orchestrator.cells.load import load
from orchestrator.cli.show.claims import BOTH_SPLITS, claim_lines
from orchestrator.cli.show.lines import shown
from orchestrator.cli.show.screen import wrapped
from orchestrator.config.contrast_kinds import Kind
from orchestrator.config.preset_files import descriptions
from orchestrator.execution.console import Console
from orchestrator.execution.live_display import LiveDisplay
from orchestrator.inspection.plan import describe, plan_into
from orchestrator.inspection.status import status, status_lines
from tasks.contract.cell import Progress
from tests.builders import a_result, launched
from tests.orchestrator.analysis.arms import a_row, an_arm

SWEEP = """\
name: s
model: m
grid: {condition: [sft-only, rho-guided], rho_weight: [0.1, 0.2], margin: [0.1], seed: [1, 2, 3]}
analysis:
  contrasts:
    - {id: up, claim: it helps, kind: mean_diff, alternative: greater, behaviors: [bias],
       a: {condition: rho-guided, rho_weight: 0.2}, b: {condition: sft-only}}
    - {id: more, claim: it helps training, kind: mean_diff, split: train, behaviors: [factual],
       a: {condition: rho-guided, rho_weight: 0.2}, b: {condition: sft-only}}
"""


def printed(view: View, width: int) -> str:
    console = Console(width=width)
    console.file = io.StringIO()
    console.print(terminal(view))
    return console.file.getvalue()


@pytest.fixture
def results(tmp_path):
    """Three seeds of three arms, with scores that anyone can add up."""
    store, expansion = launched(tmp_path / "s", SWEEP)
    for spec in expansion.all:
        gain = 0.0 if spec.seed is None else 0.01 * spec.seed
        gain += 0.1 * spec.hinge.rho_weight if spec.hinge else 0.0
        scores = {(b, s): gain for b in ("factual", "bias") for s in ("train", "heldout")}
        store.commit(a_result(spec, scores), attempts=1, ray=None)
    return store


def test_claims_come_first_then_held_out_pairs_then_those_of_training(rho_sweep, results):
    out = rho_sweep("analyze", "s").out
    assert out.startswith("claims: ")
    places = [out.index(text) for text in ("it helps (", "it helps training (", "heldout split (p")]
    assert places == sorted(places)
    assert out.index("heldout split (pairs") < out.index("train split (pairs")
    assert "+0.030 ± 0.010" in out  # weight 0.1: 0.01 and the seeds' 0.01, 0.02, 0.03
    assert "in every row: seeds 3" in out
    assert "…" not in out


def test_a_claim_is_a_sentence_with_its_numbers():
    row = a_row(
        "inconclusive",
        arm_a="rho-guided",
        arm_b="sft-only",
        estimate=0.0061,
        ci_low=-0.018,
        ci_high=0.03,
        ci_level=0.95,
        p_adjusted=0.956,
        n_for_80=33,
    )
    tally, claim, part = (line.plain for _, line in claim_lines([row]))
    assert tally == "claims: 0 supported, 0 contradicted, 1 inconclusive"
    assert claim == "inconclusive  rho-guided helps (primary, heldout split, new seeds)"
    assert part == (
        "bias: rho-guided minus sft-only is +0.006 nat/token (95% interval -0.018 to +0.030, "
        "adjusted p 0.956): inconclusive; an effect of this size takes about 33 seeds an arm"
    )


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("sd_ratio", "bias: the sd of A over that of B is 1.13: interim"),
        ("trend", "bias: from A to B the estimate is +0.120 nat/token: interim"),
        ("interaction", "bias: the estimate is +0.120 nat/token: interim"),
        ("prop_diff", "bias: A minus B is +0.120 of the answers: interim"),
        ("rank_correlation", "bias: the rank correlation is +0.120: interim"),
        ("omnibus", "bias: the estimate is +0.120: interim"),
    ],
)
def test_what_was_estimated_is_said_in_words(kind, says):
    row = a_row("interim", kind=Kind(kind), arm_a="A", arm_b="B", estimate=0.12)
    assert [line.plain for _, line in claim_lines([row])][2] == says


def test_a_question_with_two_answers_is_explained_once():
    seen = [a_row("supported", split="train", behavior=b) for b in ("bias", "factual")]
    new = [a_row("inconclusive", behavior=b) for b in ("bias", "factual")]
    lines = [line.plain for _, line in claim_lines([*seen, *new])]
    assert lines.count(BOTH_SPLITS) == 1
    assert lines[-1] == BOTH_SPLITS
    other = [a_row("inconclusive", behavior="refusal"), a_row("supported", behavior="bias")]
    assert BOTH_SPLITS not in [line.plain for _, line in claim_lines([*seen, *other])]


def test_many_exploratory_claims_are_counted_and_not_all_printed():
    rows = [a_row("inconclusive", claim=f"c{i}", family="exploratory") for i in range(20)]
    lines = [line.plain for _, line in claim_lines(rows)]
    assert lines[0] == "claims: 0 supported, 0 contradicted, 20 inconclusive"
    assert lines[-1] == "... 8 more exploratory claims: --table claims"
    assert sum("c" in line and "exploratory," in line for line in lines) == 12


def test_a_change_without_an_untrained_model_is_a_mean_and_never_0():
    with_one = changes(Arms([an_arm(scores=(1.0, 3.0), baseline=0.5)], "heldout"))
    assert with_one.title.startswith(f"Change of {RHO} in nat/token")
    assert with_one.columns[1].text(with_one.rows[0]) == "+1.500 ± 1.414"
    assert with_one.notes == (f"{RHO} of the untrained model: bias +0.500.",)
    without = changes(Arms([an_arm(scores=(1.0, 3.0), baseline=None)], "heldout"))
    assert without.title.startswith(f"Mean {RHO} in nat/token")
    assert without.columns[1].text(without.rows[0]) == "+2.000 ± 1.414"


def column(name: str, shape: Shape = Shape.TEXT) -> Column:
    return Column(label=name, fields=(name,), shape=shape)


def test_a_column_that_never_changes_stands_below_the_title():
    rows = [{"arm": a, "split": "heldout", "n": 3, "x": x, "p": None} for a, x in ("a1", "b2")]
    columns = (*map(column, ("arm", "split", "n", "x")), column("p", Shape.P))
    text = printed(View(key="T0", name="t", title="t", columns=columns, rows=rows), 80)
    assert "in every row: split heldout · n 3\nin no row: p\n" in text
    assert text.count("heldout") == 1


def test_what_people_compare_stands_together_where_a_table_is_folded():
    names = ("arm", *(f"{c}{i}" for i in range(6) for c in "xy"), "diff", "verdict")
    rows = [dict.fromkeys(names, f"{'long ' * 2}{i}") for i in range(2)]
    view = View(key="T0", name="t", title="t", columns=tuple(map(column, names)), rows=rows)
    heads = [line.split() for line in printed(view, 60).splitlines() if line.startswith(" arm")]
    assert heads[0][:3] == ["arm", "diff", "verdict"]
    wide = [line.split() for line in printed(view, 400).splitlines() if line.startswith(" arm")]
    assert wide == [list(names)]


@pytest.mark.parametrize("width", [30, 60, 200])
def test_no_letter_of_a_long_word_is_cut(width):
    digest = "0123456789abcdef" * 4
    rows = [{"setting": "a", "value": digest}, {"setting": "b", "value": "1"}]
    view = View(
        key="T9", name="c", title="t", rows=rows, columns=(column("setting"), column("value"))
    )
    assert digest in re.sub(r"\s|setting|value", "", printed(view, width))


@pytest.mark.slow
def test_only_what_is_asked_for_is_shown(rho_sweep, results):
    out = rho_sweep("analyze", "s", "--behavior", "factual", "--arm", "rho-guided w=0.2").out
    assert "it helps training (" in out
    assert "it helps (" not in out
    assert "bias" not in out
    assert "w=0.1" not in out
    out = rho_sweep("analyze", "s", "--split", "train").out
    assert "heldout" not in out
    assert "it helps training (" in out
    assert rho_sweep("analyze", "s", "--split", "train", "--table", "T13").out.count("helps") == 1
    out = rho_sweep(
        "analyze", "s", "--behavior", "bias", "--arm", "w=0.1", "--table", "effects"
    ).out
    assert "rho-guided w=0.1 m=0.1 vs sft-only" in out
    assert "w=0.2" not in out
    assert "factual" not in out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--behavior", "factal"], 'did you mean "factual"?'),
        (["--arm", "rho-guidd"], "they are baseline, sft-only, rho-guided w=0.1 m=0.1"),
        (["--arm", "w=0.1", "--json"], "JSON has all of it"),
    ],
)
def test_a_filter_that_fits_nothing_is_one_sentence(rho_sweep, results, words, says):
    ran = rho_sweep("analyze", "s", *words)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err


def test_files_are_whole_whatever_is_shown(rho_sweep, results):
    rho_sweep("analyze", "s")
    whole = (results.folder / "analysis/effects.csv").read_bytes()
    rho_sweep("analyze", "s", "--arm", "w=0.1", "--behavior", "bias")
    assert (results.folder / "analysis/effects.csv").read_bytes() == whole


@pytest.mark.slow
def test_a_plan_of_any_preset_loses_nothing_at_the_edge_of_a_terminal(monkeypatch):
    for name in descriptions():
        lines = describe(plan_into([load(name)], None, None))
        assert len(lines) > 5
        for width in (60, 80):
            monkeypatch.setenv("COLUMNS", str(width))
            assert_whole(monkeypatch, lines, width, hanging=9)


@pytest.mark.parametrize("indent", [0, 2])
def test_the_first_line_is_as_wide_as_the_screen_and_the_others_hang(indent):
    text = "one two three four five six seven eight nine ten eleven twelve"
    lines = [t.plain for t in wrapped(Console(width=30), Text(text), indent, hanging=8)]
    assert " ".join(line.strip() for line in lines) == text
    assert lines[0] == " " * indent + "one two three four five six"
    assert all(line.startswith(" " * (indent + 8)) for line in lines[1:])
    assert all(len(line) <= 30 for line in lines)


@pytest.mark.parametrize("width", [30, 60, 80])
def test_a_running_sweep_is_whole_at_the_edge_of_a_terminal(monkeypatch, results, width):
    monkeypatch.setenv("COLUMNS", str(width))
    label = "contrastive-only w=0.123456 m=0.1 seed=31337"
    cell = {"cell_id": "0" * 16, "label": label, "host": "studio-7.example.org", "stage": "train"}
    cell |= {
        "step": 12345,
        "steps": 123456,
        "loss": 12.345,
        "status": "failed",
        "message": "no " * 99,
    }
    found = status(results)
    found |= {"launch": {"pid": 1234567, "host": cell["host"]}, "left_s": 123456.0}
    found |= {"running": [cell] * 3, "unscored": [cell]}
    assert_whole(monkeypatch, status_lines(found, 98765.0), width)


@pytest.mark.parametrize("width", [60, 80])
def test_the_panel_of_a_launch_cuts_no_number(width):
    display = LiveDisplay()
    display._console = display._live.console = Console(width=width)
    display._console.file = io.StringIO()
    display.begin(total=12345, done=1234, linked=0)
    label = "contrastive-only w=0.123456 m=0.1 seed=31337"
    display.running({label: Progress(stage="train", step=12345, steps=123456, loss=12.345)}, 9.0)
    display._console.print(display._live.get_renderable())
    numbers = ["w=0.123456", "seed=31337", "train 12345/123456", "loss 12.345", "1234/12345 done"]
    assert_drawn(display._console.file.getvalue(), numbers, width)


def assert_whole(monkeypatch, lines, width, hanging=4):
    monkeypatch.setattr(sys, "stdout", Terminal())
    with shown(hanging=hanging) as show:
        show(lines)
    assert_drawn(sys.stdout.getvalue(), lines, width)


def assert_drawn(text, parts, width):
    """No line is over the width, and nothing of the parts is missing."""
    drawn = re.sub(r"\x1b\[[0-9?]*[A-Za-z]", "", text)
    assert max(map(cell_len, drawn.splitlines())) <= width
    packed = re.sub(r"\s", "", drawn)
    assert [part for part in parts if re.sub(r"\s", "", part) not in packed] == []


class Terminal(io.StringIO):
    """Standard output of somebody who sits before it."""

    def isatty(self) -> bool:
        return True


def test_watching_draws_in_the_same_place_and_shows_what_is_hidden(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "stdout", Terminal())
    with shown(redraw=True) as show:
        for done in range(3):
            show([f"s: {done} of 3", f"  failed {'long ' * 9}\x1b[2Jreason"])
    out = sys.stdout.getvalue()
    up = "\x1b[1A\x1b[2K"
    assert f"{up}{up}s: 1 of 3" in out  # the screen before was three lines
    assert out.count("s: 0 of 3") == 1
    assert "\\u001b[2Jreason" in out
    drawn = re.sub(r"\x1b\[[0-9?]*[A-Za-z]", "", out)
    assert max(map(cell_len, re.split("[\r\n]", drawn))) <= 40


def test_elsewhere_lines_stay_whole_and_come_once(capsys):
    with shown(redraw=True) as show:
        for line in ("a" * 200, "a" * 200, "b"):
            show([line])
    assert capsys.readouterr().out == f"{'a' * 200}\nb\n"
