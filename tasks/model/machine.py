"""Name, chip and versions of this machine, and which chips compute the same bits."""

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from tasks.contract.cell import Machine, digest_of
from tasks.model import children
from tasks.model.blas import in_use

LARGE_MAC = 36 << 30
"""Bytes of memory above which macOS gives the GPU the larger share."""


def describe() -> Machine:
    """Host, chip and versions, without loading MLX; asked once in a process.

    A CPU's backend names the BLAS that this process has loaded, if any.
    """
    if sys.platform == "darwin":
        return with_backend("metal")
    return with_backend(f"cpu, {blas}" if (blas := in_use()) else "cpu")


@cache
def with_backend(backend: str) -> Machine:
    """This machine, as `describe` has it."""
    return Machine(
        host=platform.node(),
        chip=chip(),
        os=system(),
        python=platform.python_version(),
        mlx=importlib.metadata.version("mlx"),
        mlx_lm=importlib.metadata.version("mlx-lm"),
        backend=backend,
    )


def ask(*command: str) -> str:
    """What a tool of the system prints; nothing if it is missing, fails or hangs."""
    own = children.environment()
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            env=own,
            check=True,
            timeout=20,
        ).stdout
    return ""


@cache
def machine_id() -> str:
    """The same for this machine whatever the network calls it; tells nothing else about it.

    On Linux two containers of one image have two: their processes have numbers of their own.
    """
    if sys.platform == "darwin":
        said = ask("ioreg", "-rd1", "-c", "IOPlatformExpertDevice")
        found = re.search(r'"IOPlatformUUID" = "([^"]+)"', said)
        known = found[1] if found else ""
    else:
        known = ""
        with suppress(OSError):
            names = Path("/proc/self/ns/pid").readlink()
            known = f"{Path('/etc/machine-id').read_text()} {names}"
    return digest_of(["machine", known or platform.node()])[:16]


def gpu_memory() -> int | None:
    """Bytes that a Mac's GPU may use, out of the memory it shares with the CPU; None elsewhere.

    What Metal calls the recommended working set, which MLX cannot exceed for long: the share that
    `iogpu.wired_limit_mb` names, or else two thirds of a small Mac and three quarters of a large
    one, as public reports have it.
    """
    if sys.platform != "darwin":
        return None
    said = {key: ask("sysctl", "-n", key).strip() for key in ("hw.memsize", "iogpu.wired_limit_mb")}
    total, limit = (int(text) if text.isdecimal() else 0 for text in said.values())
    if not total:
        return None
    if limit:
        return min(total, limit << 20)
    return total * 3 // 4 if total > LARGE_MAC else total * 2 // 3


def default_slots() -> int:
    """Cells at once on this machine: one on a Mac, which has one GPU; otherwise one per core."""
    if sys.platform == "darwin":
        return 1
    return max(1, len(os.sched_getaffinity(0)))


def system() -> str:
    """Name and release of the operating system, e.g. `Darwin 24.5.0`, which is macOS 15.5."""
    return f"{platform.system()} {platform.release()}"


def chip() -> str:
    """Name of the processor, e.g. `Apple M2 Ultra`."""
    if sys.platform == "darwin":
        return ask("sysctl", "-n", "machdep.cpu.brand_string").strip() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def family(chip: str, system: str) -> str:
    """Machines that compute the same bits, given one version of MLX.

    On a Mac they have one chip, the Ultra apart from the Max, for MLX picks kernels by the size of
    the GPU; and one version of macOS, which compiles the kernels.

    Args:
        chip: e.g. `Apple M2 Ultra`.
        system: As `Machine.os`, e.g. `Darwin 24.5.0`; empty if not known.
    """
    return f"{chip}, {system}" if system.startswith("Darwin") else chip
