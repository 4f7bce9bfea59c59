"""A Mac stays awake as long as a launch or a stress test runs on it."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from orchestrator.execution.awake import awake
from orchestrator.execution.scheduling.hosts import HostUp
from tests import ROOT
from tests.macs import become_a_mac, put_tool
from tests.orchestrator.execution.test_run import Script, ok, run, work

STAYS = "exec sleep 60"


@pytest.fixture
def calls(tmp_path, monkeypatch):
    become_a_mac(monkeypatch, tmp_path / "bin")
    return put_tool(tmp_path / "bin", "caffeinate", STAYS)


def said(calls) -> list[str]:
    end = time.monotonic() + 10
    while not calls.is_file() and time.monotonic() < end:
        time.sleep(0.01)
    return calls.read_text().split()


def test_it_is_kept_awake_for_the_time_of_the_block(calls):
    before = set(psutil.Process().children())
    with awake():
        (kept,) = set(psutil.Process().children()) - before
        assert said(calls) == ["-i", "-w", str(os.getpid())]
    assert not kept.is_running()


def test_a_run_is_such_a_block(calls, tmp_path):
    run(tmp_path, Script([HostUp("m1", 1)], [], [ok(0)]), work(1))
    assert psutil.Process().children() == []


def test_a_mac_without_the_tool_runs_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setenv("PATH", str(tmp_path))
    with awake():
        pass


def test_elsewhere_nothing_is_started(tmp_path, monkeypatch):
    calls = put_tool(tmp_path / "bin", "caffeinate", STAYS)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    with awake():
        time.sleep(0.1)
    assert not calls.exists()


def test_ctrl_c_of_the_terminal_does_not_reach_it(calls):
    script = (
        "import psutil, sys, os, signal; sys.platform = 'darwin'\n"
        "from orchestrator.execution.awake import awake\n"
        "with awake():\n"
        "    (kept,) = psutil.Process().children()\n"
        "    signal.signal(signal.SIGINT, signal.SIG_IGN); os.killpg(0, signal.SIGINT)\n"
        "    print(kept.is_running() and kept.status() != psutil.STATUS_ZOMBIE)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, process_group=0
    )
    assert done.stdout == "True\n", done.stderr
