"""Where launches run: this machine, or a laptop and three hosts made of namespaces."""

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import psutil

from benchmarks.chaos.launches import Launch
from orchestrator.cluster.on_host.processes import KEEPER
from tests import ROOT
from tests.lab.machines import HOSTS, Lab

COMMAND = ["-m", "orchestrator", "launch"]


class Site(Protocol):
    """A place where launches run."""

    @property
    def options(self) -> tuple[str, ...]:
        """Of every launch here."""

    def start(
        self, folder: Path, words: list[str], log: Path, more: dict[str, str], wrap: list[str]
    ) -> Launch:
        """Start `rho-sweep` in a folder, with added variables, behind the words of `wrap`."""

    def folder(self, number: str) -> Path:
        """A new, empty folder for a round."""

    def living(self, launch: Launch) -> list[psutil.Process]:
        """All processes that belong to a launch."""

    def cells(self, results: Path) -> Path:
        """The folder that gets one file per finished cell."""

    def before_again(self) -> None:
        """Do what a user must do before launching again."""


class Here:
    """This machine.

    Args:
        root: Folder of all rounds.
    """

    options = ()

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, number: str) -> Path:
        """Has its own results root, so that no finished cell of another round is reused."""
        found = self._root / number
        found.mkdir()
        return found

    def start(
        self, folder: Path, words: list[str], log: Path, more: dict[str, str], wrap: list[str]
    ) -> Launch:
        """Start it with this interpreter and this code; Ray's files go beside the rounds."""
        environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_TMPDIR": str(self._root)} | more
        argv = [*wrap, sys.executable, "-m", "orchestrator", *words]
        return Launch(argv, log, folder, environment)

    def living(self, launch: Launch) -> list[psutil.Process]:
        """The launch and all processes that it started."""
        return launch.tree()

    def cells(self, results: Path) -> Path:
        """The `cells` folder of the results."""
        return results / "cells"

    def before_again(self) -> None:
        """Nothing."""


class InLab:
    """The laptop of the lab, with a cluster that is up.

    Args:
        lab: The machines.
        cluster: Name of the cluster's file in the laptop's home.
    """

    def __init__(self, lab: Lab, cluster: str) -> None:
        self.lab, self._cluster = lab, cluster
        self.options = ("--cluster", cluster)
        self.before_again()

    def folder(self, number: str) -> Path:
        """The laptop's home, without results of earlier rounds, whose cells would be reused."""
        shutil.rmtree(
            self.lab.machines[HOSTS[0]].folder / "root/.rho-sweep/results", ignore_errors=True
        )
        found = self.lab.laptop.folder / "root"
        shutil.rmtree(found / "results", ignore_errors=True)
        (found / number).mkdir(exist_ok=True)
        return found

    def start(
        self, folder: Path, words: list[str], log: Path, more: dict[str, str], wrap: list[str]
    ) -> Launch:
        """Start it on the laptop, where a shell begins in the home folder."""
        words = [*wrap, sys.executable, "-m", "orchestrator", *words]
        argv = self.lab.laptop.command(*words, **more)
        return Launch(argv, log, folder, dict(os.environ))

    def living(self, launch: Launch) -> list[psutil.Process]:  # noqa: ARG002 - Ray is not its child
        """All processes on the lab's machines, except those that keep the machines running."""
        return [p for name in self.lab.machines for p in self.on(name)]

    def on(self, name: str) -> list[psutil.Process]:
        """All processes on one machine, except its process 1."""
        first = self.lab.machines[name].pid
        return [
            p for p in psutil.process_iter() if p.pid != first and _space(p.pid) == _space(first)
        ]

    def in_cluster(self, name: str) -> bool:
        """Whether a host runs a raylet."""
        return any(role(process) == "raylet" for process in self.on(name))

    def cells(self, results: Path) -> Path:
        """The `cells` folder of the results on the head."""
        head = self.lab.machines[HOSTS[0]].folder
        return head / "root/.rho-sweep/results" / results.name / "cells"

    def before_again(self) -> None:
        """Start Ray where it does not run (`cluster up`)."""
        self.lab.laptop.rho_sweep("cluster", "up", self._cluster, timeout_s=240, check=False)


def _space(pid: int) -> str | None:
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/pid")  # noqa: PTH115 - what it says is no path
    return None


def role(process: psutil.Process) -> str | None:
    """`driver`, `worker`, `board`, `raylet`, `gcs` or `keeper`; None for any other process."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return None
    if not words:
        return None
    if words[1:4] == COMMAND:
        # on a cluster the laptop's command only follows; the driver is told of its Ray
        return "driver" if "--cluster" not in words else None
    if KEEPER in words:
        return "keeper"
    for title, name in (("ray::Worker", "worker"), ("ray::Board", "board")):
        if words[0].startswith(title):
            return name
    return {"raylet": "raylet", "gcs_server": "gcs"}.get(Path(words[0]).name)
