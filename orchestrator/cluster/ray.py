"""Starts, stops and examines Ray on every host of a cluster, from the laptop over ssh."""

import contextlib
import hashlib
import json
import os
import re
import secrets
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.cluster import certificates
from orchestrator.cluster.ssh import (
    LARGEST_ANSWER,
    Gathered,
    Remote,
    on_all,
    quoted,
    remotes,
)
from orchestrator.cluster.wheel import this_version
from orchestrator.config.foreign_json import BadAnswerError, parse
from orchestrator.config.hosts import Cluster, Host
from orchestrator.errors import UserError
from orchestrator.execution.engines.ray_settings import NodePlan, label, remote_folder
from orchestrator.results.files import demand_spelling, write_whole

LOOK_S, START_S, STOP_S, NODES_S = 60.0, 300.0, 60.0, 60.0
NOT_INSTALLED = 127
RAY_HOST = "orchestrator.cluster.on_host.ray"
LOOK = {
    "chip": str,
    "system": str,
    "memory_bytes": int,
    "free_bytes": int,
    "complaint": (None, str),
    "token": (None, str),
    "session": (None, str),
    "same_version": bool,
    "head": bool,
    "keeper": bool,
}
NODES = {"alive": {str: {"slots": int, "used": int}}}
TOKEN = re.compile(r"[0-9a-f]{64}")
T = TypeVar("T")
Say = Callable[[str], None]
Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a cluster's nodes share.

    Attributes:
        token: Required by Ray of every process that connects.
        certificates: Host name -> file name -> PEM; empty without TLS.
    """

    token: str
    certificates: dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Raised:
    """What `bring_up` did.

    Attributes:
        fresh: Whether the cluster was started from nothing, with a new token.
        hosts: Host name -> `up` (it was already) or `started`.
        failed: Host name -> why it is not up.
    """

    fresh: bool
    hosts: dict[str, str]
    failed: dict[str, str]


def environment_folder(cluster: Cluster) -> str:
    """This version's environment on a host; may start with `~/`."""
    return f"{cluster.root}/env/{this_version().environment}"


def ask(
    remote: Remote,
    action: str,
    timeout_s: float,
    shape: Any,
    module: str = RAY_HOST,
    **request: Any,
) -> Any:
    """Run an action of a module on a host, by default of `on_host.ray`; returns its JSON answer.

    Args:
        remote: The host.
        action: What to run there.
        timeout_s: Then the host is given up.
        shape: What the answer must be, as in `config.foreign_json`.
        module: Of which module the action is.
        request: What the action gets.

    Raises:
        UserError: As `run_there`, or the answer has another shape.
    """
    raw = run_there(remote, module, action, timeout_s, **request)
    try:
        return parse(raw, shape)
    except BadAnswerError as error:
        raise refused(remote, action, error) from None


def refused(remote: Remote, action: str, error: BadAnswerError) -> UserError:
    """The error of an answer that this version's host would not give."""
    return remote.error(f"its answer to {action!r} is refused: {error}")


def run_there(
    remote: Remote,
    module: str,
    action: str,
    timeout_s: float,
    limit: int = LARGEST_ANSWER,
    **request: Any,
) -> bytes:
    """Run an action of a module on a host, with the request as JSON; returns its standard output.

    Raises:
        UserError: The host cannot be reached, lacks this version, answers more than `limit` bytes,
            or the action fails.
    """
    cluster = remote.cluster
    body = {"root": cluster.root, "cluster": cluster.name, **request}
    done = remote.run(
        f"{host_command(cluster, module)} {action}",
        input=json.dumps(body).encode(),
        timeout_s=timeout_s,
        limit=limit,
    )
    if done.code == NOT_INSTALLED:
        raise remote.error("this version is not installed; run: rho-sweep cluster install")
    if done.code != 0:
        raise remote.error(done.said)
    return done.stdout


def host_command(cluster: Cluster, module: str) -> str:
    """Shell command that runs a module of this version; it ends with 127 if not installed."""
    folder = environment_folder(cluster)
    return (
        f"test -f {quoted(folder + '/complete')} || exit {NOT_INSTALLED}; "
        f"exec {quoted(folder + '/bin/python')} -P -m {module}"
    )


def look(cluster: Cluster) -> Gathered[Answer]:
    """State of every host; see `on_host.ray.look`."""
    return on_all(remotes(cluster), lambda remote: ask(remote, "look", LOOK_S, LOOK))


def bring_up(cluster: Cluster, say: Say) -> Raised:
    """Start Ray on the hosts where it does not run.

    If the head's GCS (Ray's central process) runs, only nodes that are down are started, with the
    token that the others have. If not, what is left of the cluster is stopped everywhere and all
    nodes are started, with a new token and new certificates.

    Raises:
        UserError: The head cannot be reached or does not start.
    """
    demand_spelling(local_folder(cluster), "use that spelling in name:, or another name")
    head = _head(cluster)
    addresses = resolve(cluster.hosts)
    seen = look(cluster)
    if cluster.head in seen.failed:
        raise UserError(f"no cluster without its head\n{seen.failed[cluster.head]}")
    complaints = [f"{n}: {a['complaint']}" for n, a in seen.done.items() if a["complaint"]]
    complaints += [
        f"{name}: runs Ray of another version of rho-sweep; first: rho-sweep cluster down"
        for name, answer in seen.done.items()
        if not answer["same_version"]
    ]
    if complaints:
        raise UserError("\n".join(complaints))
    fresh = not seen.done[cluster.head]["head"]
    plans = {h.name: plan_for(cluster, h, addresses, seen.done.get(h.name)) for h in cluster.hosts}
    if fresh:
        made = certificates.make(cluster.name, addresses) if cluster.tls else {}
        shared = Secrets(secrets.token_hex(32), made)
        _remember(cluster, shared)
        say(f"{cluster.head}: starting the head")
        on_all([r for r in remotes(cluster) if r.host.name in seen.done], _stop)
        _start(head, plans[cluster.head], shared, head=True)
        healthy: set[str] = {cluster.head}
    else:
        shared = _known_secrets(head)
        healthy = _healthy(head, addresses, seen, shared)
    missing = [r for r in remotes(cluster) if r.host.name not in healthy | seen.failed.keys()]
    if missing:
        say(f"{', '.join(r.host.name for r in missing)}: starting")
    joined = on_all(missing, lambda r: _start(r, plans[r.host.name], shared, head=False))
    hosts = dict.fromkeys(healthy, "started" if fresh else "up") | joined.done
    return Raised(fresh, _in_order(cluster, hosts), seen.failed | joined.failed)


def take_down(cluster: Cluster) -> Gathered[dict[str, int]]:
    """Stop what `bring_up` started; host name -> kind of process -> how many were stopped."""
    others = [r for r in remotes(cluster) if r.host.name != cluster.head]
    stopped = on_all(others, _stop)  # the head last: a raylet ends quickly while it can tell it
    last = on_all([_head(cluster)], _stop)
    for secret in ("token", "certificates.json"):
        (local_folder(cluster) / secret).unlink(missing_ok=True)
    done = _in_order(cluster, stopped.done | last.done)
    return Gathered(done, stopped.failed | last.failed)


def status(cluster: Cluster) -> list[Answer]:
    """One row per host, in the file's order; docs/json.md lists the keys."""
    seen = look(cluster)
    alive: dict[str, Answer] = {}
    if seen.done.get(cluster.head, {}).get("head"):
        with contextlib.suppress(UserError):
            alive = ask(_head(cluster), "nodes", NODES_S, NODES)["alive"]
    addresses = resolve(cluster.hosts)
    return [_row(cluster, h, addresses[h.name], seen, alive) for h in cluster.hosts]


def local_folder(cluster: Cluster) -> Path:
    """Folder of the cluster's token on this machine: `~/.rho-sweep/clusters/<name>`."""
    home = os.path.expanduser("~/.rho-sweep/clusters")  # noqa: PTH111 - never raises
    return Path(home) / cluster.name


def token_path(cluster: Cluster) -> Path:
    """This machine's copy of the token, mode 0600."""
    return local_folder(cluster) / "token"


def resolve(hosts: Iterable[Host]) -> dict[str, str]:
    """Host name -> IP address.

    Raises:
        UserError: Names that do not resolve, all in one message.
    """
    found, unknown = {}, []
    for host in hosts:
        try:
            # IPv4 first: the IPv6 address of a name is often good for one link only
            try:
                known = socket.getaddrinfo(host.address, None, socket.AF_INET)
            except OSError:
                known = socket.getaddrinfo(host.address, None)
            found[host.name] = str(known[0][4][0])
        except OSError:
            unknown.append(f"{host.name}: {host.address} has no IP address; give one")
    if unknown:
        raise UserError("\n".join(unknown))
    return found


def plan_for(
    cluster: Cluster, host: Host, addresses: dict[str, str], seen: Answer | None
) -> NodePlan:
    """What a host runs; values that the file leaves out are those that the host reported."""
    known = seen or {"chip": "unknown", "system": "unknown"}
    own = {
        "host": host.name,
        "chip": label(host.chip or known["chip"]),
        "system": label(known["system"]),
    }
    return NodePlan(
        host=host.name,
        address=addresses[host.name],
        gcs=f"{addresses[cluster.head]}:{cluster.ports.gcs}",
        slots=host.slots,
        memory_bytes=host.usable_bytes(seen["memory_bytes"] if seen else None) or 1 << 30,
        labels=host.labels | own,
        ports=cluster.ports,
        tls=cluster.tls,
    )


def _head(cluster: Cluster) -> Remote:
    return Remote(cluster, cluster.head_host)


def _stop(remote: Remote) -> dict[str, int]:
    stopped: dict[str, int] = ask(remote, "stop", STOP_S, {"stopped": {str: int}})["stopped"]
    return stopped


def _start(remote: Remote, plan: NodePlan, shared: Secrets, *, head: bool) -> str:
    certificates_ = shared.certificates.get(remote.host.name, {})
    request: dict[str, Any] = {"plan": plan.as_json(), "head": head, "token": shared.token}
    ask(remote, "start", START_S, {}, certificates=certificates_, **request)
    return "started"


def _known_secrets(head: Remote) -> Secrets:
    """Secrets of a running cluster: the head's token, and certificates if made on this machine."""
    cluster = head.cluster
    path = quoted(f"{remote_folder(cluster.root, cluster.name)}/token")
    token = head.demand(f"cat {path}", timeout_s=LOOK_S).decode(errors="replace")
    if not TOKEN.fullmatch(token):
        raise head.error("its token is none that `cluster up` made; run cluster down, then up")
    kept = local_folder(cluster) / "certificates.json"
    made = {}
    if cluster.tls and kept.is_file():
        try:
            made = parse(kept.read_bytes(), {str: {str: str}})
        except BadAnswerError as error:
            raise UserError(
                f"{kept}: cannot be read ({error})", "delete it, run cluster down, then up"
            ) from None
    shared = Secrets(token, made)
    _remember(cluster, shared)
    return shared


def _remember(cluster: Cluster, shared: Secrets) -> None:
    folder = local_folder(cluster)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # `cluster doctor` may have made it, open to others
    write_whole(token_path(cluster), shared.token.encode(), private=True)
    if shared.certificates:
        kept = json.dumps(shared.certificates).encode()
        write_whole(folder / "certificates.json", kept, private=True)


def _healthy(
    head: Remote, addresses: dict[str, str], seen: Gathered[Answer], shared: Secrets
) -> set[str]:
    """Hosts whose raylet runs, belongs to the head's session, and is alive in Ray's list there."""
    alive = ask(head, "nodes", NODES_S, NODES)["alive"]
    session = seen.done[head.host.name]["session"]
    digest = hashlib.sha256(shared.token.encode()).hexdigest()
    return {
        name
        for name, answer in seen.done.items()
        if answer["session"] is not None
        and session in (None, answer["session"])
        and answer["token"] == digest
        and answer["keeper"]
        and addresses[name] in alive
    }


def _in_order(cluster: Cluster, hosts: dict[str, T]) -> dict[str, T]:
    return {h.name: hosts[h.name] for h in cluster.hosts if h.name in hosts}


def _row(
    cluster: Cluster, host: Host, address: str, seen: Gathered[Answer], alive: dict[str, Answer]
) -> Answer:
    answer, node = seen.done.get(host.name), alive.get(address)
    here = "up" if answer and answer["session"] and node else "down"
    known = answer or {"chip": None, "memory_bytes": None, "free_bytes": None}
    return {
        "host": host.name,
        "address": host.address,
        "state": here if answer else "unreachable",
        "head": host.name == cluster.head,
        "chip": host.chip or known["chip"],
        "slots": host.slots,
        "running": node["used"] if node else None,
        "memory_bytes": host.usable_bytes(known["memory_bytes"]),
        "free_bytes": known["free_bytes"],
        "message": seen.failed.get(host.name),
    }
