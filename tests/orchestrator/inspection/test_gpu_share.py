"""What a Mac's GPU may use is counted by launch, plan, doctor and placement alike."""

from dataclasses import replace

import pytest

from orchestrator.cluster.doctor import findings
from orchestrator.cluster.on_host import ray as on_host
from orchestrator.config.fields import RunSettings
from orchestrator.config.sweep_file import load
from orchestrator.execution import launch
from orchestrator.execution.display import PlainDisplay
from orchestrator.inspection import local_checks, plan
from tests.macs import become_a_mac, put_tool
from tests.orchestrator.cluster.test_findings import FACTS, HOST

GIB = 1 << 30


@pytest.fixture
def mac(tmp_path, monkeypatch):
    """A Mac whose GPU may use 48 of 64 GiB."""
    become_a_mac(monkeypatch, tmp_path / "bin")
    script = f'[ "$2" = hw.memsize ] && echo {64 * GIB} || echo 0'
    put_tool(tmp_path / "bin", "sysctl", script)


def test_a_host_offers_its_share_and_no_more_than_the_file_says(mac, tmp_path):
    request = {"root": str(tmp_path), "cluster": "c"}
    seen = on_host.look(request)
    assert seen["memory_bytes"] == 48 * GIB
    for written, offered in ((None, 48), ("64 GB", 48), ("32 GB", 32)):
        host = HOST.model_copy(update={"memory": written})
        assert host.usable_bytes(seen["memory_bytes"]) == offered * GIB
    assert HOST.model_copy(update={"memory": "64 GB"}).usable_bytes(None) == 64 * GIB


def test_doctor_holds_cells_against_the_share():
    host = HOST.model_copy(update={"memory": "64 GB", "slots": 1})
    facts = FACTS | {"memory_bytes": 48 * GIB, "memory_free_bytes": 60 * GIB}
    found = {f.topic: f for f in findings.space(facts, host, 50 * GIB)}
    assert "no cell fits" in found["memory"].text


def test_slots_of_a_launch_fit_into_the_share(mac, monkeypatch):
    monkeypatch.setattr(
        launch.psutil, "virtual_memory", lambda: type("M", (), {"available": 60 * GIB})
    )
    monkeypatch.setattr(launch, "set_aside", lambda: None)
    made = {}
    monkeypatch.setattr(
        "orchestrator.execution.engines.ray_engine.RayEngine", lambda **given: made.update(given)
    )
    options = launch.Options(slots=4)
    memory = dict.fromkeys("abcd", 20 * GIB)
    launch.engine_of(RunSettings(), options, memory, PlainDisplay())
    assert made["slots"] == 2


def test_plan_and_doctor_name_it(mac, tmp_path, monkeypatch):
    found = plan.plan([load("quickstart")], tmp_path)
    assert found.gpu == 48 * GIB
    text = "\n".join(plan.describe(found))
    assert "of 48.0 that the GPU here may use" in text
    assert "grad_checkpoint" not in text
    larger = replace(found, memory={"a": 50 * GIB})
    assert "may use; set run.grad_checkpoint" in "\n".join(plan.describe(larger))
    script = 'print(\'{"blas": null, "speeds": {"float32": 9.0}}\')'
    (line,) = (f.text for f in local_checks.examine(tmp_path, matmul=script) if f.topic == "memory")
    assert line.endswith("its GPU may use 48.0")
