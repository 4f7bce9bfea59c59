"""`rho-sweep launch --cluster` from the laptop, and everything that may go wrong meanwhile."""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from benchmarks.chaos.faults import shut_lid
from benchmarks.chaos.rounds import Scene
from benchmarks.chaos.sites import InLab
from tests.lab.machines import ASK_S, LAPTOP, Lab, Machine, wait_until
from tests.orchestrator.stress.test_score import MORE, a_pack

SEEDS = 30
"""61 cells."""
EPOCHS = 14
"""So that the sweep lasts longer than all faults together."""
CHECKPOINT_S = 3
"""So that a cell that is lost goes on in its middle."""
pytestmark = pytest.mark.timeout(2400)

SWEEP = """\
name: lab
model: tiny
grid:
  condition: [sft-only, rho-guided]
  rho_weight: [0.2]
  margin: [0.1]
  seed: [{seeds}]
data: {{sft: starter, size: 48}}
probes: {{train: [factual, toxicity], evaluate: [factual, toxicity]}}
train: {{max_length: 64, learning_rate: 1e-3, epochs: {epochs}}}
run: {{checkpoint_s: {checkpoint_s}}}
"""


def home(lab: Lab) -> Path:
    return lab.laptop.folder / "root"


def write_sweep(lab: Lab, seeds: int, epochs: int = 1) -> str:
    numbers = ", ".join(map(str, range(1, seeds + 1)))
    text = SWEEP.format(seeds=numbers, epochs=epochs, checkpoint_s=CHECKPOINT_S)
    (home(lab) / "lab.yml").write_text(text)
    return "lab.yml"


def status(lab: Lab, folder: str) -> dict:
    return json.loads(lab.laptop.rho_sweep("status", folder, "--json").stdout)


def wait_for_end(lab: Lab, folder: str, timeout_s: float = 300) -> dict:
    wait_until("the launch ends", lambda: status(lab, folder)["launch"] is None, timeout_s, ASK_S)
    return status(lab, folder)


def compared(lab: Lab, left: str, right: str) -> str:
    return lab.laptop.rho_sweep("compare", left, right).stdout


def later(lab: Lab, folder: str) -> dict[tuple[str, str], float]:
    """Cell and behaviour -> rho of what was scored after the sweep."""
    scores = rows(lab, folder, "scores")
    return {(r["cell_id"], r["behavior"]): r["rho"] for r in scores if r["pack"]}


def undisturbed(lab: Lab, sweep: str, name: str) -> str:
    """The same sweep on the laptop alone, beside no results that it could take over."""
    folder = f"alone/{name}/lab"
    lab.laptop.rho_sweep("launch", sweep, "--inline", "--results", folder, timeout_s=1500)
    return folder


@pytest.mark.cluster
def test_the_laptop_may_leave_while_the_sweep_goes_on(lab, up):
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
    assert "7 same, 0 different, 0 only" in compared(
        lab, "results/away", undisturbed(lab, sweep, "away")
    )
    hosts = {r["host"] for r in attempts(lab, "results/away")}
    assert len(hosts) > 1
    a_pack(home(lab) / "pairs/more.jsonl", *MORE)
    for folder, where in (("results/away", ("--cluster", up)), ("alone/away/lab", ("--inline",))):
        words = ("score", folder, "--pack", "pairs/more.jsonl", *where)
        assert "7 of 7 units" in lab.laptop.rho_sweep(*words, timeout_s=300).stdout
    there, here = (later(lab, folder) for folder in ("results/away", "alone/away/lab"))
    assert there == here
    assert len(there) == 14


@pytest.mark.cluster
def test_a_head_that_dies_ends_the_launch_and_the_next_one_goes_on(lab, up):
    """First while the launch connects, then with the baseline done and cells in their middle."""
    folder = "results/headless"
    words = ["launch", write_sweep(lab, 2, 10), "--cluster", up, "--results", folder]
    mac1 = lab.hosts[0]
    there = mac1.folder / "root/.rho-sweep" / folder
    kept = []
    for what, begun in (
        ("the launch begins", (there / "sweep.yaml").is_file),
        ("a cell is done", lambda: any((there / "cells").glob("*.arrow"))),
    ):
        with ThreadPoolExecutor() as beside:
            done = beside.submit(lab.laptop.rho_sweep, *words, timeout_s=200, check=False)
            wait_until(what, begun, 120)
            kill(mac1, "gcs_server")
            ended = done.result()
        assert ended.returncode == 2, ended.stderr
        assert "of 5 cells open, and results/" in ended.stderr
        assert "launch.log with: error: " in ended.stderr
        kept.append(status(lab, folder)["ok"])
        lab.laptop.rho_sweep("cluster", "up", up, timeout_s=200)
    assert "5 of 5 cells scored" in lab.laptop.rho_sweep(*words, timeout_s=300).stdout
    ended_well = [a for a in attempts(lab, folder) if a["outcome"] == "ok"]
    assert len(ended_well) == 5
    assert kept[1] >= 1


@pytest.mark.cluster
def test_a_launch_whose_laptop_and_host_slept_at_once_comes_to_its_end(lab, up):
    sweep = write_sweep(lab, 2, 7)  # no two alike: one would take over the other's cells
    site, results = InLab(lab, up), home(lab) / "results/asleep"
    played = Scene(
        site=site, folder=home(lab), sweep=sweep, results=results, words=[], rng=Random(1)
    )
    launch = played.launch()
    wait_until("the launch is followed", lambda: "started: " in launch.printed, 120)
    with ThreadPoolExecutor() as beside:
        list(beside.map(lambda name: shut_lid(name)(played), (LAPTOP, "mac2")))
    assert launch.wait(240), launch.printed
    assert launch.code == 0, launch.printed


@pytest.mark.lab
def test_a_sweep_survives_every_fault(lab, up, capsys):
    sweep, folder = write_sweep(lab, SEEDS, EPOCHS), "results/faults"
    mac1, mac2, mac3 = lab.hosts

    def launch() -> None:
        lab.laptop.rho_sweep(
            "launch", sweep, "--cluster", up, "--results", folder, "--detach", timeout_s=180
        )

    faults: dict[str, float] = {}

    def fault(name: str, act, timeout_s: float = 120) -> None:
        """Do it in the middle of the sweep; count the seconds until another cell is committed."""
        try:
            wait_until("cells run", lambda: len(status(lab, folder)["running"]) > 1, 120, ASK_S)
        except AssertionError as error:
            log = (mac1.folder / "root/.rho-sweep" / folder / "launch.log").read_text()
            raise AssertionError(f"{name}: {status(lab, folder)}\n{log[-3000:]}") from error
        before = status(lab, folder)["ok"]
        started = time.monotonic()
        act()
        wait_until(
            f"{name}: cells end", lambda: status(lab, folder)["ok"] > before, timeout_s, ASK_S
        )
        faults[name] = time.monotonic() - started

    def cut(machine: Machine, seconds: float) -> None:
        lab.cut(machine.name)
        time.sleep(seconds)
        lab.mend(machine.name)

    def kill_gcs() -> None:
        kill(mac1, "gcs_server")
        wait_until("the driver ends", lambda: status(lab, folder)["launch"] is None, 150, ASK_S)
        lab.laptop.rho_sweep("cluster", "up", up, timeout_s=200)
        launch()

    def kill_driver() -> None:
        kill(mac1, "orchestrator launch")
        launch()

    launch()
    fault("SIGKILL of a worker", lambda: kill(mac2, "ray::Worker"))
    fault("SIGKILL of a raylet", lambda: kill(mac3, "raylet/raylet"))
    fault("SIGKILL of the head's GCS", kill_gcs, 300)
    fault("link cut of 25 s", lambda: cut(mac2, 25))
    fault("SIGKILL of the driver", kill_driver)
    fault("link cut of 60 s", lambda: cut(mac3, 60))
    found = wait_for_end(lab, folder, 400)
    tried = attempts(lab, folder)
    resumed, moved = resumptions(rows(lab, folder, "cells"), tried)
    with capsys.disabled():
        lines = [
            f"  {name}: {seconds:.0f} s to the next finished cell\n"
            for name, seconds in faults.items()
        ]
        lines.append(f"  {len(resumed)} cells resumed in their middle, {len(moved)} elsewhere\n")
        print("\n" + "".join(lines), end="")
    assert found["ok"] == found["total"] == 2 * SEEDS + 1
    assert f"{2 * SEEDS + 1} same, 0 different, 0 only" in compared(
        lab, folder, undisturbed(lab, sweep, "faults")
    )
    ended_well = Counter(a["cell_id"] for a in tried if a["outcome"] == "ok")
    assert set(ended_well.values()) == {1}
    assert "lost" in {a["outcome"] for a in tried}
    assert moved


def resumptions(cells: list[dict], tried: list[dict]) -> tuple[set[str], set[str]]:
    """Cells that went on from a checkpoint, and those of them that did so on another host."""
    resumed = {c["cell_id"] for c in cells if c["resumed_steps"]}
    hosts = {
        cell: [a["host"] for a in sorted(tried, key=lambda a: a["attempt"]) if a["cell_id"] == cell]
        for cell in resumed
    }
    return resumed, {cell for cell, seen in hosts.items() if seen[-1] not in seen[:-1]}


def kill(machine: Machine, words: str) -> None:
    """SIGKILL one process whose command line has these words."""
    lines = machine.run("ps", "-eo", "pid=,args=").stdout.splitlines()
    pids = [line.split()[0] for line in lines if words in line and "ps -eo" not in line]
    assert pids, f"{machine.name}: no {words} among\n" + "\n".join(lines)
    machine.run("kill", "-9", pids[0])


def attempts(lab: Lab, folder: str) -> list[dict]:
    return rows(lab, folder, "attempts")


def rows(lab: Lab, folder: str, table: str) -> list[dict]:
    script = (
        "import json, sys; from pathlib import Path; from orchestrator.results.store import Store;"
        f"print(json.dumps(Store(Path({folder!r})).rows({table!r}), default=str))"
    )
    return json.loads(lab.laptop.python(script).stdout)
