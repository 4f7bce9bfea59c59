"""Fixtures: the lab, and clusters of Ray in it."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from orchestrator.cluster.wheel import this_version
from tests.lab import machines
from tests.lab.machines import Lab

CLUSTER = """\
name: {name}
user: root
python: {python}
hosts:
  - {{name: mac1, address: 10.77.0.1, chip: M2 Ultra, memory: 2 GB}}
  - {{name: mac2, address: mac2, slots: 2, memory: 1 GB}}
  - {{name: mac3, address: 10.77.0.3, labels: {{rack: left}}}}
"""


@pytest.fixture(scope="session")
def lab(tmp_path_factory) -> Iterator[Lab]:
    """The lab: a laptop and three hosts, with this version installed."""
    reason = machines.why_not()
    if reason is not None:
        pytest.skip(reason)
    # all is read-only inside: what only hosts import would be compiled anew by each process there
    subprocess.run([sys.executable, "-c", "import ray.scripts.scripts"], check=True)
    with machines.running(tmp_path_factory.mktemp("lab")) as found:
        for host in found.hosts:
            host.install(this_version().environment)
        yield found


def write_cluster(lab: Lab, name: str = "studios", more: str = "") -> str:
    """Write a cluster file on the laptop; returns its name."""
    text = CLUSTER.format(name=name, python=sys.executable) + more
    (lab.laptop.folder / "root" / f"{name}.yaml").write_text(text)
    return f"{name}.yaml"


@pytest.fixture(scope="module")
def steady(lab) -> str:
    """File of a cluster that is started once, for tests that do not change it."""
    path = write_cluster(lab)
    lab.laptop.rho_sweep("cluster", "up", path, timeout_s=200)
    return path


@pytest.fixture
def up(lab) -> Iterator[str]:
    """File of a cluster that is up (started if it was not); a module's tests share it."""
    path = write_cluster(lab)
    lab.laptop.rho_sweep("cluster", "up", path, timeout_s=200)
    return path


@pytest.fixture(scope="module", autouse=True)
def _all_down(lab) -> Iterator[None]:
    """Stop the clusters of a module before the next module begins."""
    yield
    for path in (lab.laptop.folder / "root").glob("*.yaml"):
        lab.laptop.rho_sweep("cluster", "down", path.name, timeout_s=120)
        path.unlink()
