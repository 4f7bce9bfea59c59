"""Finds and stops the processes of one cluster on this host.

A process is ours if this user runs it, its program is Ray's or our keeper, and its command line
names the cluster's own folder or its log is there; or if it descends from one that is. Names alone
would also match another cluster's Ray, and the folder alone a program that reads a log.
"""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from orchestrator.execution.engines.ray_settings import Place
from tasks.sources.paths import real

BINARIES = ("raylet", "gcs_server")
KEEPER = "orchestrator.cluster.on_host.keeper"
MODULES = {
    KEEPER: "keeper",
    "ray.scripts.scripts": "ray start",
    "ray.util.client.server": "client server",
}
GENTLE_S, FORCED_S = 5.0, 3.0
ROUNDS = 3


def find(place: Place) -> list[psutil.Process]:
    """All processes of the cluster on this host, ancestors before descendants."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if _is_ours(process, place):
                found[process.pid] = process
    for process in list(found.values()):
        with suppress(psutil.Error):
            found |= {child.pid: child for child in process.children(recursive=True)}
    return list(found.values())


def named(place: Place, name: str) -> psutil.Process | None:
    """The cluster's process of a kind, e.g. `raylet` or `keeper`; None if none runs."""
    with suppress(StopIteration):
        return next(p for p in find(place) if kind(p) == name)
    return None


def kind(process: psutil.Process) -> str:
    """Kind of a process: `raylet`, `gcs_server`, `keeper`, `worker` or the name of a helper."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return "ended"
    program = Path(words[0]).name if words else ""
    if program in BINARIES:
        return program
    if module := next((m for m in MODULES if m in words), None):
        return MODULES[module]
    if program.startswith("ray::"):
        agent = program.removeprefix("ray::").strip()
        return "agent" if agent.endswith("Agent") else "worker"
    script = next((Path(w).stem for w in words[1:5] if w.endswith(".py")), program)
    return "worker" if script in ("default_worker", "setup_worker") else script


def session(raylet: psutil.Process) -> str | None:
    """Name of the Ray session that a raylet belongs to."""
    with suppress(psutil.Error):
        for word in raylet.cmdline():
            _, sign, rest = word.partition("--session-name=")
            if sign:
                return rest.split()[0]
    return None


def is_under(process: psutil.Process, folder: Path) -> bool:
    """Whether a process runs a program of a folder; one that has just ended counts as such."""
    try:
        return Path(process.exe()).is_relative_to(real(folder))
    except psutil.Error:
        return True


def stop(place: Place, spare: Collection[str] = ()) -> Counter[str]:
    """Stop all of them, with SIGTERM and then SIGKILL.

    The keeper goes first, or it would start the raylet again; GCS goes after the raylet, which ends
    quickly only while it can tell GCS. Processes may start meanwhile, so the search is repeated.

    Args:
        place: Folder of the cluster.
        spare: Kinds that are not stopped.

    Returns:
        How many of each kind were stopped.
    """
    stopped: Counter[str] = Counter()
    for _ in range(ROUNDS):
        kinds = {process: kind(process) for process in find(place)}
        doomed = [p for p, what in kinds.items() if what not in spare]
        if not doomed:
            break
        stopped.update(kinds[p] for p in doomed)
        for first in ("keeper", "raylet", "gcs_server"):
            _end([p for p in doomed if kinds[p] == first], GENTLE_S)
        _end(doomed, FORCED_S)
    return stopped


def _is_ours(process: psutil.Process, place: Place) -> bool:
    if process.uids().real != os.getuid():
        return False
    words = process.cmdline()
    if not words:
        return False
    is_program = (
        Path(words[0]).name in BINARIES
        or words[0].startswith("ray::")
        or any(module in words for module in MODULES)
        or any(w.endswith(".py") and "/ray/" in w for w in words[1:5])
    )
    if not is_program:
        return False
    if names_folder(words, place.folder):
        return True
    # a worker's command line does not name the folder, but its log is there
    logs = real(place.temp)
    return any(Path(file.path).is_relative_to(logs) for file in process.open_files())


def names_folder(words: Iterable[str], folder: Path) -> bool:
    """Whether a command line has the folder, or a path in it; `/a/bc` is not in `/a/b`."""
    path = re.compile(rf"(^|[=\s]){re.escape(str(folder))}($|[/\s])")
    return any(path.search(word) for word in words)


def _end(processes: list[psutil.Process], patience_s: float) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.terminate()
    _, left = psutil.wait_procs(processes, timeout=patience_s)
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=FORCED_S)
