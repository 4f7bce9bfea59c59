"""A cluster: its hosts, how to log in to them, and the ports Ray uses there."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from orchestrator.config.checked import (
    PATTERNS,
    UNSET,
    Checked,
    Finding,
    Name,
    Text,
    Whole,
    complain,
)
from orchestrator.errors import hint, show

ADDRESS = r"^[A-Za-z0-9][A-Za-z0-9.:%_-]*$"
LABEL = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"
MEMORY = r"^([0-9]{1,9}(?:\.[0-9]{1,9})?) ?([MGT])i?B$"
ABSOLUTE = r"^/[^\x00-\x1f\x7f-\x9f]*$"
FOLDER = r"^(~|)/[ -&(-\[\]-~]*$"  # Ray starts in no folder whose name has the others
REPLACED_BY_SSH = re.compile(r"%|\$\{|[\x00-\x1f\x7f-\x9f]")
PATTERNS |= {
    ADDRESS: "an IP address or a host name",
    LABEL: "letters, digits, dots and dashes",
    MEMORY: "like 192 GB",
    ABSOLUTE: "an absolute path on the hosts, without control characters",
    FOLDER: "an absolute path or start with ~/, of printable ASCII without ' and \\",
}
MEMORY_UNIT = {"M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
OWN_LABELS = ("host", "chip")
LEAST_WORKERS = 100

Port = Annotated[int, Field(ge=1024, le=65535)]


class Ports(Checked):
    """Every TCP port that Ray opens; `docs/cluster.md` says which address each listens on."""

    gcs: Port = Field(default=6379, description="the head's address for nodes and drivers")
    node_manager: Port = Field(default=6380, description="the raylet")
    object_manager: Port = Field(default=6381, description="the raylet's object store")
    runtime_env_agent: Port = Field(default=6382, description="the raylet's helper")
    dashboard_agent_grpc: Port = Field(
        default=6383, description="the dashboard's helper on every host"
    )
    dashboard_agent_http: Port = Field(
        default=6384, description="the dashboard's helper on every host"
    )
    metrics_export: Port = Field(default=6385, description="metrics of every host")
    client: Port = Field(default=6386, description="Ray client, on the head")
    autoscaler_metrics: Port = Field(default=6387, description="metrics of the head's autoscaler")
    dashboard_metrics: Port = Field(default=6388, description="metrics of the head's dashboard")
    dashboard: Port = Field(
        default=8265, description="dashboard and job submission, on the head, loopback"
    )
    worker_low: Port = Field(default=20000, description="first port of the workers")
    worker_high: Port = Field(default=20999, description="last port of the workers")

    @model_validator(mode="after")
    def _no_two_share_a_port(self) -> "Ports":
        found: list[Finding] = []
        if self.worker_high - self.worker_low < LEAST_WORKERS - 1:
            text = "must be at least 99 above worker_low; every process needs one"
            found.append((("worker_high",), text, (("worker_low",),)))
        seen: dict[int, str] = {}
        for name, port in self:
            if name in ("worker_low", "worker_high"):
                continue
            if (other := seen.setdefault(port, name)) != name:
                found.append(((name,), f"{port} is also {other}", ((other,),)))
            elif self.worker_low <= port <= self.worker_high:
                text = f"{port} lies in the workers' range"
                found.append(((name,), text, (("worker_low",), ("worker_high",))))
        complain(found)
        return self


def _not_zero(text: str) -> str:
    """Refuse a memory size of 0, which has the form of a size."""
    if not float(text.rstrip("KMGTiB ")):
        complain([((), f"must be like 192 GB, got {show(text)}", ())])
    return text


def _labels(given: Any) -> Any:
    """Refuse labels that Ray would refuse, and those that rho-sweep sets; each with its key."""
    if not isinstance(given, dict):
        return given
    label = f"must be {PATTERNS[LABEL]}, got "
    found: list[Finding] = []
    for key, value in given.items():
        if key in OWN_LABELS:
            found.append(((key,), f"{key} is set by rho-sweep; choose another", ()))
        else:
            texts = (key, value)
            wrong = [w for w in texts if not (isinstance(w, str) and re.fullmatch(LABEL, w))]
            found += [((key,), label + show(w), ()) for w in wrong[:1]]
    complain(found)
    return given


class Host(Checked):
    """One machine."""

    name: Annotated[str, Field(pattern=LABEL)] = Field(
        description="names it in tables and messages", examples=["studio-1"]
    )
    address: Annotated[str, Field(pattern=ADDRESS)] = Field(
        description="IP address or name, for ssh and for Ray", examples=["10.0.0.11"]
    )
    ssh_port: Annotated[int, Field(ge=1, le=65535)] = Field(
        default=22, description="port of its sshd"
    )
    slots: Annotated[Whole, Field(ge=1)] = Field(default=1, description="cells at once")
    memory: Annotated[str, Field(pattern=MEMORY), AfterValidator(_not_zero)] | None = Field(
        default=None,
        description="unified memory as Apple counts, 192 GB is 192 x 2^30 bytes; null: asked for",
        examples=["192 GB"],
    )
    chip: Text | None = Field(
        default=None, description="its processor; null: asked for", examples=["M2 Ultra"]
    )
    labels: Annotated[dict[str, str], BeforeValidator(_labels)] = Field(
        default={},
        description="more Ray labels of this host",
        json_schema_extra={
            "x-must": "hold keys and texts",
            "additionalProperties": {"type": "string", "pattern": LABEL},
            "propertyNames": {"pattern": LABEL, "not": {"enum": list(OWN_LABELS)}},
        },
    )

    @property
    def memory_bytes(self) -> int | None:
        """Unified memory; None to ask the host."""
        match = re.fullmatch(MEMORY, self.memory or "")
        return int(float(match[1]) * MEMORY_UNIT[match[2]]) if match else None

    def usable_bytes(self, reported: int | None) -> int | None:
        """Of its memory: what it reported, and no more than the file says; None if neither is."""
        return min((n for n in (self.memory_bytes, reported) if n), default=None)


def _key(given: Any, info: ValidationInfo) -> Any:
    """The path of a private key, which must exist; relative to the cluster file."""
    if not isinstance(given, str) or not given.strip():
        return given
    folder: Path = info.context or Path()
    path = folder / Path(os.path.expanduser(given))  # noqa: PTH111 - never raises, and so the next
    if not os.path.isfile(path):  # noqa: PTH113
        text = "no such file; leave it out to use what ssh would use"
        complain([((), f"{given}: {text}", ())])
    if REPLACED_BY_SSH.search(str(path)):
        text = "ssh would replace %, ${ or a control character of this path; rename it"
        complain([((), f"{path}: {text}", ())])
    return path


class Cluster(Checked):
    """A cluster file that names hosts."""

    name: Name = Field(
        description="names the cluster on its hosts; two clusters on one host need two names",
        examples=["studios"],
    )
    user: Name | None = Field(
        default=None, description="logs in over ssh; null: what ssh would use"
    )
    key: Annotated[
        Path | None,
        BeforeValidator(_key),
        WithJsonSchema({"anyOf": [{"type": "string", "pattern": r"\S"}, {"type": "null"}]}),
    ] = Field(
        default=None,
        description="private key on this machine; null: what ssh would use; one with a passphrase "
        "must be in the agent",
    )
    python: Annotated[str, Field(pattern=ABSOLUTE)] = Field(
        description="interpreter, on every host, that makes the environments",
        examples=["/opt/homebrew/bin/python3.11"],
    )
    root: Annotated[str, Field(pattern=FOLDER), AfterValidator(lambda v: v.rstrip("/"))] = Field(
        default="~/.rho-sweep", description="folder on every host for all files of rho-sweep"
    )
    head: str = Field(
        default="",
        description="name of the host where Ray's head and the driver run; default: the first",
    )
    ports: Ports = Field(default=Ports(), description="what Ray listens on")
    tls: bool = Field(
        default=False,
        description="encrypt Ray's own connections; certificates are made at `up` with `openssl`",
    )
    hosts: Annotated[
        tuple[Host, ...], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)
    ] = Field(
        min_length=1,
        description="the machines",
        json_schema_extra={"x-must": "be a list of hosts, each with name and address"},
    )

    model_config = ConfigDict(title="Cluster")

    @model_validator(mode="before")
    @classmethod
    def _the_first_host_is_the_head(cls, given: Any) -> Any:
        hosts = given.get("hosts") if isinstance(given, dict) else None
        first = hosts[0] if isinstance(hosts, list | tuple) and hosts else None
        name = first.get("name") if isinstance(first, dict) else getattr(first, "name", None)
        return {"head": name, **given} if isinstance(name, str) and name else given

    @model_validator(mode="after")
    def _hosts_are_told_apart(self) -> "Cluster":
        found: list[Finding] = []
        names = tuple(h.name for h in self.hosts)
        if self.head not in names:
            text = f"{show(self.head)} is no host's name{hint(self.head, names)}"
            found.append((("head",), text, (("hosts",),)))
        for what in ("name", "address"):
            seen: dict[str, int] = {}
            for i, value in enumerate(getattr(h, what) for h in self.hosts):
                if (other := seen.setdefault(value, i)) != i:
                    text = f"{value} is also the {what} of hosts[{other}]"
                    found.append((("hosts", i, what), text, ()))
        complain(found)
        return self

    @property
    def head_host(self) -> Host:
        """The host that `head` names."""
        return next(h for h in self.hosts if h.name == self.head)

    @property
    def gcs_address(self) -> str:
        """`host:port` that nodes and drivers connect to."""
        return f"{self.head_host.address}:{self.ports.gcs}"


class ThisMachine(Checked):
    """A cluster file that means a Ray that is started here."""

    name: Name = Field(default=UNSET, description="of no use here")
    address: Literal["local"] = Field(
        description="this machine",
        json_schema_extra={
            "x-must": "be local, or left out with the machines under hosts:; see docs/cluster.md"
        },
    )

    model_config = ConfigDict(
        json_schema_extra={"x-unknown": "stands beside `address: local`; leave one of them out"},
    )
