"""Ray on this host: look, start, stop, nodes. Runs over ssh: JSON request, JSON answer.

    python -m orchestrator.cluster.on_host.ray look < request.json

A request has `root` and `cluster`; `start` also has `plan`, `head`, `token` and, with TLS,
`certificates`. A `UserError` is one line on stderr and exit code 2.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from orchestrator.cluster.on_host import processes as ray_processes
from orchestrator.errors import UserError
from orchestrator.execution.engines.ray_settings import (
    SLOT,
    NodePlan,
    Place,
    environment,
    set_aside,
    start_arguments,
)
from orchestrator.results.files import write_whole
from orchestrator.visible import last_line
from tasks.model import children
from tasks.model.machine import chip, gpu_memory, system
from tasks.model.open_files import raise_limit

FILES_WANTED = 65536
START_S = 120.0
STARTS = 2
SESSIONS_KEPT = 3
OF_THE_HEAD = ("gcs_server", "dashboard")
"""Kinds of processes that are not stopped when the head's raylet is started again."""
Answer = dict[str, Any]


def place_of(request: dict[str, Any]) -> Place:
    """The cluster's folder on this host."""
    return Place(Path(request["root"]).expanduser() / "c" / str(request["cluster"]))


def look(request: dict[str, Any]) -> Answer:
    """Chip and memory of this host, and which processes of the cluster run on it."""
    place = place_of(request)
    raylet = ray_processes.named(place, "raylet")
    return {
        "chip": chip(),
        "system": system(),
        "memory_bytes": gpu_memory() or psutil.virtual_memory().total,
        "free_bytes": psutil.virtual_memory().available,
        "complaint": place.complaint(),
        "token": hashlib.sha256(place.token.read_bytes()).hexdigest()
        if place.token.is_file()
        else None,
        "session": ray_processes.session(raylet) if raylet else None,
        "same_version": raylet is None or ray_processes.is_under(raylet, Path(sys.prefix)),
        "head": ray_processes.named(place, "gcs_server") is not None,
        "keeper": ray_processes.named(place, "keeper") is not None,
    }


def start(request: dict[str, Any]) -> Answer:
    """Stop what is left of the cluster on this host, start a node and its keeper.

    Raises:
        UserError: Ray does not start; the message ends with the last line of its log.
    """
    place, plan, head = place_of(request), NodePlan.parse(request["plan"]), request["head"]
    ray_processes.stop(place, spare=() if head else OF_THE_HEAD)
    place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.folder.chmod(0o700)
    write_whole(place.token, request["token"].encode(), private=True)
    for name, text in request.get("certificates", {}).items():
        write_whole(place.tls / name, text.encode(), private=True)
    write_whole(place.plan, json.dumps(plan.as_json(), indent=2).encode(), private=True)
    sessions = sorted(p for p in place.temp.glob("session_2*") if p.is_dir())
    for old in sessions[: -SESSIONS_KEPT + 1]:  # the new one is the last of those that stay
        shutil.rmtree(old, ignore_errors=True)
    started = time.monotonic()
    start_node(place, plan, head=head)
    with (place.folder / "keeper.log").open("ab") as log:
        subprocess.Popen(
            children.python("-m", ray_processes.KEEPER, str(place.folder)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=children.environment(),
            start_new_session=True,
        )
    return {"seconds": round(time.monotonic() - started, 2)}


def stop(request: dict[str, Any]) -> Answer:
    """Stop the cluster's processes on this host and delete its secrets; logs stay."""
    place = place_of(request)
    stopped = ray_processes.stop(place)
    for secret in (place.token, place.plan):
        secret.unlink(missing_ok=True)
    shutil.rmtree(place.tls, ignore_errors=True)
    return {"stopped": dict(stopped)}


def nodes(request: dict[str, Any]) -> Answer:
    """Nodes that Ray counts as alive, with their slots: IP address -> `slots`, `used`.

    Asks the GCS directly, through private parts of Ray, for `ray.init` needs a raylet here.

    Raises:
        UserError: Ray does not answer.
    """
    place = place_of(request)
    plan = NodePlan.of(place)
    os.environ.update(environment(place, plan.ports, tls=plan.tls))
    from ray._private.state import GlobalState
    from ray._raylet import GcsClientOptions  # type: ignore[attr-defined]  # compiled

    state = GlobalState()
    try:
        state._initialize_global_state(
            GcsClientOptions.create(
                plan.gcs, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False
            )
        )
        free = state.available_resources_per_node()
        found = {}
        for node in state.node_table():
            if node["Alive"]:
                slots = int(node["Resources"].get(SLOT, 0))
                used = slots - int(free.get(node["NodeID"], {}).get(SLOT, slots))
                found[node["NodeManagerAddress"]] = {"slots": slots, "used": used}
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"Ray does not answer at {plan.gcs} ({last_line(str(error))})") from None
    return {"alive": found}


def start_node(place: Place, plan: NodePlan, *, head: bool) -> None:
    """Run `ray start` and wait for it; if it fails, stop the processes that it started.

    It has one more try, as a busy machine may be too slow once.

    Raises:
        UserError: It fails, or a port is taken.
    """
    # Ray fails on a taken port without naming it
    names = ["node_manager", "object_manager", "runtime_env_agent"]
    names += ["gcs", "dashboard"] if head else []
    taken = [f"{n} {getattr(plan.ports, n)}" for n in names if is_taken(getattr(plan.ports, n))]
    if taken:
        raise UserError(
            f"ports in use by something else: {', '.join(taken)}",
            "choose others under ports: in the cluster file",
        )
    raise_limit(FILES_WANTED)  # on macOS it is 256
    client = importlib.util.find_spec("grpc") is not None
    command = children.python("-m", "ray.scripts.scripts", "start")
    command += start_arguments(plan, place, head=head, client=client)
    spare = ("keeper",) if head else ("keeper", *OF_THE_HEAD)
    log = place.folder / "start.log"
    log.unlink(missing_ok=True)
    for _ in range(STARTS):
        with log.open("ab") as output:
            try:
                done = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=children.environment(environment(place, plan.ports, tls=plan.tls)),
                    start_new_session=True,
                    timeout=START_S,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                ray_processes.stop(place, spare=spare)
                raise UserError(f"ray start took longer than {START_S:g} s", f"see {log}") from None
        if done.returncode == 0:
            return
        ray_processes.stop(place, spare=spare)
    raise UserError(f"ray start failed ({last_line(log.read_text())})", f"see {log}")


def is_taken(port: int) -> bool:
    """Whether a program listens on a port of this machine.

    BSD and macOS let a socket take a port that another one has on a single address.
    """
    for address in ("127.0.0.1", "::1"):
        with suppress(OSError), socket.create_connection((address, port), 1):
            return True
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return True
    return False


ACTIONS: dict[str, Callable[[dict[str, Any]], Answer]] = {
    "look": look,
    "start": start,
    "stop": stop,
    "nodes": nodes,
}


def main() -> None:
    """Answer one request."""
    set_aside()
    try:
        print(json.dumps(ACTIONS[sys.argv[1]](json.load(sys.stdin))))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
