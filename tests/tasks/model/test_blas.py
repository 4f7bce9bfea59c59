"""Which BLAS serves MLX's products on Linux."""

import ctypes
import importlib.metadata
import json
import os
import subprocess
import sys

import pytest

from tasks.model import blas, machine

BITS = """
import ctypes, json, sys
real = ctypes.CDLL
def without_openblas(name, *rest):
    if name and "openblas" in str(name):
        raise OSError(name)
    return real(name, *rest)
ctypes.CDLL = without_openblas
from tasks.model.blas import prefer_fast_blas
name = prefer_fast_blas()
import mlx.core as mx
a = mx.random.normal((200, 300), key=mx.random.key(0))
found = []
for skip in range(8):  # arrays that begin at any place in memory
    moved = mx.concatenate([mx.zeros(skip), a.flatten()])[skip:].reshape(a.shape)
    found.append(mx.sum(moved @ moved.T * mx.arange(200)).item())
print(json.dumps([name, found]))
"""


@pytest.fixture
def installed(monkeypatch):
    """Pretend a Linux where the libraries named here load."""
    names: set[str] = set()

    def load(library, mode):
        assert mode == ctypes.RTLD_GLOBAL
        if library not in names:
            raise OSError(library)

    known = tuple(
        blas.Blas(
            name=b.name,
            find=lambda name=b.name: name if name in names else None if name == "MKL" else "gone",
            settings=b.settings,
        )
        for b in blas.KNOWN
    )
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(blas, "KNOWN", known)
    monkeypatch.setattr(blas, "_loaded", {})
    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.delitem(sys.modules, "mlx.core", raising=False)
    for variable in (v for b in known for v in b.settings):
        monkeypatch.delenv(variable, raising=False)
    return names


@pytest.mark.parametrize(
    ("there", "used"),
    [({"OpenBLAS", "MKL"}, "OpenBLAS"), ({"MKL"}, "MKL"), (set(), None)],
)
def test_openblas_comes_before_mkl_and_that_before_mlx_s_own(installed, there, used):
    installed |= there
    assert blas.prefer_fast_blas() == used
    assert machine.describe().backend == (f"cpu, {used}" if used else "cpu")
    if used == "MKL":
        assert os.environ["MKL_THREADING_LAYER"] == "SEQUENTIAL"


def test_settings_of_the_user_are_kept(installed, monkeypatch):
    installed.add("OpenBLAS")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    blas.prefer_fast_blas()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "2"


def test_once_mlx_is_loaded_it_is_too_late(installed, monkeypatch):
    installed.add("OpenBLAS")
    monkeypatch.setitem(sys.modules, "mlx.core", None)
    assert blas.prefer_fast_blas() is None


def test_mkl_gives_the_same_bits_wherever_an_array_lies():
    try:
        importlib.metadata.version("mkl")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the extra `blas` is not installed")
    done = subprocess.run([sys.executable, "-c", BITS], capture_output=True, text=True, check=True)
    name, sums = json.loads(done.stdout)
    assert name == "MKL"
    assert len(set(sums)) == 1
