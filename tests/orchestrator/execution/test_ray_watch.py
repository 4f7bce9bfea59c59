"""A Ray that is gone or silent ends a launch, within a bounded time and with a sentence."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from orchestrator.errors import UserError
from orchestrator.execution.engines.ray_engine import RayEngine
from orchestrator.execution.engines.ray_watch import is_dead

CALL = """
import sys, time
from orchestrator.execution.engines import ray_watch

ray_watch.LOOK_EVERY_S, ray_watch.LONGEST_CALL_S = 0.1, 2
watch = ray_watch.Watch(lambda: print("last", flush=True))
for seconds in map(float, sys.argv[1:]):
    with watch.over():
        print("in", flush=True)
        time.sleep(seconds)
time.sleep(3)  # outside of any call
print("whole")
"""


def calls(*seconds: float) -> subprocess.Popen:
    words = [sys.executable, "-c", CALL, *map(str, seconds)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(words, text=True, **pipes)


def test_a_call_that_does_not_return_ends_the_process_as_an_error_that_can_be_mended():
    process = calls(0, 60)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (2, "in\nin\nlast\n")
    assert err.startswith("error: Ray has not answered for 2 s; finished cells are kept; launch")
    assert err.count("\n") == 1


@pytest.mark.slow
def test_short_calls_may_add_up_to_any_time():
    process = calls(0.9, 0.9, 0.9, 0.9)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert out.endswith("whole\n")


@pytest.mark.slow
def test_a_process_that_slept_in_a_call_goes_on():
    process = calls(0.5)
    assert process.stdout.readline() == "in\n"
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(4)
    os.kill(process.pid, signal.SIGCONT)
    assert process.communicate(timeout=30)[0] == "whole\n"


def test_only_a_machine_that_says_so_has_no_head():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert not is_dead(address)
    assert is_dead(address)
    assert not is_dead("no.such.host.invalid:1")


def test_a_launch_on_a_cluster_whose_head_has_ended_says_so_at_once():
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"no Ray answers at 127.0.0.1:1 \(nothing listens there\)"):
        RayEngine(recycle_after=1, address="127.0.0.1:1")
    assert time.monotonic() - begun < 10


@pytest.mark.slow
def test_a_head_that_does_not_answer_is_waited_for_once():
    """As one that ends, or is stopped, while a launch connects."""
    code = (
        "import sys; from orchestrator.execution.engines.ray_engine import RayEngine;"
        "RayEngine(recycle_after=1, address=sys.argv[1])"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        words = [sys.executable, "-c", code, address]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.stderr.splitlines()[-1].startswith(
        f"orchestrator.errors.UserError: no Ray answers at {address} (Failed to connect"
    )
