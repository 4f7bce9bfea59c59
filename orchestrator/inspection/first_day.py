"""`rho-sweep doctor --full`: what only the machine itself can tell, in one file to send.

python -m orchestrator.inspection.first_day < spec.json      runs the cell and prints JSON
"""

import getpass
import importlib.metadata
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator.cells.roofline import CHIPS, LAUNCHES, Chip, Effort
from orchestrator.execution.gpu_faults import gpu_fault
from orchestrator.inspection.macs import asked_here, findings
from orchestrator.visible import last_line
from tasks.contract.cell import CellSpec, digest_of
from tasks.model import children
from tasks.model.machine import chip, gpu_memory, system

TOO_MUCH = 1.25
"""Times the estimate; a quarter is what it promises."""
LONGEST_S = 300
"""For one part; all of them take a minute or two."""
PACKAGES = ("rho-sweep", "mlx", "mlx-lm", "ray")
MLX_PARTS = "tasks.training.first_day"
Part = tuple[str, str, tuple[str, ...]]
PARTS: tuple[Part, ...] = (
    ("device", MLX_PARTS, ("device",)),
    ("cell", "orchestrator.inspection.first_day", ()),
    ("cell_again", "orchestrator.inspection.first_day", ()),
    ("bits", MLX_PARTS, ("bits",)),
    ("bits_again", MLX_PARTS, ("bits",)),
    ("parity", MLX_PARTS, ("parity",)),
    ("step", MLX_PARTS, ("step",)),
)
"""(name, module, arguments); each has a process of its own, so that the rest outlives one."""
BITS = ("adapter_sha256", "scores_sha256", "gradients")


def examine(cell: CellSpec, memory: int | None, say: Callable[[str], None]) -> dict[str, Any]:
    """Everything, ready for a file.

    Args:
        cell: The canary's.
        memory: The estimate of its peak, bytes.
        say: Is told which part begins.
    """
    found: dict[str, Any] = {
        "chip": chip(),
        "system": system(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "gpu_memory_bytes": gpu_memory(),
        "memory_estimate_bytes": memory,
        "findings": [asdict(f) for f in findings(asked_here(), kept_awake=True)],
    }
    spec = json.dumps(asdict(cell)).encode()
    for name, module, arguments in PARTS:
        say(name)
        found[name] = _ran(module, arguments, spec)
    if gpu := CHIPS.get(found["chip"]):
        steps = found["step"].items()
        found["step"] = {k: v | _full_speed(v, gpu) if isinstance(v, dict) else v for k, v in steps}
    found["problems"] = list(_problems(found))
    return found


def _full_speed(step: dict[str, Any], gpu: Chip) -> dict[str, float]:
    """Seconds of a pass with its gradient at full speed, which reads all weights twice."""
    effort = Effort(
        flops=step["operations"],
        bytes=2 * step["weight_bytes"],
        launches=LAUNCHES * step["layers"],
    )
    least_s = effort.least_s(gpu)
    return {"full_speed_s": least_s, "share_of_full_speed": least_s / step["seconds"]}


def _problems(found: dict[str, Any]) -> Iterator[str]:
    """What no machine should show, one line each; checked by `doctor --full` for its exit code."""
    for name, *_ in PARTS:
        if "error" in found[name]:
            meaning = found[name].get("meaning")
            yield f"{name}: {found[name]['error']}" + (f" ({meaning})" if meaning else "")
    for name in ("cell", "bits"):
        once, again = found[name], found[f"{name}_again"]
        changed = [k for k in BITS if k in once and k in again and once[k] != again[k]]
        if changed:
            yield f"{name}: other bits the second time ({', '.join(changed)})"
    for kind, path in found["parity"].items():
        if str(path).startswith("plain"):
            yield f"parity: {kind} is {path}"
    peak, memory = found["cell"].get("memory_peak_bytes"), found["memory_estimate_bytes"]
    if peak and memory and peak > TOO_MUCH * memory:
        yield f"memory: the cell took {peak} bytes, {memory} were estimated"


def _ran(module: str, arguments: tuple[str, ...], spec: bytes) -> dict[str, Any]:
    """What a part printed, or `error` and what it may mean."""
    started = time.perf_counter()
    try:
        done = subprocess.run(
            children.python("-m", module, *arguments),
            input=spec,
            capture_output=True,
            env=children.environment(),
            timeout=LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {LONGEST_S} s"}
    seconds = round(time.perf_counter() - started, 1)
    with suppress(ValueError, IndexError):
        if done.returncode == 0:
            return {**json.loads(done.stdout.splitlines()[-1]), "with_start_s": seconds}
    said = done.stderr.decode(errors="replace").strip()
    error = f"exit code {done.returncode}: {last_line(said)}"
    found = {"error": error, "with_start_s": seconds}
    return found | ({"meaning": meaning} if (meaning := gpu_fault(said[-4000:])) else {})


def without_names(text: str) -> str:
    """A text without the names of this machine, its user and the home folder."""
    names = {str(Path.home()): "~", platform.node(): "HOST"}
    with suppress(OSError, KeyError):
        names[getpass.getuser()] = "USER"
    for name, word in names.items():
        if len(name) > 1:
            text = text.replace(json.dumps(name)[1:-1], word)
    return text


def run_cell(cell: CellSpec) -> dict[str, Any]:
    """The cell in this process: digests and measurements.

    Raises:
        RuntimeError: It fails or diverges.
    """
    from orchestrator.execution.engines.node import trained_here

    outcome, adapter = trained_here(cell)
    measured = asdict(outcome.measurements)
    wanted = ("path", "matmul_peak", "train_mfu", "score_mfu", "memory_peak_bytes")
    more = ("load_s", "prepare_s", "train_s", "score_s", "train_steps")
    return {
        "adapter_sha256": adapter,
        "scores_sha256": digest_of([asdict(row) for row in outcome.probe_scores]),
        **{key: measured[key] for key in (*wanted, *more)},
    }


def main() -> None:
    """Run the cell of standard input."""
    try:
        print(json.dumps(run_cell(CellSpec.from_dict(json.load(sys.stdin)))))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
