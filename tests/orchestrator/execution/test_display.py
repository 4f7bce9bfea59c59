"""What a launch tells people."""

import pytest

from orchestrator.execution import display
from orchestrator.execution.display import PlainDisplay, Tally, clock, opening
from orchestrator.execution.live_display import LiveDisplay
from tasks.contract.cell import Progress, Status


@pytest.fixture
def at(monkeypatch):
    """Sets the clock that displays read."""
    now = [1000.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])

    def turn(seconds: float) -> None:
        now[0] = 1000.0 + seconds

    return turn


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (59.9, "0:59"),
        (60, "1:00"),
        (3599, "59:59"),
        (3600, "1:00:00"),
        (float("inf"), "?"),
        (float("nan"), "?"),
    ],
)
def test_seconds_are_shown_as_a_clock_does(seconds, text):
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((36, 0, 0), "36 cells, 36 to run"),
        ((36, 10, 0), "36 cells, 10 already done, 26 to run"),
        ((36, 10, 4), "36 cells, 10 already done (4 in other sweeps), 26 to run"),
    ],
)
def test_a_launch_opens_with_what_is_done_and_what_is_to_do(numbers, text):
    assert opening(*numbers) == text


def test_time_left_is_that_of_cells_run_here_and_not_of_those_found_done(at):
    tally = Tally()
    tally.begin(total=20, done=10)
    at(60)
    assert tally.line() == "10/20 done, 1:00 elapsed"
    tally.add(Status.OK)
    tally.add(Status.OK)
    assert tally.line() == "12/20 done, 1:00 elapsed, about 4:00 left"


def test_a_cell_without_scores_is_counted_as_failed_and_not_as_done(at):
    tally = Tally()
    tally.begin(total=3, done=0)
    for status in (Status.OK, Status.DIVERGED, Status.FAILED):
        tally.add(status)
    assert tally.line() == "1/3 done, 2 failed, 0:00 elapsed"


def test_where_there_is_no_terminal_every_event_is_a_line_on_stderr(at, capsys):
    shown = PlainDisplay()
    shown.begin(total=3, done=1, linked=0)
    shown.running({"a": Progress(stage="train", step=1, steps=2, loss=1.0)})
    at(10)
    shown.settled("sft-only seed=1", Status.OK, None)
    shown.settled("sft-only seed=2", Status.FAILED, "no memory")
    shown.note("the worker died")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "3 cells, 1 already done, 2 to run",
        "ok sft-only seed=1 (2/3 done, 0:10 elapsed, about 0:10 left)",
        "failed sft-only seed=2: no memory (2/3 done, 1 failed, 0:10 elapsed)",
        "the worker died",
    ]


def test_the_live_panel_shows_cells_with_step_and_loss(at, capsys):
    shown = LiveDisplay()
    shown.begin(total=2, done=0, linked=0)
    shown.running(
        {
            "rho-guided w=0.2": Progress(stage="train", step=3, steps=25, loss=1.2345),
            "sft-only": None,
            "baseline": Progress(stage="score"),
        }
    )
    shown._console.width = 100
    shown._console.print(shown._live.renderable)
    err = capsys.readouterr().err
    for text in ("train 3/25", "loss 1.234", "starting", "score", "0/2 done"):
        assert text in err


def test_failures_stay_on_the_screen_after_the_panel_is_gone(capsys):
    with LiveDisplay() as shown:
        shown.begin(total=2, done=0, linked=0)
        shown.settled("[bold]odd[/bold] label", Status.DIVERGED, "step 2: the loss is nan")
        shown.settled("fine", Status.OK, None)
    out, err = capsys.readouterr()
    assert out == ""
    assert "diverged [bold]odd[/bold] label: step 2: the loss is nan" in err
    assert "fine" not in err
