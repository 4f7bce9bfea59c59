"""`cluster.yaml`: the hosts that run cells, checked."""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from orchestrator.config.fields import Field, hint, show
from orchestrator.config.hosts import Cluster, Host, Ports
from orchestrator.config.yaml_lines import Document, Route, parse_yaml, raise_problems
from orchestrator.errors import Problem, UserError
from tasks.contract.cell import NodeError
from tasks.sources.jsonl import read_text

__all__ = ["Cluster", "Host", "Ports", "demand_cluster", "load_cluster", "parse_cluster"]

LOCAL = "local"
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
ADDRESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:%_-]*")
LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
FILE_PATH = re.compile(r"(~|)/[^\0\n]*")
MEMORY = re.compile(r"(\d+(?:\.\d+)?) ?([MGT])i?B")
MEMORY_UNIT = {"M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
OWN_LABELS = ("host", "chip")


PORT = Field(kind="int", low=1024, high=65535)
CLUSTER_FIELDS = {
    "user": Field(kind="text", default=None, optional=True),
    "key": Field(kind="text", default=None, optional=True),
    "python": Field(kind="text"),
    "root": Field(kind="text", default="~/.rho-sweep"),
    "tls": Field(kind="flag", default=False),
}
HOST_FIELDS = {
    "name": Field(kind="text"),
    "address": Field(kind="text"),
    "ssh_port": Field(kind="int", low=1, high=65535, default=22),
    "slots": Field(kind="int", low=1, default=1),
    "memory": Field(kind="text", default=None, optional=True),
    "chip": Field(kind="text", default=None, optional=True),
}
PORT_KEYS = tuple(f.name for f in fields(Ports))
SHARED_PORT_KEYS = PORT_KEYS[:-2]
CLUSTER_KEYS = ("name", "head", *CLUSTER_FIELDS, "ports", "hosts")
HOST_KEYS = (*HOST_FIELDS, "labels")


def load_cluster(path: Path) -> Cluster | None:
    """Read a cluster file; None if it says `address: local`, a Ray that is started here.

    Raises:
        UserError: The file cannot be read; `SweepError` lists what is wrong in it.
    """
    try:
        text = read_text(path)
    except NodeError as error:
        raise UserError(str(error)) from None
    document = parse_yaml(text, str(path), path.resolve().parent)
    if "address" not in document.value:
        return parse_cluster(document)
    raise_problems(document, list(_not_local(document)))
    return None


def demand_cluster(path: Path) -> Cluster:
    """A cluster file that names hosts.

    Raises:
        UserError: As `load_cluster`, or it means this machine only.
    """
    cluster = load_cluster(path)
    if cluster is None:
        raise UserError(f"{path}: `address: local` has no hosts to log in to; see docs/cluster.md")
    return cluster


def _not_local(document: Document) -> Iterator[Problem]:
    """What is wrong with a file that says `address: local`."""
    yield from document.problems
    for key, value in document.value.items():
        if key not in ("name", "address"):
            yield document.problem((key,), "stands beside `address: local`; leave one of them out")
        elif key == "name" and not _is_word(value):
            yield document.problem((key,), _word_wanted(value))
    if document.value["address"] != LOCAL:
        wanted = f"must be {LOCAL}, or left out with the machines under hosts:; see docs/cluster.md"
        yield document.problem(("address",), wanted)


def parse_cluster(document: Document) -> Cluster:
    """Check a document that names hosts.

    Raises:
        SweepError: Everything that is wrong with it.
    """
    problems = list(document.problems)
    problems += _unknown(document, (), document.value, CLUSTER_KEYS)
    problems += _names_cluster(document)
    values = _values(document, (), document.value, CLUSTER_FIELDS, problems)
    problems += _paths(document, values)
    ports = _ports(document, problems)
    hosts = _hosts(document, problems)
    problems += _distinct(document, hosts)
    head = _head(document, hosts, problems)
    raise_problems(document, problems)
    return Cluster(
        name=document.value["name"],
        user=values["user"],
        key=None if values["key"] is None else _local_path(values["key"], document.folder),
        python=values["python"],
        root=values["root"].rstrip("/"),
        head=head,
        ports=ports,
        tls=values["tls"],
        hosts=tuple(host for _, host in hosts),
    )


def _unknown(
    document: Document, route: Route, mapping: dict[str, Any], known: tuple[str, ...]
) -> Iterator[Problem]:
    for key in mapping:
        if key not in known:
            yield document.problem((*route, key), f"unknown key{hint(key, known)}")


def _values(
    document: Document,
    route: Route,
    mapping: dict[str, Any],
    known: dict[str, Field],
    problems: list[Problem],
) -> dict[str, Any]:
    """Value of every known key, None where it is wrong; problems are appended."""
    found: dict[str, Any] = {}
    for key, field in known.items():
        found[key] = None
        if key not in mapping and field.required:
            problems.append(document.problem((*route, key), "is missing"))
        elif key not in mapping:
            found[key] = field.default
        elif complaint := field.complaint(mapping[key]):
            problems.append(document.problem((*route, key), complaint))
        else:
            found[key] = mapping[key]
    return found


def _names_cluster(document: Document) -> Iterator[Problem]:
    name = document.value.get("name")
    if name is None:
        yield document.problem(("name",), "is missing; it names the cluster on its hosts")
    elif not _is_word(name):
        yield document.problem(("name",), _word_wanted(name))


def _paths(document: Document, values: dict[str, Any]) -> Iterator[Problem]:
    if values["user"] is not None and not _is_word(values["user"]):
        yield document.problem(("user",), _word_wanted(values["user"]))
    if values["python"] is not None and not values["python"].startswith("/"):
        yield document.problem(
            ("python",), f"must be an absolute path on the hosts, got {show(values['python'])}"
        )
    if values["root"] is not None and not FILE_PATH.fullmatch(values["root"]):
        yield document.problem(
            ("root",), f"must be an absolute path or start with ~/, got {show(values['root'])}"
        )
    if values["key"] is not None and not _local_path(values["key"], document.folder).is_file():
        yield document.problem(
            ("key",), f"{values['key']}: no such file; leave it out to use what ssh would use"
        )


def _local_path(text: str, folder: Path) -> Path:
    path = Path(text).expanduser()
    return path if path.is_absolute() else folder / path


def _ports(document: Document, problems: list[Problem]) -> Ports:
    given = document.value.get("ports", {})
    if not isinstance(given, dict):
        problems.append(document.problem(("ports",), f"must hold keys and numbers, got {given}"))
        return Ports()
    before = len(problems)
    problems += _unknown(document, ("ports",), given, PORT_KEYS)
    problems += [
        document.problem(("ports", key), complaint)
        for key, value in given.items()
        if key in PORT_KEYS and (complaint := PORT.complaint(value))
    ]
    if len(problems) > before:
        return Ports()
    ports = Ports(**given)
    problems += _clashes(document, ports)
    return ports


def _clashes(document: Document, ports: Ports) -> Iterator[Problem]:
    if ports.worker_high - ports.worker_low < 99:
        yield document.problem(
            ("ports", "worker_high"),
            "must be at least 99 above worker_low; every process needs one",
        )
    seen: dict[int, str] = {}
    for key in SHARED_PORT_KEYS:
        port = getattr(ports, key)
        other = seen.setdefault(port, key)
        if other != key:
            yield document.problem(("ports", key), f"{port} is also {other}")
        elif ports.worker_low <= port <= ports.worker_high:
            yield document.problem(("ports", key), f"{port} lies in the workers' range")


Found = tuple[Route, Host]


def _hosts(document: Document, problems: list[Problem]) -> list[Found]:
    """The hosts that are well-formed, with their places; problems are appended."""
    given = document.value.get("hosts")
    if not isinstance(given, list) or not given:
        problems.append(
            document.problem(("hosts",), "must be a list of hosts, each with name and address")
        )
        return []
    found = (_host(document, ("hosts", i), item, problems) for i, item in enumerate(given))
    return [host for host in found if host is not None]


def _host(document: Document, route: Route, item: Any, problems: list[Problem]) -> Found | None:
    if not isinstance(item, dict):
        problems.append(document.problem(route, f"must hold keys and values, got {show(item)}"))
        return None
    before = len(problems)
    problems += _unknown(document, route, item, HOST_KEYS)
    values = _values(document, route, item, HOST_FIELDS, problems)
    memory = _memory(document, route, values.pop("memory"), problems)
    labels = _labels(document, route, item.get("labels", {}), problems)
    if values["name"] is not None and not LABEL_VALUE.fullmatch(values["name"]):
        problems.append(document.problem((*route, "name"), _word_wanted(values["name"])))
    if values["address"] is not None and not ADDRESS.fullmatch(values["address"]):
        wanted = f"must be an IP address or a host name, got {show(values['address'])}"
        problems.append(document.problem((*route, "address"), wanted))
    if len(problems) > before:
        return None
    return route, Host(**values, memory_bytes=memory, labels=labels)


def _memory(
    document: Document, route: Route, text: str | None, problems: list[Problem]
) -> int | None:
    if text is None:
        return None
    match = MEMORY.fullmatch(text)
    if match is None or float(match[1]) == 0:
        wanted = f"must be like 192 GB, got {show(text)}"
        problems.append(document.problem((*route, "memory"), wanted))
        return None
    return int(float(match[1]) * MEMORY_UNIT[match[2]])


def _labels(
    document: Document, route: Route, given: Any, problems: list[Problem]
) -> dict[str, str]:
    if not isinstance(given, dict):
        problems.append(
            document.problem((*route, "labels"), f"must hold keys and texts, got {show(given)}")
        )
        return {}
    for key, value in given.items():
        place = (*route, "labels", key)
        if key in OWN_LABELS:
            problems.append(document.problem(place, f"{key} is set by rho-sweep; choose another"))
        elif not LABEL_VALUE.fullmatch(key):
            problems.append(document.problem(place, _word_wanted(key)))
        elif not isinstance(value, str) or not LABEL_VALUE.fullmatch(value):
            problems.append(document.problem(place, _word_wanted(value)))
    return {str(k): str(v) for k, v in given.items()}


def _distinct(document: Document, hosts: list[Found]) -> Iterator[Problem]:
    names: dict[str, str] = {}
    addresses: dict[str, str] = {}
    for number, (route, host) in enumerate(hosts):
        me = f"hosts[{number}]"
        if (other := names.setdefault(host.name, me)) != me:
            yield document.problem((*route, "name"), f"{host.name} is also the name of {other}")
        if (other := addresses.setdefault(host.address, me)) != me:
            yield document.problem(
                (*route, "address"), f"{host.address} is also the address of {other}"
            )


def _head(document: Document, hosts: list[Found], problems: list[Problem]) -> str:
    """The head's name; the first host's where the file names none."""
    names = tuple(host.name for _, host in hosts)
    given = document.value.get("head", names[0] if names else "")
    if names and given not in names:
        problems.append(
            document.problem(("head",), f"{show(given)} is no host's name{hint(str(given), names)}")
        )
    return str(given)


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and WORD.fullmatch(value) is not None


def _word_wanted(value: Any) -> str:
    return f"must be letters, digits, dots and dashes, got {show(value)}"
