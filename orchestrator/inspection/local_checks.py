"""Checks whether this machine can run a sweep; every finding says what to do."""

import importlib.metadata
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from orchestrator.visible import last_line
from tasks.contract.cell import NodeError
from tasks.data.probe_packs import PACKS, load_pack
from tasks.model import blas, children
from tasks.model.machine import describe, gpu_memory
from tasks.sources.declared import Delivery
from tasks.sources.paths import nearest

OK, NOTE, PROBLEM = "ok", "note", "problem"
ENOUGH_DISK = 5 << 30
MATMUL = """
import json, time
from tasks.model.blas import prefer_fast_blas
blas = prefer_fast_blas()
import mlx.core as mx
def speed(rows, product, *arrays):
    mx.eval(*arrays); mx.eval(product())
    times = []
    for _ in range(3):
        start = time.perf_counter(); mx.eval(product()); times.append(time.perf_counter() - start)
    return 2 * rows * 1024**2 / sorted(times)[1] / 1e9
w = mx.random.normal((1024, 1024), key=mx.random.key(0))
found = {"float32": speed(1024, lambda: w @ w, w)}
for kind in (mx.float16, mx.bfloat16):
    a = w.astype(kind)
    found[str(kind).removeprefix("mlx.core.")] = speed(128, lambda: a[:128] @ a, a)
q = mx.quantize(w, group_size=64, bits=4)
found["4-bit"] = speed(32, lambda: mx.quantized_matmul(w[:32], *q, group_size=64, bits=4), w, *q)
print(json.dumps({"blas": blas, "speeds": found}))
"""
SLOW = 2.0
"""A type of weights is named slow if float32 is so many times as fast."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `rho-sweep doctor`.

    Attributes:
        level: `ok`, `note` or `problem`.
        topic: What was checked, e.g. `memory`.
        text: What was found and, unless all is well, what to do.
    """

    level: str
    topic: str
    text: str


def examine(results: Path, matmul: str = MATMUL) -> Iterator[Finding]:
    """Check everything that a launch needs on this machine.

    Args:
        results: The folder that results are to be written to; it need not exist.
        matmul: A Python script that times MLX and prints as JSON `blas`, the name of the library
            that it loaded, and `speeds`, type of the weights -> GFLOP/s.
    """
    machine = describe()
    yield Finding(OK, "machine", f"{machine.chip}, {machine.os}, {os.cpu_count()} cores")
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("mlx", "mlx-lm", "ray", "pyarrow")
    )
    yield Finding(OK, "versions", f"python {platform.python_version()}, {versions}")
    memory = psutil.virtual_memory()
    text = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free"
    if most := gpu_memory():
        text += f"; its GPU may use {most / 2**30:.1f}"
    if memory.available < 1 << 30:
        yield Finding(PROBLEM, "memory", f"{text}; end other programs first")
    else:
        yield Finding(OK, "memory", text)
    folder = nearest(results)
    free = shutil.disk_usage(folder).free
    if not os.access(folder, os.W_OK):
        yield Finding(PROBLEM, "results", f"{folder} is read-only; use --results DIR")
    else:
        level = OK if free > ENOUGH_DISK else NOTE
        yield Finding(level, "results", f"{free / 2**30:.0f} GiB free under {folder}")
    yield from _mlx(matmul)
    for name in (p.name for p in PACKS if p.delivery is Delivery.INSTALLED):
        try:
            text = f"pack {name} is installed, {len(load_pack(name, download=False))} pairs"
            yield Finding(OK, "probes", text)
        except NodeError as error:
            yield Finding(NOTE, "probes", f"{error} (only sweeps with pack {name} need it)")


def _mlx(matmul: str) -> Iterator[Finding]:
    """Run the script in a process of its own: the driver never loads MLX."""
    done = children.ran(children.python("-c", matmul))
    if done.returncode != 0:
        line = last_line(done.stderr, f"exit code {done.returncode}")
        yield Finding(PROBLEM, "mlx", f"does not run: {line}; install again: make venv")
        return
    found = json.loads(done.stdout)
    speeds: dict[str, float] = found["speeds"]
    speed = speeds.pop("float32")
    yield Finding(OK, "mlx", f"runs; float32 matmul {speed:.0f} GFLOP/s in one process")
    slow = [f"{kind} {speed / s:.0f} times" for kind, s in speeds.items() if s * SLOW < speed]
    if slow:
        text = f"slower than float32 here: {', '.join(slow)}; use models in float32"
        yield Finding(NOTE, "types", text)
    else:
        yield Finding(OK, "types", "no type of weights is much slower than float32")
    if not sys.platform.startswith("linux"):
        return
    if found["blas"]:
        yield Finding(OK, "blas", f"{found['blas']} is loaded before MLX")
    else:
        names = " nor ".join(b.name for b in blas.KNOWN)
        yield Finding(
            NOTE,
            "blas",
            f"neither {names} is installed; MLX uses the reference BLAS, about 20 times slower. "
            f"Debian: apt-get install {blas.DEBIAN_PACKAGE}; x86-64 without root: {blas.EXTRA}",
        )
