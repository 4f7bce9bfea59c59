"""Name, chip and versions of this machine, and which chips compute the same bits."""

import importlib.metadata
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

from tasks.contract.cell import Machine
from tasks.model import children


@cache
def describe() -> Machine:
    """Host, chip and versions, without loading MLX; asked once in a process."""
    return Machine(
        host=platform.node(),
        chip=chip(),
        os=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        mlx=importlib.metadata.version("mlx"),
        mlx_lm=importlib.metadata.version("mlx-lm"),
        backend="metal" if sys.platform == "darwin" else "cpu",
    )


def chip() -> str:
    """Name of the processor, e.g. `Apple M2 Ultra`."""
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        own = children.environment()
        done = subprocess.run(command, capture_output=True, text=True, env=own, check=True)
        return done.stdout.strip()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def family(chip: str) -> str:
    """Chips that compute the same bits: `Apple M2` of `Apple M2 Ultra`; others stand alone."""
    words = chip.split()
    return " ".join(words[:2]) if words[:1] == ["Apple"] else chip
