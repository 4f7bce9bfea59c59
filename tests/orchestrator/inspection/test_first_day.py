"""`doctor --full`: one file without private details, also where a part dies."""

import getpass
import json
import platform
import subprocess
import sys
from itertools import cycle
from pathlib import Path

import pytest

from orchestrator.cluster import canary
from orchestrator.inspection import first_day
from tests import ROOT
from tests.macs import become_a_mac, pmset, put_tool, saying

CODE = "kIOGPUCommandBufferCallbackErrorOutOfMemory"
MEMORY = f"[METAL] Command buffer execution failed: Insufficient Memory (00000008:{CODE})"
ABORTS = (
    f"import os, sys; sys.stderr.write('libc++abi: {MEMORY}\\n'); sys.stderr.flush(); os.abort()"
)
ANSWERS = {
    "device": {"architecture": "applegpu_g14d"},
    "cell": {"adapter_sha256": "a", "scores_sha256": "b", "memory_peak_bytes": 100},
    "bits": {"gradients": ["c"]},
    "parity": {"stored": "packed", "bf16": "packed", "4 bits": "packed"},
    "step": {"bf16": {"seconds": 0.5}},
}


@pytest.fixture
def parts(monkeypatch):
    """Answers of the parts, by name, without a process; a test changes them."""
    given = {name: dict(ANSWERS[name.removesuffix("_again")]) for name, *_ in first_day.PARTS}
    names = cycle(given)
    monkeypatch.setattr(first_day, "_ran", lambda *_: given[next(names)])
    return given


def examine(memory=100):
    return first_day.examine(canary.spec(), memory, lambda _: None)


def test_a_machine_as_it_should_be_has_no_problem(parts):
    assert examine()["problems"] == []


@pytest.mark.parametrize(
    ("part", "answer", "says"),
    [
        ("bits_again", {"gradients": ["d"]}, "bits: other bits the second time (gradients)"),
        ("cell_again", {"adapter_sha256": "x"}, "cell: other bits the second time (adapter_sha256"),
        ("parity", {"bf16": "plain: packed losses differ"}, "parity: bf16 is plain: packed"),
        ("cell", {"memory_peak_bytes": 126}, "memory: the cell took 126 bytes, 100 were estimated"),
        ("step", {"error": "exit code -6: x"}, "step: exit code -6: x"),
    ],
)
def test_what_no_machine_should_show_is_a_problem(parts, part, answer, says):
    parts[part] |= answer
    (problem,) = examine()["problems"]
    assert problem.startswith(says)


def test_a_part_that_dies_of_the_gpu_says_so_and_leaves_the_rest(monkeypatch):
    real = subprocess.run

    def run(command, **more):
        return real([sys.executable, "-c", ABORTS], **more)

    monkeypatch.setattr(first_day.subprocess, "run", run)
    found = first_day._ran("any", (), b"")
    assert found["error"].startswith("exit code -6: libc++abi: [METAL]")
    assert "out of memory" in found["meaning"]


def test_the_speed_of_a_pass_is_held_against_the_full_speed_of_a_known_chip(parts, monkeypatch):
    step = {"seconds": 4.0, "operations": 2 * 27.2e12, "weight_bytes": 10, "layers": 2}
    parts["step"] = {"bf16": step, "with_start_s": 9.0}
    assert examine()["step"]["bf16"] == step
    monkeypatch.setattr(first_day, "chip", lambda: "Apple M2 Ultra")
    found = examine()["step"]
    assert found["bf16"] == step | {"full_speed_s": 2.0, "share_of_full_speed": 0.5}
    assert found["with_start_s"] == 9.0
    parts["step"] = {"error": "exit code -6: x", "with_start_s": 9.0}
    assert examine()["step"] == parts["step"]


def test_the_file_of_a_mac_has_findings_and_no_names(parts, tmp_path, monkeypatch):
    become_a_mac(monkeypatch, tmp_path / "bin")
    for tool, text in {"pmset": pmset(displaysleep=0), "sw_vers": "15.5"}.items():
        put_tool(tmp_path / "bin", tool, saying(text))
    for tool in ("sysctl", "ioreg", "defaults"):
        put_tool(tmp_path / "bin", tool, "exit 1")
    home = str(Path.home())
    parts["step"] |= {"error": f"{home}/x on {platform.node()} as {getpass.getuser()}"}
    text = first_day.without_names(json.dumps(examine()))
    assert "sudo pmset -a displaysleep 10" in text
    for name in (home, platform.node(), getpass.getuser()):
        assert name not in text


@pytest.mark.slow
def test_the_whole_of_it_runs_here(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "doctor", "--full", "-o", str(tmp_path / "m.json")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
    )
    found = json.loads((tmp_path / "m.json").read_text())
    assert done.returncode == 0, (done.stderr, found["problems"])
    assert found["cell"]["memory_peak_bytes"] < first_day.TOO_MUCH * found["memory_estimate_bytes"]
    assert found["step"]["float32"]["share_of_peak"] > 0


def test_an_output_without_full_is_refused_with_one_sentence(tmp_path):
    command = [sys.executable, "-m", "orchestrator", "doctor", "-o", str(tmp_path / "m.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--full" in done.stderr
