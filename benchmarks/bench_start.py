"""CPU time of commands from start to end, beside `python -c pass`: shows what imports cost.

    make bench-start

Each command runs `--repeats` times, in a new process each time; the commands take turns. The
median of user and system seconds is shown. `launch` is counted up to its first line, in a process
that ends there.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.builders import a_result, launched

SWEEP = """\
name: s
model: m
grid:
  condition: [rho-guided]
  rho_weight: [0.1]
  margin: [0.1]
  seed: [1, 2]
"""
NOTHING = "python -c pass"
FIRST_LINE = """\
import os, sys
from orchestrator.execution import display
display.PlainDisplay.begin = lambda *_, **__: os._exit(0)
from orchestrator.__main__ import main
"""


def commands(folder: Path) -> dict[str, list[str]]:
    """Name to print -> command line of the process that is measured."""
    store, expansion = launched(folder / "s", SWEEP)
    store.commit(a_result(expansion.all[0]), attempts=1, ray=None)
    results = str(store.folder)
    python, sweep = sys.executable, [sys.executable, "-m", "orchestrator"]
    new = ["launch", "quickstart", "--results", str(folder / "new")]
    return {
        NOTHING: [python, "-c", "pass"],
        "version": [*sweep, "version"],
        "presets": [*sweep, "presets"],
        "--help": [*sweep, "--help"],
        "launch --help": [*sweep, "launch", "--help"],
        "stop": [*sweep, "stop", results],
        "status": [*sweep, "status", results],
        "logs": [*sweep, "logs", results, "baseline"],
        "plan quickstart": [*sweep, "plan", "quickstart", "--results", str(folder / "q")],
        "launch, to its first line": [python, "-c", FIRST_LINE, *new],
    }


def cpu_s(command: list[str]) -> float:
    """User and system seconds of a process and its children."""
    before = os.times()
    subprocess.run(command, capture_output=True, check=True)
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats: int = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        measured = commands(Path(folder))
        seconds: dict[str, list[float]] = {name: [] for name in measured}
        for _ in range(repeats):
            for name, command in measured.items():
                seconds[name].append(cpu_s(command))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print("| command | CPU seconds | times `python -c pass` |\n|---|---|---|")
    for name, median in medians.items():
        print(f"| {name} | {median:.2f} | {median / medians[NOTHING]:.0f} |")


if __name__ == "__main__":
    main()
