"""Sweeps on the head: start and stop a driver, list and send results. Runs over ssh.

    python -m orchestrator.cluster.on_host.driver list < request.json

A request has `root`, `cluster` and `sweep`, the name of a results folder. The answer is JSON; that
of `send` is one line of JSON and then the bytes of the files, in the same order. A `UserError` is
one line on stderr and exit code 2.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from orchestrator.cluster import canary
from orchestrator.cluster.trust.listing import is_ours
from orchestrator.cluster.wheel import this_version
from orchestrator.errors import UserError, as_typed
from orchestrator.execution.engines.ray_settings import NodePlan, Place, environment, set_aside
from orchestrator.results import lock
from orchestrator.results.files import write_whole
from orchestrator.results.manifest import demand_ours
from orchestrator.results.store import Store
from tasks.model import children

START_S = 120.0
SAID_LINES = 8
Answer = dict[str, Any]


def folder_of(request: dict[str, Any]) -> Path:
    """The results folder of a request."""
    return _root(request) / "results" / str(request["sweep"])


def launch(request: dict[str, Any]) -> Answer:
    """Start a driver that goes on when this connection ends, unless one runs already.

    Returns:
        `pid` of the driver, and whether it was `running` before; or, if it ended at once, its exit
        `code` and what it `said`.

    Raises:
        UserError: The cluster is not up or busy, or the driver does not get going.
    """
    folder = folder_of(request)
    demand_ours(folder)
    Store(folder).create()
    if found := lock.holder(folder):
        return {"pid": found[0], "running": True}

    plan = _demand_idle(request)
    path = _root(request) / "sweeps" / f"{request['sweep']}.yaml"
    write_whole(path, request["text"].encode())
    more = ["--keep"] if request.get("keep") else []
    more += ["--until", "decided"] if request.get("until_decided") else []
    return _drive(request, plan, ["launch", str(path), "--results", str(folder), *more])


def later(command: str, request: Answer) -> Answer:
    """Start the driver of a command on saved adapters, `stress` or `score`; else as `launch`.

    The request has `options` of that command and `files`: (option, name, text) of each.

    Raises:
        UserError: There are no results, or as for `launch`.
    """
    folder = Store.existing(folder_of(request)).folder
    if found := lock.holder(folder):
        raise UserError(f"{folder}: a launch is running (process {found[0]})")

    plan = _demand_idle(request)
    words = [command, str(folder), *request["options"]]
    for number, (option, name, text) in enumerate(request["files"]):
        aside = _root(request) / "sweeps" / f"{request['sweep']}.{command}" / str(number)
        path = aside / Path(name).name
        write_whole(path, text.encode())
        words += [option, str(path)]
    return _drive(request, plan, words)


def _demand_idle(request: Answer) -> NodePlan:
    """The plan of the cluster.

    Raises:
        UserError: The cluster is down, or another sweep's driver runs on it and uses all slots.
    """
    place = _place(request)
    if not place.plan.is_file():
        raise UserError("the cluster is down", "first: rho-sweep cluster up")
    plan = NodePlan.of(place)
    for folder in sorted((_root(request) / "results").iterdir()):
        if found := lock.holder(folder):
            with suppress(psutil.NoSuchProcess):
                if plan.gcs in psutil.Process(found[0]).cmdline():
                    raise UserError(
                        f"the cluster is busy with {folder.name} (process {found[0]})",
                        f"wait, or: {as_typed('stop', Path('results', folder.name))}",
                    )
    return plan


def _drive(request: Answer, plan: NodePlan, words: list[str]) -> Answer:
    """Start a driver with these command words, and wait until it holds the results folder."""
    folder, place = folder_of(request), _place(request)
    command = children.python("-m", "orchestrator", *words, "--ray", plan.gcs)
    verdicts = canary.read_file(place.folder / canary.FILE, this_version().environment)
    unusable = [host for host, verdict in verdicts.items() if not verdict.usable]
    command += [word for host in unusable for word in ("--without", host)]
    with (folder / "launch.log").open("ab") as log:
        log_start = log.tell()
        process = subprocess.Popen(
            command,
            cwd=_root(request),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # with secrets: it is the launch, which may judge and ask the hub
            env=os.environ | environment(place, plan.ports, tls=plan.tls),
            start_new_session=True,
        )
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if (code := process.poll()) is not None:
            with (folder / "launch.log").open("rb") as log:
                log.seek(log_start)
                said = log.read().decode(errors="replace").strip().splitlines()
            silent = f"the driver ended without a word (exit code {code})"
            return {"code": code, "said": "\n".join(said[-SAID_LINES:]) or silent}
        found = lock.holder(folder)
        if found and found[0] == process.pid:
            return {"pid": process.pid, "running": False, "without": unusable}
        time.sleep(0.1)
    raise UserError("the driver does not get going", f"see {folder / 'launch.log'}")


def listing(request: dict[str, Any]) -> Answer:
    """Files that a driver wrote, with size and time of change, and the driver that runs.

    Checkpoints are not among them, nor what can be made anew: exports, tables, reports.
    """
    folder = folder_of(request)
    driver = lock.holder(folder)  # before the files: if none runs, the list is complete
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        try:
            if is_ours(name) and path.is_file():
                facts = path.stat()
                files[name] = [facts.st_size, facts.st_mtime_ns]
        except FileNotFoundError:
            continue
    return {"files": files, "launch": driver}


def send(request: dict[str, Any]) -> bytes:
    """Those of the requested files that exist: `{name: [size, sha256]}`, a newline, their bytes."""
    folder = folder_of(request)
    found: dict[str, bytes] = {}
    for name in request["files"]:
        try:
            found[name] = (folder / name).read_bytes()
        except FileNotFoundError:
            continue
    head = {n: [len(body), hashlib.sha256(body).hexdigest()] for n, body in found.items()}
    return json.dumps(head).encode() + b"\n" + b"".join(found.values())


def stop(request: dict[str, Any]) -> Answer:
    """Ask the driver to stop."""
    return {"said": lock.stop(folder_of(request))}


def _root(request: dict[str, Any]) -> Path:
    return Path(request["root"]).expanduser()


def _place(request: dict[str, Any]) -> Place:
    return Place(_root(request) / "c" / str(request["cluster"]))


ACTIONS: dict[str, Callable[[dict[str, Any]], Answer | bytes]] = {
    "launch": launch,
    "stress": partial(later, "stress"),
    "score": partial(later, "score"),
    "list": listing,
    "send": send,
    "stop": stop,
}


def main() -> None:
    """Answer one request."""
    set_aside()
    try:
        answer = ACTIONS[sys.argv[1]](json.load(sys.stdin))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    sys.stdout.buffer.write(body)


if __name__ == "__main__":
    main()
