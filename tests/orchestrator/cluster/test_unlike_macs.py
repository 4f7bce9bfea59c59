"""`cluster doctor` and `plan` on three unlike Macs: their tools and the ssh are stand-ins."""

import json
from dataclasses import asdict

import pytest

from orchestrator.cluster.canary import Song
from orchestrator.cluster.on_host import facts
from orchestrator.cluster.ssh import Finished, Remote
from orchestrator.config.hosts import Ports
from tests.macs import UNLIKE, become_a_mac, put_tools
from tests.orchestrator.cluster.hostile import a_scene, rho_sweep

CLUSTER = """
name: macs
python: /usr/bin/python3
hosts:
"""


@pytest.fixture
def answers(tmp_path, monkeypatch):
    """Each Mac's own answer to `examine`, made by the code that runs there."""
    found = {}
    for name, (address, chip, version, settings, power) in UNLIKE.items():
        with monkeypatch.context() as there:
            tools = tmp_path / name
            become_a_mac(there, tools)
            put_tools(tools, chip, version, settings, power)
            request = {"root": str(tmp_path / "root"), "cluster": "macs", "gcs": [address, 6379]}
            answer = facts.examine(request | {"ports": Ports().model_dump()})
        found[name] = answer | {"taken": [], "addresses": {"en0": [address]}}
    return found


@pytest.fixture
def scene(tmp_path, monkeypatch):
    """A folder with a cluster file of the three Macs, of which the current one is its `work`."""
    scene = a_scene(tmp_path / "scene", monkeypatch)
    hosts = "".join(f"  - {{name: {n}, address: {given[0]}}}\n" for n, given in UNLIKE.items())
    (scene.root / "work/cluster.yaml").write_text(CLUSTER + hosts)
    return scene


@pytest.mark.slow
def test_a_plan_says_what_each_of_them_can_do(answers, scene, monkeypatch, capsys):
    def run(remote, command, **_):
        if remote.host.name == "book":
            raise remote.error("no answer")
        if command.endswith(" examine"):
            tight = {"memory_bytes": 1 << 20} if remote.host.name == "mini" else {}
            return Finished(0, json.dumps(answers[remote.host.name] | tight).encode(), b"")
        return Finished(0, b"{}", b"")

    monkeypatch.setattr(Remote, "run", run)
    assert rho_sweep("plan", "quickstart", "--cluster", "cluster.yaml", "--json") == 0
    found = json.loads(capsys.readouterr().out)["cluster"]
    studio, mini, book = found["hosts"]
    assert (studio["chip"], studio["fitting"], studio["at_once"]) == (
        "Apple M2 Ultra",
        found["open"],
        1,
    )
    assert (mini["fitting"], "no answer" in book["problem"]) == (0, True)
    assert found["homeless"] == 0
    assert found["full_speed_s"] == pytest.approx(studio["full_speed_s"])
    assert mini["full_speed_s"] is None  # no cell fits there, whatever its speed
    assert rho_sweep("plan", "quickstart", "--cluster", "cluster.yaml") == 0
    said = " ".join(capsys.readouterr().out.split())
    for text in (
        "host studio: Apple M2 Ultra, 48.0 GiB for cells; every cell fits, 1 at once; about",
        "host mini: Apple M1 Max, 0.0 GiB for cells; 0 cells fit host",
        "host book: ",
        "at the full speed of all hosts that are Macs",
    ):
        assert text in said


def test_the_table_names_what_differs(answers, scene, monkeypatch, capsys):
    def run(remote, command, **_):
        own = answers[remote.host.name]
        if command.endswith(" examine"):
            return Finished(0, json.dumps(own).encode(), b"")
        if command.endswith("canary"):
            family = f"{own['chip']}, {own['mac']['version'].strip()}"
            song = Song(
                bits=family,
                adapter_sha256=family,
                scores={"a/train": 0.5},
                chip=own["chip"],
                family=family,
                seconds=1.0,
            )
            return Finished(0, json.dumps(asdict(song)).encode(), b"")
        return Finished(0, b"{}", b"")

    monkeypatch.setattr(Remote, "run", run)
    assert rho_sweep("cluster", "doctor", "cluster.yaml") == 1
    said = capsys.readouterr().out
    lines = {name: [x for x in said.splitlines() if x.split()[1] == name] for name in UNLIKE}
    for name, expected in {
        "studio": ["10.0.0.1, Apple M2 Ultra", "48.0 GiB free", "stays awake", "group A"],
        "mini": [
            "chip Apple M1 Max, the head has Apple M2 Ultra",
            "sleeps after 10 min; sudo pmset",
        ],
        "book": [
            "chip Apple M4 Max, the head has Apple M2 Ultra; macOS 26.1, the head has 15.5",
            "a laptop sleeps when its lid is shut",
            "runs on its battery",
            "low power mode",
        ],
    }.items():
        for text in expected:
            assert any(text in line for line in lines[name]), (name, text)
    assert not any("the head has" in line for line in lines["studio"])
