"""How Ray is started on a host of a cluster: folders, environment, command line.

`ray_local` starts that of a local launch, with the constants and `common_environment` of this file.
"""

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.config.foreign_json import demand
from orchestrator.errors import UserError
from tasks.contract.cell import NodeError
from tasks.sources import host_copies as content
from tasks.sources.jsonl import read_json

if TYPE_CHECKING:  # it loads pydantic; what only looks at a host does without
    from orchestrator.config.hosts import Ports

SLOT = "mlx"
OBJECT_STORE_BYTES = 256 << 20
"""For results on their way to the driver; an adapter of a 7B model has 16 MB."""
SPARE_CPUS = 2
"""For actors that are no cells. Ray starts a process per CPU at once, so not one per core."""
SOCKET_PATH_LIMIT = 103
"""Bytes of a socket's path on macOS; Linux allows a few more."""
FOLDER = re.compile(r"[ -&(-\[\]-~]*")
"""Where Ray starts: its command line loses a quote or a backslash, and it reads paths as ASCII."""
FOREIGN = re.compile(r"RAY_|PYTHON(OPTIMIZE|WARNINGS)$")
"""Variables that no Ray of ours sees: those of another Ray, which may be gone or have another
token, and those with which Ray's own Python code does not start."""
SOCKET_NAME = "/session_2026-01-01_00-00-00_000000_1000000/sockets/plasma_store"


@dataclass(frozen=True, slots=True)
class Place:
    """Folder of one cluster on one host: `<root>/c/<name>`, short for the sockets' sake."""

    folder: Path

    @property
    def temp(self) -> Path:
        """Ray's temporary folder: sockets, logs, object store on macOS."""
        return self.folder / "ray"

    @property
    def token(self) -> Path:
        """The secret of the cluster, mode 0600."""
        return self.folder / "token"

    @property
    def tls(self) -> Path:
        """Folder of `ca.crt`, `node.crt`, `node.key`."""
        return self.folder / "tls"

    @property
    def plan(self) -> Path:
        """What was started here, for the keeper."""
        return self.folder / "plan.json"

    def complaint(self) -> str | None:
        """Why Ray cannot run here, or None."""
        if not FOLDER.fullmatch(str(self.temp)):
            return f"{self.temp}: Ray starts in no path with ', \\ or a letter outside ASCII"
        length = len(str(self.temp).encode()) + len(SOCKET_NAME)
        if length <= SOCKET_PATH_LIMIT:
            return None
        over = length - SOCKET_PATH_LIMIT
        return (
            f"{self.temp} is {over} characters too long for Ray's sockets; choose a shorter root "
            "or cluster name"
        )


def content_folder(place: Place) -> Path:
    """What `cluster prefetch` copied: `<root>/content`."""
    return place.folder.parents[1] / "content"


def remote_folder(root: str, cluster: str) -> str:
    """The folder of `Place` as a host's path that may start with `~/`."""
    return f"{root}/c/{cluster}"


PLAN = {
    "host": str,
    "address": str,
    "gcs": str,
    "slots": int,
    "memory_bytes": int,
    "labels": {str: str},
    "ports": {str: int},
    "tls": bool,
}
"""The shape of a `NodePlan` as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """What a host is to run.

    Attributes:
        host: Its name in the cluster file.
        address: Its IP address.
        gcs: `ip:port` of the head.
        slots: Cells at once.
        memory_bytes: What cells may use together.
        labels: Ray labels.
        ports: What to listen on.
        tls: Whether connections are encrypted.
    """

    host: str
    address: str
    gcs: str
    slots: int
    memory_bytes: int
    labels: dict[str, str]
    ports: "Ports"
    tls: bool

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> "NodePlan":
        """The inverse of `as_json`.

        Raises:
            ValueError: It is no plan.
        """
        from orchestrator.config.hosts import Ports

        demand(raw, PLAN, "")
        given = {key: raw[key] for key in PLAN}
        return cls(**given | {"ports": Ports(**raw["ports"])})

    @classmethod
    def of(cls, place: Place) -> "NodePlan":
        """What was started on this host.

        Raises:
            UserError: Nothing was, or the file that says so is damaged.
        """
        try:
            return cls.parse(read_json(place.plan))
        except (NodeError, ValueError) as error:
            reason = str(error).splitlines()[0].removeprefix(f"{place.plan}: ")
            raise UserError(
                f"{place.plan}: cannot be read ({reason})", "rho-sweep cluster up writes it anew"
            ) from None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"ports": self.ports.model_dump()}


def label(text: str) -> str:
    """A text as a Ray label: `Apple M2 Ultra` is `Apple-M2-Ultra`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:63].strip("-._")


def set_aside() -> None:
    """Take variables of another Ray out of this process, before Ray is imported.

    Ray reads many as it is imported, and a wrong value ends the process there.
    """
    for name in [n for n in os.environ if FOREIGN.match(n)]:
        del os.environ[name]


def common_environment(token: Path) -> dict[str, str]:
    """Variables for every Ray of ours, on a cluster or on this machine only.

    Args:
        token: File of the secret without which Ray serves nobody.
    """
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        # at Ray's own value of 15 a cell starves beside anything else
        "RAY_worker_niceness": "0",
        # metrics are served to anybody, so none are collected
        "RAY_enable_metrics_collection": "0",
    }


def environment(place: Place, ports: "Ports", *, tls: bool) -> dict[str, str]:
    """Variables for Ray's own processes and for drivers on a host."""
    found = common_environment(place.token) | {
        content.VARIABLE: str(content_folder(place)),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
        # a dead link is noticed in seconds; Ray's own values take most of a minute, or five
        "RAY_grpc_client_keepalive_time_ms": "5000",
        "RAY_grpc_client_keepalive_timeout_ms": "5000",
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "2000",
        "RAY_health_check_failure_threshold": "5",
        # a worker keeps its model between cells
        "RAY_idle_worker_killing_time_threshold_ms": "86400000",
        "AUTOSCALER_METRIC_PORT": str(ports.autoscaler_metrics),
        "DASHBOARD_METRIC_PORT": str(ports.dashboard_metrics),
    }
    if tls:
        found |= {
            "RAY_USE_TLS": "1",
            "RAY_TLS_SERVER_CERT": str(place.tls / "node.crt"),
            "RAY_TLS_SERVER_KEY": str(place.tls / "node.key"),
            "RAY_TLS_CA_CERT": str(place.tls / "ca.crt"),
        }
    return found


def start_arguments(plan: NodePlan, place: Place, *, head: bool, client: bool) -> list[str]:
    """Arguments of `ray start`.

    Args:
        plan: What to run.
        place: Where its files go.
        head: Whether the cluster begins here.
        client: Whether Ray client is installed and has to be given a port.
    """
    ports = plan.ports
    arguments = [
        f"--node-ip-address={plan.address}",
        f"--temp-dir={place.temp}",
        f"--num-cpus={plan.slots + SPARE_CPUS}",
        "--num-gpus=0",
        f"--memory={plan.memory_bytes}",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        f"--resources={json.dumps({SLOT: plan.slots})}",
        f"--labels={','.join(f'{k}={v}' for k, v in plan.labels.items())}",
        f"--node-manager-port={ports.node_manager}",
        f"--object-manager-port={ports.object_manager}",
        f"--runtime-env-agent-port={ports.runtime_env_agent}",
        f"--dashboard-agent-grpc-port={ports.dashboard_agent_grpc}",
        f"--dashboard-agent-listen-port={ports.dashboard_agent_http}",
        f"--metrics-export-port={ports.metrics_export}",
        f"--min-worker-port={ports.worker_low}",
        f"--max-worker-port={ports.worker_high}",
        "--disable-usage-stats",
        "--include-log-monitor=false",  # a process that copies logs to drivers, which show none
    ]
    if not head:
        return [*arguments, f"--address={plan.gcs}"]
    arguments += [
        "--head",
        f"--port={ports.gcs}",
        "--dashboard-host=127.0.0.1",
        f"--dashboard-port={ports.dashboard}",
        "--no-monitor",
    ]
    return [*arguments, f"--ray-client-server-port={ports.client}"] if client else arguments
