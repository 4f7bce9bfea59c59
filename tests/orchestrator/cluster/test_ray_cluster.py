"""Several real raylets on one machine: they die, freeze and come back, and no cell is lost."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
from ray.cluster_utils import Cluster

from orchestrator.config.sweep_file import load
from orchestrator.execution.display import PlainDisplay
from orchestrator.execution.engines.base import InlineEngine
from orchestrator.execution.engines.ray_engine import RayEngine
from orchestrator.execution.launch import Options, launch
from orchestrator.execution.run import Run, Work
from orchestrator.execution.scheduling.hosts import Job
from orchestrator.execution.scheduling.schedule import Rules
from orchestrator.inspection.compare_results import compare
from orchestrator.results import live
from orchestrator.results.store import Store
from tests import ROOT
from tests.builders import a_spec
from tests.orchestrator.execution.sleeper import Instant, Sleeper

pytestmark = pytest.mark.slow
GB = 2**30


class Lab:
    """A Ray cluster of raylets on this machine; the head runs no cells."""

    def __init__(self, *hosts: str) -> None:
        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 1, "num_gpus": 0, "include_dashboard": False},
        )
        self.nodes = {host: self.add(host) for host in hosts}
        self.longest_poll_s = 0.0
        self.over = threading.Event()

    def add(self, host: str):
        return self.cluster.add_node(
            num_cpus=1,
            num_gpus=0,
            resources={"mlx": 1},
            labels={"host": host, "chip": "Apple-M2-Ultra"},
            memory=8 * GB,
            object_store_memory=100 << 20,
        )

    def kill(self, what: str) -> None:
        """SIGKILL a process of the head, where the driver is, too."""
        os.kill(self.cluster.head_node.all_processes[what][0].process.pid, signal.SIGKILL)

    def kill_raylet(self, host: str) -> None:
        os.kill(self.nodes[host].all_processes["raylet"][0].process.pid, signal.SIGKILL)

    def run(self, folder: Path, work: Work) -> Store:
        """A whole launch on the lab's hosts."""
        store = Store(folder)
        store.create()
        with closing(
            RayEngine(recycle_after=25, address=self.cluster.address, node=Sleeper)
        ) as engine:
            polled = engine.poll

            def poll(timeout_s: float, take):
                begun = time.monotonic()
                polled(timeout_s, take)
                self.longest_poll_s = max(self.longest_poll_s, time.monotonic() - begun)

            engine.poll = poll
            Run(store, engine, display(work), work).to_the_end()
        self.over.set()
        return store

    def join(self, host: str) -> None:
        """Add a host from a thread; a raylet dies with the thread that started it."""
        self.nodes[host] = self.add(host)
        self.over.wait(timeout=200)


@pytest.fixture
def lab(monkeypatch):
    """Makes labs; a dead node shows within seconds."""
    for name, value in (("period_ms", 500), ("timeout_ms", 1000), ("failure_threshold", 3)):
        monkeypatch.setenv(f"RAY_health_check_{name}", str(value))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    # a saboteur's thread may start a raylet, but no thread may set a signal's handler
    monkeypatch.setattr("ray._private.utils.set_sigterm_handler", lambda _: None)
    labs: list[Lab] = []

    def make(*hosts: str) -> Lab:
        labs.append(Lab(*hosts))
        return labs[-1]

    yield make
    for made in labs:
        made.cluster.shutdown()


def work(cells: int, **rules: float) -> Work:
    specs = {s.cell_id: s for s in (a_spec(seed=i) for i in range(cells))}
    jobs = tuple(Job(c, 1.0, GB) for c in specs)
    return Work(specs=specs, jobs=jobs, rules=Rules(**rules))


def display(work: Work) -> PlainDisplay:
    shown = PlainDisplay()
    shown.begin(total=len(work.specs), done=0, linked=0)
    return shown


def undisturbed(folder: Path, work: Work) -> Store:
    store = Store(folder)
    store.create()
    Run(store, InlineEngine(Instant), display(work), work).to_the_end()
    return store


def saboteur(act: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


def training(folder: Path, host: str, timeout_s: float = 60) -> dict:
    """Waits for a cell in the midst of training on a host."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        with suppress(FileNotFoundError, json.JSONDecodeError):
            for cell in json.loads((folder / live.FILE).read_text())["running"]:
                if cell["host"] == host and cell["stage"] == "train":
                    return cell
        time.sleep(0.02)
    raise AssertionError(f"no cell trains on {host}")


def demand_whole(store: Store, todo: Work, tmp_path: Path) -> Counter:
    """The tables are those of an undisturbed run; returns outcomes by host."""
    found = compare(undisturbed(tmp_path / "undisturbed", todo), store)
    assert (found.same, found.different, found.only_left) == (len(todo.specs), 0, 0)
    rows = store.rows("attempts")
    ended = Counter(r["cell_id"] for r in rows if r["outcome"] == "ok")
    assert ended == Counter(list(todo.specs)), "a cell ended twice, or not at all"
    assert all(r["ended_at"] for r in rows)
    return Counter((r["host"], r["outcome"]) for r in rows)


def test_a_raylet_killed_in_mid_cell_costs_an_attempt_and_its_host_is_used_again(lab, tmp_path):
    cluster, todo = lab("a", "b"), work(40)

    def sabotage() -> None:
        training(tmp_path / "r", "b")
        cluster.kill_raylet("b")
        time.sleep(6)
        cluster.join("b")

    thread = saboteur(sabotage)
    store = cluster.run(tmp_path / "r", todo)
    thread.join()
    outcomes = demand_whole(store, todo, tmp_path)
    assert outcomes["b", "lost"] >= 1
    lost = [r for r in store.rows("attempts") if r["outcome"] == "lost"]
    assert {r["host"] for r in lost} == {"b"}
    again = max(r["ended_at"] for r in lost)
    assert any(r["host"] == "b" and r["started_at"] > again for r in store.rows("attempts"))
    assert cluster.longest_poll_s < 5


def test_the_drivers_own_raylet_may_die_and_be_started_again(lab, tmp_path):
    """As the keeper on a cluster's head does it; what runs then is lost once, and runs again."""
    cluster, todo = lab("a", "b"), work(20)

    def sabotage() -> None:
        training(tmp_path / "r", "a")
        cluster.kill("raylet")
        cluster.nodes["head again"] = cluster.cluster.add_node(num_cpus=1, num_gpus=0)
        cluster.over.wait(timeout=200)

    thread = saboteur(sabotage)
    store = cluster.run(tmp_path / "r", todo)
    thread.join()
    outcomes = demand_whole(store, todo, tmp_path)
    assert 1 <= outcomes["a", "lost"] + outcomes["b", "lost"] <= 2


HEAD_DIES = """\
import os, sys, time
from pathlib import Path
from orchestrator.errors import UserError
from orchestrator.results.store import Store
from tests.orchestrator.cluster.test_ray_cluster import Lab, saboteur, training, work

folder, cluster, killed = Path(sys.argv[1]), Lab("a", "b"), []

def sabotage():
    while not Store(folder).done():
        time.sleep(0.1)
    training(folder, "a")
    cluster.kill("gcs_server")
    killed.append(time.monotonic())

saboteur(sabotage)
try:
    cluster.run(folder, work(40))
except UserError as error:
    print(error)
    print(f"after {time.monotonic() - killed[0]:.0f} s", flush=True)
cluster.cluster.shutdown()
os._exit(0)
"""
"""In a process of its own: Ray ends a process that has lost its GCS a minute later."""


def test_a_head_that_dies_ends_the_launch_with_a_sentence_and_what_is_finished_is_kept(
    lab, tmp_path
):
    assert lab  # its environment
    done = subprocess.run(
        [sys.executable, "-c", HEAD_DIES, tmp_path / "r"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=250,
    )
    sentence = re.search(
        r"Ray's head at .* has ended; finished cells are kept.*\nafter (\d+) s", done.stdout
    )
    assert sentence, done.stdout + done.stderr
    assert int(sentence[1]) < 40
    assert Store(tmp_path / "r").done()


def test_a_killed_worker_costs_an_attempt_and_nothing_else(lab, tmp_path):
    cluster, todo = lab("a", "b"), work(10)
    thread = saboteur(
        lambda: os.kill(training(tmp_path / "r", "a")["pid"], signal.SIGKILL),
    )
    store = cluster.run(tmp_path / "r", todo)
    thread.join()
    outcomes = demand_whole(store, todo, tmp_path)
    assert outcomes["a", "lost"] == 1
    assert sum(outcomes.values()) == 11
    assert cluster.longest_poll_s < 5


def test_a_host_that_joins_later_is_used(lab, tmp_path):
    cluster, todo = lab("a"), work(20)

    def join() -> None:
        training(tmp_path / "r", "a")
        cluster.join("late")

    thread = saboteur(join)
    store = cluster.run(tmp_path / "r", todo)
    thread.join()
    assert demand_whole(store, todo, tmp_path)["late", "ok"] >= 1


def test_a_frozen_worker_is_abandoned_and_its_cell_ends_all_the_same(lab, tmp_path):
    cluster, todo = lab("a", "b"), work(26, silence_s=20)  # b alone takes 26 s
    frozen: dict[str, int] = {}

    def freeze() -> None:
        frozen.update(training(tmp_path / "r", "a"))
        os.kill(frozen["pid"], signal.SIGSTOP)

    thread = saboteur(freeze)
    store = cluster.run(tmp_path / "r", todo)
    thread.join()
    outcomes = demand_whole(store, todo, tmp_path)
    assert outcomes["a", "abandoned"] == 1
    (row,) = [r for r in store.rows("attempts") if r["outcome"] == "abandoned"]
    assert row["cell_id"] == frozen["cell_id"]
    assert row["message"] == "no sign of life for 20 s"
    assert cluster.longest_poll_s < 5
    assert not psutil.pid_exists(frozen["pid"])


def test_at_the_tail_the_fast_host_takes_over_from_the_slow_one(lab, tmp_path):
    cluster, todo = lab("fast", "slow"), work(4)
    store = cluster.run(tmp_path / "r", todo)
    outcomes = demand_whole(store, todo, tmp_path)
    assert outcomes["fast", "ok"] == 4
    assert outcomes["slow", "cancelled"] + outcomes["slow", "duplicate"] == 1


SWEEP = """
name: cells
model: {model}
grids:
  - {{condition: [sft-only], seed: [1]}}
  - {{condition: [rho-guided], rho_weight: [0.5], margin: [0.1], seed: [1, 2]}}
data: {{sft: starter, size: 180, trap_fraction: 0.2}}
train: {{max_length: 64, grad_accumulation: 2}}
probes: {{train: [factual, toxicity], evaluate: [factual, toxicity]}}
"""


def test_real_cells_give_the_same_bytes_though_a_host_dies(lab, toy, tmp_path):
    path = tmp_path / "cells.yaml"
    path.write_text(SWEEP.format(model=toy))
    sweep, cluster = load(str(path)), lab("a", "b")

    def sabotage() -> None:
        training(tmp_path / "r", "b")
        cluster.kill_raylet("b")

    thread = saboteur(sabotage)
    options = Options(address=cluster.cluster.address)
    summary = launch(sweep, tmp_path / "r", options, PlainDisplay())
    thread.join()
    assert (summary.total, summary.unfinished) == (4, [])
    command = [sys.executable, "-m", "orchestrator", "launch", str(path), "--inline"]
    elsewhere = str(tmp_path / "elsewhere" / "r")
    alone = subprocess.run([*command, "--results", elsewhere], check=False)
    assert alone.returncode == 0
    found = compare(Store(tmp_path / "elsewhere" / "r"), Store(tmp_path / "r"))
    assert (found.same, found.different, found.only_left) == (4, 0, 0)
    rows = Store(tmp_path / "r").rows("attempts")
    assert [r["host"] for r in rows if r["outcome"] == "lost"] == ["b"]
    assert sum(r["outcome"] == "ok" for r in rows) == 4
