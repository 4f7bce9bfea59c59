"""Sleep, display and low power mode of a Mac become findings, here and on hosts of a cluster."""

import pytest

from orchestrator.cli.app import doctor
from orchestrator.cluster.on_host import facts
from orchestrator.inspection import local_checks
from orchestrator.inspection.local_checks import NOTE, OK, PROBLEM
from orchestrator.inspection.power import power, printed_here, settings_of
from tests.macs import become_a_mac, pmset, put_tool, saying


@pytest.mark.parametrize(
    ("sleep", "autorestart", "level", "advice"),
    [
        ("0", 1, OK, "stays awake"),
        ("0 (sleep prevented by powerd)", 1, OK, "stays awake"),
        ("1", 1, PROBLEM, "sudo pmset -a sleep 0"),
        ("15 (sleep prevented by screensharingd)", 1, PROBLEM, "sleeps after 15 min"),
        ("0", 0, NOTE, "sudo pmset -a autorestart 1"),
    ],
)
def test_sleep_settings_of_a_mac(sleep, autorestart, level, advice):
    found = next(power(pmset(sleep, autorestart)))
    assert found.level == level
    assert advice in found.text


def test_sleep_that_is_disabled_altogether_is_no_sleep():
    text = pmset(sleep=10)
    assert next(power(" SleepDisabled\t\t1\n" + text)).level == OK
    assert settings_of(text)["Sleep On Power Button"] == 1
    assert settings_of(f" sleep\t{'9' * 5000}\n") == {}
    assert "hibernatefile" not in settings_of(text)


def test_output_that_says_nothing_of_sleep_is_not_taken_for_good_news():
    assert next(power("")).level == NOTE


def test_where_a_launch_keeps_a_mac_awake_idle_sleep_is_no_problem():
    found = next(power(pmset(sleep=1), kept_awake=True))
    assert found.level == OK
    assert "a launch here keeps it awake" in found.text


@pytest.mark.parametrize(
    ("settings", "topic", "level"),
    [
        ({}, "display", OK),
        ({"displaysleep": 0}, "display", NOTE),
        ({"lowpowermode": 1}, "power", NOTE),
    ],
)
def test_a_display_that_never_sleeps_and_low_power_mode_are_named(settings, topic, level):
    found = {f.topic: f for f in power(pmset(**settings))}
    assert found[topic].level == level
    assert ("sudo pmset -a" in found[topic].text) == (level == NOTE)


def test_doctor_looks_at_this_mac_and_at_a_host_in_one_way(tmp_path, monkeypatch, capsys):
    become_a_mac(monkeypatch, tmp_path / "bin")
    put_tool(tmp_path / "bin", "pmset", saying(pmset(sleep=10, displaysleep=0)))
    monkeypatch.setattr(local_checks, "examine", lambda _: [])
    doctor(tmp_path)
    said = capsys.readouterr().out
    assert "sleeps after 10 min; a launch here keeps it awake" in said
    assert "sudo pmset -a displaysleep 10" in said
    assert facts.power.printed_here() == printed_here() == pmset(sleep=10, displaysleep=0) + "\n"


def test_a_pmset_that_fails_is_a_note(tmp_path, monkeypatch):
    become_a_mac(monkeypatch, tmp_path / "bin")
    put_tool(tmp_path / "bin", "pmset", "exit 1")
    assert [f.level for f in power(printed_here())] == [NOTE]
