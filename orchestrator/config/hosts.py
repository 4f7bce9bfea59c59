"""A cluster: its hosts, how to log in to them, and the ports Ray uses there."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Every TCP port that Ray opens; `docs/cluster.md` says which address each listens on.

    Attributes:
        gcs: The head's address for nodes and drivers.
        node_manager, object_manager: The raylet and its object store.
        runtime_env_agent: The raylet's helper.
        dashboard_agent_grpc, dashboard_agent_http: The dashboard's helper on every host.
        metrics_export: Metrics of every host.
        client: Ray client, on the head.
        autoscaler_metrics, dashboard_metrics: Metrics of the head's own processes.
        dashboard: Dashboard and job submission, on the head, loopback only.
        worker_low, worker_high: Range of the workers' ports, both ends included.
    """

    gcs: int = 6379
    node_manager: int = 6380
    object_manager: int = 6381
    runtime_env_agent: int = 6382
    dashboard_agent_grpc: int = 6383
    dashboard_agent_http: int = 6384
    metrics_export: int = 6385
    client: int = 6386
    autoscaler_metrics: int = 6387
    dashboard_metrics: int = 6388
    dashboard: int = 8265
    worker_low: int = 20000
    worker_high: int = 20999


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One machine.

    Attributes:
        name: Names it in tables and messages.
        address: IP address or name, for ssh and for Ray.
        ssh_port: Port of its sshd.
        slots: Cells at once.
        memory_bytes: Unified memory; None to ask the host.
        chip: e.g. `M2 Ultra`; None to ask the host.
        labels: More Ray labels of this host.
    """

    name: str
    address: str
    ssh_port: int
    slots: int
    memory_bytes: int | None
    chip: str | None
    labels: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A valid cluster file.

    Attributes:
        name: Names the cluster; two clusters on one host need two names.
        user: Logs in over ssh; None leaves it to the ssh configuration.
        key: Private key on this machine; None leaves it to the ssh configuration.
        python: Absolute path, on every host, of the interpreter that makes environments.
        root: Folder on every host for all that is ours; may start with `~/`.
        head: Name of the host that Ray's head runs on.
        ports: What Ray listens on.
        tls: Whether Ray's own connections are encrypted.
        hosts: At least one, the names distinct.
    """

    name: str
    user: str | None
    key: Path | None
    python: str
    root: str
    head: str
    ports: Ports
    tls: bool
    hosts: tuple[Host, ...]

    @property
    def head_host(self) -> Host:
        """The host that `head` names."""
        return next(h for h in self.hosts if h.name == self.head)

    @property
    def gcs_address(self) -> str:
        """`host:port` that nodes and drivers connect to."""
        return f"{self.head_host.address}:{self.ports.gcs}"
