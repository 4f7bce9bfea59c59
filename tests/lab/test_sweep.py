"""`rho-sweep launch --cluster` from the laptop, and everything that may go wrong meanwhile."""

import json
import time
from pathlib import Path

import pytest

from tests.lab.machines import Lab, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

SWEEP = """\
name: lab
model: tiny
grid:
  condition: [sft-only, rho-guided]
  rho_weight: [0.2]
  margin: [0.1]
  seed: [{seeds}]
data: {{sft: starter, size: {size}}}
probes: {{train: [factual, toxicity], evaluate: [factual, toxicity]}}
train: {{max_length: 64, learning_rate: 1e-3}}
"""


def home(lab: Lab) -> Path:
    return lab.laptop.folder / "root"


def write_sweep(lab: Lab, seeds: int, size: int = 16) -> str:
    numbers = ", ".join(map(str, range(1, seeds + 1)))
    (home(lab) / "lab.yml").write_text(SWEEP.format(seeds=numbers, size=size))
    return "lab.yml"


def status(lab: Lab, folder: str) -> dict:
    return json.loads(lab.laptop.rho_sweep("status", folder, "--json").stdout)


def wait_for_end(lab: Lab, folder: str, timeout_s: float = 300) -> dict:
    wait_until("the launch ends", lambda: status(lab, folder)["launch"] is None, timeout_s)
    return status(lab, folder)


def compared(lab: Lab, left: str, right: str) -> str:
    return lab.laptop.rho_sweep("compare", left, right).stdout


@pytest.fixture(scope="module")
def local(lab) -> str:
    """The same sweeps run undisturbed on the laptop; 25 cells."""
    lab.laptop.rho_sweep(
        "launch", write_sweep(lab, 12), "--inline", "--results", "results/local", timeout_s=400
    )
    return "results/local"


def test_the_laptop_may_leave_while_the_sweep_goes_on(lab, up, local):
    sweep = write_sweep(lab, 3)
    done = lab.laptop.rho_sweep(
        "launch", sweep, "--cluster", up, "--results", "results/away", "--detach", timeout_s=120
    )
    assert "started: process" in done.stderr
    lab.cut("laptop")
    time.sleep(5)
    lab.mend("laptop")
    found = wait_for_end(lab, "results/away")
    assert found["ok"] == found["total"] == 7
    assert "7 same, 0 different" in compared(lab, "results/away", local)
    hosts = {r["host"] for r in attempts(lab, "results/away")}
    assert len(hosts) > 1


def attempts(lab: Lab, folder: str) -> list[dict]:
    script = (
        "import json, sys; from pathlib import Path; from orchestrator.store import Store;"
        f"print(json.dumps(Store(Path({folder!r})).rows('attempts'), default=str))"
    )
    return json.loads(lab.laptop.python(script).stdout)
