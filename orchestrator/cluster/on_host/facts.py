"""Facts about this host for `cluster doctor`. Runs over ssh: JSON request, JSON answer.

python -m orchestrator.cluster.on_host.facts examine < request.json
"""

import importlib.metadata
import json
import platform
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil

from orchestrator.cluster.on_host import processes as ray_processes
from orchestrator.cluster.on_host import token_probe
from orchestrator.cluster.on_host.ray import is_taken, place_of
from orchestrator.cluster.wheel import this_version
from orchestrator.config.hosts import Ports
from orchestrator.execution.engines.ray_settings import Place
from orchestrator.inspection import macs
from orchestrator.results.files import write_whole
from tasks.model.machine import chip, gpu_memory

PACKAGES = ("ray", "mlx", "mlx-lm")
INTERNET = (socket.AF_INET, socket.AF_INET6)
GCS_METHOD = "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo"
Answer = dict[str, Any]


def examine(request: Answer) -> Answer:
    """All facts that findings need; the request also has `ports` and `gcs`: [address, port]."""
    now = time.time()
    place = place_of(request)
    memory = psutil.virtual_memory()
    ours = _listening(place)
    # all but the two ends of the range of worker ports
    ports = Ports(**request["ports"]).model_dump()
    own_ports = [n for key, n in ports.items() if key not in ("worker_low", "worker_high")]
    existing = next(p for p in (place.folder, *place.folder.parents) if p.exists())
    return {
        "time": now,
        "addresses": {
            name: [str(a.address).partition("%")[0] for a in found if a.family in INTERNET]
            for name, found in psutil.net_if_addrs().items()
        },
        "chip": chip(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "environment": this_version().environment,
        "disk_free_bytes": shutil.disk_usage(existing).free,
        "memory_bytes": gpu_memory() or memory.total,
        "memory_free_bytes": memory.available,
        "mac": macs.asked_here(),
        "running": ray_processes.named(place, "raylet") is not None,
        "listening": ours,
        "taken": [p for p in own_ports if p not in ours and is_taken(p)],
        "token": _token(place, *request["gcs"]),
    }


def keep(request: Answer) -> Answer:
    """Write the canary's verdicts to the file that drivers on this host read."""
    write_whole(place_of(request).folder / "canary.json", request["verdict"].encode())
    return {}


def _listening(place: Place) -> list[int]:
    """TCP ports that the cluster's processes listen on."""
    found = set()
    for process in ray_processes.find(place):
        with suppress(psutil.Error):
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    found.add(int(connection.laddr.port))
    return sorted(found)


def _token(place: Place, address: str, port: int) -> dict[str, str] | None:
    """Answers of the head to the right token, a wrong one and none; None without a token here."""
    if not place.token.is_file():
        return None
    tokens = {"right": place.token.read_text(), "wrong": secrets.token_hex(32), "none": None}
    found = {}
    for name, token in tokens.items():
        try:
            found[name] = token_probe.ask(address, port, GCS_METHOD, token)
        except OSError as error:
            found[name] = f"unreachable ({error})"
    return found


ACTIONS: dict[str, Callable[[Answer], Answer]] = {"examine": examine, "keep": keep}


def main() -> None:
    """Answer one request."""
    print(json.dumps(ACTIONS[sys.argv[1]](json.load(sys.stdin))))


if __name__ == "__main__":
    main()
