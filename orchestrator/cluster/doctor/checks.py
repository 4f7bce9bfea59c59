"""`cluster doctor`: examines every host before anything runs."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from orchestrator.cells.load import resolve
from orchestrator.cluster import assets as needs
from orchestrator.cluster import canary
from orchestrator.cluster import ray as cluster_ray
from orchestrator.cluster.assets import Need
from orchestrator.cluster.canary import Song, Verdict
from orchestrator.cluster.doctor import findings as host_findings
from orchestrator.cluster.doctor.findings import Clock
from orchestrator.cluster.prefetch import is_there
from orchestrator.cluster.ray import Answer, ask, host_command, local_folder
from orchestrator.cluster.ssh import Gathered, Remote, on_all, remotes
from orchestrator.cluster.wheel import this_version
from orchestrator.config.foreign_json import BadAnswerError, parse, shown
from orchestrator.config.hosts import Cluster, Host
from orchestrator.config.sweep_file import Sweep
from orchestrator.errors import UserError
from orchestrator.inspection import macs
from orchestrator.inspection.local_checks import NOTE, OK, PROBLEM, Finding
from orchestrator.results.files import write_whole

HOST = "orchestrator.cluster.on_host.facts"
FACTS = {
    "time": float,
    "addresses": {str: [str]},
    "chip": str,
    "python": str,
    "versions": {str: str},
    "environment": str,
    "disk_free_bytes": int,
    "memory_bytes": int,
    "memory_free_bytes": int,
    "mac": (None, {str: str}),
    "listening": [int],
    "taken": [int],
    "token": (None, {"right": str, "wrong": str, "none": str}),
}
SONG = {
    "bits": str,
    "adapter_sha256": str,
    "scores": {str: float},
    "chip": str,
    "family": str,
    "seconds": float,
}
LOOK_S, CANARY_S = 120.0, 600.0
PREFETCH = "run: rho-sweep cluster prefetch"


@dataclass(frozen=True, slots=True)
class Report:
    """What `doctor` found.

    Attributes:
        findings: Host name -> findings, in the order of the file.
        verdicts: Host name -> verdict of the canary.
    """

    findings: dict[str, list[Finding]]
    verdicts: dict[str, Verdict] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether nothing is a problem."""
        return all(f.level != PROBLEM for found in self.findings.values() for f in found)

    def as_json(self) -> dict[str, Any]:
        """As docs/json.md lists it."""
        return {
            "tolerance": canary.TOLERANCE,
            "hosts": [
                {
                    "host": host,
                    "findings": [asdict(f) for f in found],
                    "canary": asdict(self.verdicts[host]) if host in self.verdicts else None,
                }
                for host, found in self.findings.items()
            ],
        }


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a sweep needs of a host: models and data, and bytes of memory for its largest cell."""

    needs: list[Need]
    cell_bytes: int | None


@dataclass(frozen=True, slots=True)
class Seen:
    """A host's facts, its clock, and label -> problem of each need that is not there."""

    facts: Answer
    clock: Clock
    absent: dict[str, str]


def examine(cluster: Cluster, sweep: Sweep | None, say: cluster_ray.Say) -> Report:
    """Examine all hosts at once, run the canary on those that answer, write its verdicts.

    Raises:
        UserError: The sweep does not resolve, or a host name has no address.
    """
    wanted = _Wanted([], None)
    if sweep is not None:
        found = needs.of_sweep(sweep, download=False)
        expansion, resolver = resolve(sweep, download=False)
        sizes = [resolver.memory(spec) for spec in expansion.all]
        wanted = _Wanted(found, max((size for size in sizes if size is not None), default=None))
    addresses = cluster_ray.resolve(cluster.hosts)
    seen = look(cluster, addresses, wanted.needs)
    say(f"canary: one small cell on {len(seen.done)} hosts")
    spec = json.dumps(asdict(canary.spec())).encode()
    there = [r for r in remotes(cluster) if r.host.name in seen.done]
    songs = on_all(there, lambda remote: _sing(remote, spec))
    verdicts = canary.judge(songs.done, seen.failed | songs.failed, cluster.head)
    findings = {
        host.name: list(_findings(cluster, host, addresses[host.name], seen, wanted, verdicts))
        for host in cluster.hosts
    }
    # the verdicts go where launches read them: here, and on the head
    at = datetime.now(UTC).isoformat(timespec="seconds")
    content = canary.as_file(verdicts, this_version().environment, at)
    write_whole(local_folder(cluster) / canary.FILE, content)
    if cluster.head in seen.done:
        try:
            head = Remote(cluster, cluster.head_host)
            ask(head, "keep", LOOK_S, {}, HOST, verdict=content.decode())
        except UserError as error:
            finding = Finding(NOTE, "canary", f"not kept on the head: {error}")
            findings[cluster.head].append(finding)
    return Report(findings, verdicts)


def look(cluster: Cluster, addresses: Mapping[str, str], wanted: list[Need]) -> Gathered[Seen]:
    """The facts of all hosts, asked at once, and what of the wanted is not there."""
    gcs: list[object] = [addresses[cluster.head], cluster.ports.gcs]
    return on_all(remotes(cluster), lambda remote: _look(remote, gcs, wanted))


def _look(remote: Remote, gcs: list[object], wanted: list[Need]) -> Seen:
    asked = time.time()
    ports = remote.cluster.ports.model_dump()
    facts = ask(remote, "examine", LOOK_S, FACTS, HOST, ports=ports, gcs=gcs)
    own = Clock.read(asked, facts["time"], time.time())
    checked = {need.label: is_there(remote, need) for need in wanted}
    return Seen(facts, own, {label: why for label, why in checked.items() if why})


def _sing(remote: Remote, spec: bytes) -> Song:
    done = remote.run(
        host_command(remote.cluster, "orchestrator.cluster.canary"), input=spec, timeout_s=CANARY_S
    )
    if done.code != 0:
        raise UserError(done.said)
    try:
        return Song(**parse((done.stdout.splitlines() or [b""])[-1], SONG))
    except (BadAnswerError, TypeError) as error:  # TypeError: more keys than a song has
        raise UserError(f"its canary is refused: {shown(str(error))}") from None


def _findings(
    cluster: Cluster,
    host: Host,
    address: str,
    seen: Gathered[Seen],
    wanted: _Wanted,
    verdicts: dict[str, Verdict],
) -> Iterator[Finding]:
    if host.name in seen.failed:
        yield Finding(PROBLEM, "reach", seen.failed[host.name])
        return
    own = seen.done[host.name]
    head = seen.done.get(cluster.head, own)
    facts = own.facts
    yield Finding(OK, "reach", f"{host.address}, {host.chip or facts['chip']}")
    yield host_findings.address(facts, address)
    yield host_findings.clock(own.clock, head.clock)
    yield from host_findings.versions(facts, head.facts, this_version().environment)
    yield from host_findings.space(facts, host, wanted.cell_bytes)
    yield from macs.findings(facts["mac"])
    yield from host_findings.family(facts, head.facts)
    yield host_findings.open_ports(facts, cluster.ports)
    yield host_findings.token(facts["token"], tls=cluster.tls)
    for need in wanted.needs:
        why = own.absent.get(need.label)
        topic = "model" if need.kind == "model" else "data"
        level, text = (PROBLEM, f"{need.label}: {why}; {PREFETCH}") if why else (OK, need.label)
        yield Finding(level, topic, text)
    yield host_findings.canary(verdicts[host.name])
