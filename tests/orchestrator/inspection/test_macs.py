"""What the tools of a Mac print becomes findings, here and on hosts of a cluster."""

import pytest

from orchestrator.cli.app import doctor
from orchestrator.cluster.on_host import facts
from orchestrator.inspection import local_checks
from orchestrator.inspection.local_checks import NOTE, OK, PROBLEM
from orchestrator.inspection.macs import TOOLS, asked_here, findings, settings_of
from tests.macs import become_a_mac, pmset, put_tool, saying


def sleep_of(printed, **more):
    """The finding about sleep."""
    (found,) = (f for f in findings({"pmset": printed}, **more) if f.topic == "sleep")
    return found


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
    found = sleep_of(pmset(sleep, autorestart))
    assert found.level == level
    assert advice in found.text


def test_sleep_that_is_disabled_altogether_is_no_sleep():
    text = pmset(sleep=10)
    assert sleep_of(" SleepDisabled\t\t1\n" + text).level == OK
    assert settings_of(text)["Sleep On Power Button"] == 1
    assert settings_of(f" sleep\t{'9' * 5000}\n") == {}
    assert "hibernatefile" not in settings_of(text)


def test_output_that_says_nothing_of_sleep_is_not_taken_for_good_news():
    assert sleep_of("").level == NOTE


def test_where_a_launch_keeps_a_mac_awake_idle_sleep_is_no_problem():
    found = sleep_of(pmset(sleep=1), kept_awake=True)
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
    found = {f.topic: f for f in findings({"pmset": pmset(**settings)})}
    assert found[topic].level == level
    assert ("sudo pmset -a" in found[topic].text) == (level == NOTE)


IOREG = """\
+-o AGXAcceleratorG14X  <class AGXAcceleratorG14X, id 0x1000004f5, registered, matched, active>
    {
      "PerformanceStatistics" = {"In use system memory"=9,"Device Utilization %"=BUSY,"Tiler"=0}
      "model" = "Apple M2 Ultra"
    }
"""
# versions of macOS and of its tools' answers as public reports have them; none was recorded by us
GOOD = {
    "chip": "Apple M2 Ultra\n",
    "version": "15.5\n",
    "pmset": pmset(),
    "battery": "Now drawing from 'AC Power'\n",
    "snapshots": "Snapshots for disk /:\n",
    "updates": "0\n",
    "files": "122880\n",
    "gpu": IOREG.replace("BUSY", "3"),
}


LAPTOP = """\
Now drawing from 'AC Power'
 -InternalBattery-0 (id=22151267)\t100%; charged; 0:00 remaining present: true
"""
SNAPSHOTS = """\
Snapshots for disk /:
com.apple.TimeMachine.2026-11-25-180000.local
com.apple.TimeMachine.2026-11-25-190000.local
"""


def test_a_laptop_that_a_launch_keeps_awake_is_told_of_its_lid_in_one_place():
    found = findings(GOOD | {"battery": LAPTOP}, kept_awake=True)
    assert "lid" not in {f.topic for f in found}


def test_a_mac_as_it_should_be_has_no_note():
    found = list(findings(GOOD))
    assert {f.level for f in found} == {OK}
    assert {"macos", "sleep", "display"} == {f.topic for f in found}


@pytest.mark.parametrize(
    ("tool", "printed", "topic", "level", "says"),
    [
        ("version", "14.0\n", "macos", OK, "14.0"),
        ("version", "26.1\n", "macos", OK, "26.1"),
        ("version", "13.6.9\n", "macos", PROBLEM, "13.6.9 is too old: MLX needs macOS 14"),
        ("version", "10.15.7\n", "macos", PROBLEM, "too old"),
        ("version", "", "macos", NOTE, "look: sw_vers"),
        ("chip", "Intel(R) Core(TM) i9-9880H CPU @ 2.30GHz\n", "macos", PROBLEM, "Apple silicon"),
        ("updates", "1\n", "updates", NOTE, "Software Update"),
        ("battery", LAPTOP.replace("AC", "Battery"), "power", NOTE, "plug it in"),
        ("battery", LAPTOP, "lid", NOTE, "leave it up while cells run"),
        ("snapshots", SNAPSHOTS, "snapshots", OK, "2 local snapshots"),
        ("files", "2048\n", "files", NOTE, "sudo sysctl kern.maxfilesperproc="),
        ("gpu", IOREG.replace("BUSY", "87"), "gpu", NOTE, "busy to 87 %"),
    ],
)
def test_what_is_not_is_named_with_what_to_do(tool, printed, topic, level, says):
    found = [f for f in findings(GOOD | {tool: printed}) if f.topic == topic]
    assert [f.level for f in found] == [level]
    assert says in found[0].text


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("printed", ["", "\x00\n", "9" * 5000, "²", "no such key\n" * 99])
def test_no_answer_of_a_tool_is_an_error(tool, printed):
    for found in findings(GOOD | {tool: printed}):
        assert len(found.text) < 200


def test_doctor_looks_at_this_mac_and_at_a_host_in_one_way(tmp_path, monkeypatch, capsys):
    become_a_mac(monkeypatch, tmp_path / "bin")
    put_tool(tmp_path / "bin", "pmset", saying(pmset(sleep=10, displaysleep=0)))
    put_tool(tmp_path / "bin", "sw_vers", saying("15.5"))
    put_tool(tmp_path / "bin", "defaults", saying("1"))
    for tool in ("sysctl", "ioreg"):
        put_tool(tmp_path / "bin", tool, "exit 1")
    monkeypatch.setattr(local_checks, "examine", lambda _: [])
    doctor(tmp_path)
    said = capsys.readouterr().out
    assert "sleeps after 10 min; a launch here keeps it awake" in said
    assert "sudo pmset -a displaysleep 10" in said
    assert "macOS installs updates by itself" in said
    assert facts.macs.asked_here() == asked_here()
    assert asked_here()["version"] == "15.5\n"


def test_elsewhere_a_host_is_no_mac():
    assert asked_here() is None
    assert [f.text for f in findings(None)] == ["not a Mac; see to it yourself that it stays awake"]
