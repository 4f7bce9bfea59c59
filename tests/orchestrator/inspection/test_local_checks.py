"""The doctor looks at this machine and says what to do."""

import subprocess
import sys

import pytest

from orchestrator.inspection.local_checks import NOTE, OK, PROBLEM, examine

SCRIPT = """print('{"blas": null, "speeds": {"float32": 9.0, "bfloat16": 2.0, "4-bit": 8.0}}')"""


def test_types_that_are_slow_here_are_named_with_their_factor(tmp_path):
    (found,) = (f for f in examine(tmp_path, matmul=SCRIPT) if f.topic == "types")
    assert found.level == NOTE
    assert "bfloat16 4 times" in found.text
    assert "4-bit" not in found.text


@pytest.mark.slow
def test_every_topic_is_looked_at_with_a_real_matmul(tmp_path):
    found = {f.topic: f for f in examine(tmp_path)}
    assert {"machine", "versions", "memory", "results", "mlx", "types", "probes"} <= found.keys()
    assert found["mlx"].level == OK
    assert "GFLOP/s" in found["mlx"].text
    if sys.platform.startswith("linux"):
        assert (" is loaded before MLX" in found["blas"].text) == (found["blas"].level == OK)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="macOS brings its own BLAS")
def test_a_missing_openblas_names_the_package(tmp_path):
    found = {f.topic: f for f in examine(tmp_path, matmul=SCRIPT)}
    assert found["blas"].level == NOTE
    assert "apt-get install libopenblas0-pthread" in found["blas"].text
    assert 'pip install "rho-sweep[blas]"' in found["blas"].text


def test_an_mlx_that_does_not_run_is_a_problem(tmp_path):
    found = {f.topic: f for f in examine(tmp_path, matmul="raise SystemExit('no MLX here')")}
    assert found["mlx"].level == PROBLEM
    assert "no MLX here" in found["mlx"].text
    assert "blas" not in found


def test_mlx_works_without_openblas_and_gives_close_numbers():
    script = (
        "import ctypes, sys\n"
        "real = ctypes.CDLL\n"
        "def missing(name, *rest):\n"
        "    if name and ('openblas' in str(name) or 'mkl' in str(name)): raise OSError(name)\n"
        "    return real(name, *rest)\n"
        "if sys.argv[1] == 'hide': ctypes.CDLL = missing\n"
        "from tasks.model.blas import prefer_fast_blas\n"
        "print(prefer_fast_blas())\n"
        "import mlx.core as mx\n"
        "a = mx.arange(64 * 64, dtype=mx.float32).reshape(64, 64) / 4096\n"
        "print(float((a @ a).sum()))\n"
    )
    plain, fast = (
        subprocess.run(
            [sys.executable, "-c", script, how], capture_output=True, text=True, check=True
        ).stdout.split()
        for how in ("hide", "show")
    )
    assert plain[0] == "None"
    assert abs(float(plain[1]) - float(fast[1])) < 1e-2
