"""Judges a host's facts: findings that say what to do. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import islice
from typing import Any

from orchestrator.cluster.canary import TOLERANCE, Verdict
from orchestrator.config.hosts import Host, Ports
from orchestrator.inspection.local_checks import ENOUGH_DISK, NOTE, OK, PROBLEM, Finding

SKEW_S = 2.0
"""Largest harmless difference of two clocks: with more, logs of two hosts are hard to compare."""
SHOWN = 8
"""Addresses of a host in one line."""
CLOCK_ADVICE = "on both set the clock automatically (macOS: General, Date & Time)"
Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Clock:
    """A host's clock, compared with this machine's.

    Attributes:
        ahead_s: Estimate of how far it is ahead.
        error_s: Largest possible error of the estimate, in either direction.
    """

    ahead_s: float
    error_s: float

    @classmethod
    def read(cls, asked_at: float, there: float, answered_at: float) -> "Clock":
        """From three times in seconds: the question, the answer on the host, its arrival here."""
        half = (answered_at - asked_at) / 2
        return cls(there - asked_at - half, half)

    def certainly_ahead_of(self, other: "Clock") -> float:
        """Seconds between the two clocks, in either direction, beyond both possible errors."""
        apart = abs(self.ahead_s - other.ahead_s)
        return max(0.0, apart - self.error_s - other.error_s)


def clock(own: Clock, head: Clock) -> Finding:
    """Whether a host's clock agrees with the head's."""
    certain = own.certainly_ahead_of(head)
    if certain <= SKEW_S:
        return Finding(OK, "clock", "goes with the head's")
    where = "ahead of" if own.ahead_s > head.ahead_s else "behind"
    return Finding(PROBLEM, "clock", f"at least {certain:.0f} s {where} the head's; {CLOCK_ADVICE}")


def address(facts: Facts, given: str) -> Finding:
    """Whether the host has the address at which the others will look for its Ray."""
    known = ip_address(given.partition("%")[0])
    listed = facts["addresses"].items()
    where = next((name for name, found in listed if str(known) in found), None)
    if where is None and not known.is_loopback:
        own = ((name[:20], a) for name, found in listed for a in found if not _on_one_link(a))
        named = ", ".join(f"{a} on {name}" for name, a in islice(own, SHOWN))
        text = f"{given} is none of its addresses ({named}), so Ray cannot listen there"
        return Finding(PROBLEM, "address", f"{text}; give one of them as its address")
    if known.is_link_local:
        text = f"{given} on {where} gave itself; after a restart it may be another"
        return Finding(NOTE, "address", f"{text}; set a fixed one (docs/cluster.md)")
    return Finding(OK, "address", f"{given} on {where or 'this machine'}")


def _on_one_link(text: str) -> bool:
    """Whether an address is of no use to other hosts; what is no address is of none."""
    try:
        found = ip_address(text)
    except ValueError:
        return True
    return found.is_loopback or (found.version == 6 and found.is_link_local)


def family(facts: Facts, head: Facts) -> Iterator[Finding]:
    """Where chip or macOS are not the head's: there may be other bits."""
    own, its = ((f["chip"], (f["mac"] or {}).get("version", "").strip()) for f in (facts, head))
    differ = [
        f"{what} {mine[:40] or 'unknown'}, the head has {other[:40] or 'unknown'}"
        for what, mine, other in zip(("chip", "macOS"), own, its, strict=True)
        if mine != other
    ]
    if differ:
        text = "may round differently, and goes on from no checkpoint of the other's"
        yield Finding(NOTE, "family", f"{'; '.join(differ)}: {text}")


def versions(facts: Facts, head: Facts, environment: str) -> Iterator[Finding]:
    """Whether Python and packages are those of the head, and the code that of this machine."""
    if facts["python"] != head["python"]:
        text = f"{facts['python']}, the head has {head['python']}; Ray wants the same everywhere"
        yield Finding(PROBLEM, "python", text)
    else:
        yield Finding(OK, "python", facts["python"])
    named = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    if facts["versions"] != head["versions"]:
        text = f"{named}; not the head's; delete env/{environment} there and install again"
        yield Finding(PROBLEM, "versions", text)
    else:
        yield Finding(OK, "versions", named)
    if facts["environment"] == environment:
        yield Finding(OK, "code", environment)
    else:
        text = (
            f"{facts['environment']} is installed as {environment}: its files were changed; "
            f"delete env/{environment} there and install again"
        )
        yield Finding(PROBLEM, "code", text)


def space(facts: Facts, host: Host, cell_bytes: int | None) -> Iterator[Finding]:
    """Whether there is room on the disk, and memory for the largest cell in every slot."""
    disk = f"{facts['disk_free_bytes'] / 2**30:.0f} GiB free"
    if facts["disk_free_bytes"] < ENOUGH_DISK:
        text = f"{disk}, {ENOUGH_DISK / 2**30:.0f} are wanted; delete old environments, or files"
        yield Finding(PROBLEM, "disk", text)
    else:
        yield Finding(OK, "disk", disk)
    free = facts["memory_free_bytes"]
    total = host.usable_bytes(facts["memory_bytes"]) or 0
    text = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    if cell_bytes is None:
        yield Finding(OK, "memory", text)
        return
    text += f"; a cell is thought to need {cell_bytes / 2**30:.1f}, slots: {host.slots}"
    if cell_bytes > total:
        yield Finding(PROBLEM, "memory", f"{text}; no cell fits: lower batch_size or max_length")
    elif cell_bytes * host.slots > min(free, total):
        yield Finding(PROBLEM, "memory", f"{text}; lower slots, or end other programs there")
    else:
        yield Finding(OK, "memory", text)


def open_ports(facts: Facts, ports: Ports) -> Finding:
    """Whether the cluster's ports are free or in use by it, and it listens on no others."""
    named = {port: key for key, port in ports if not key.startswith("worker")}
    if facts["taken"]:
        text = ", ".join(f"{named.get(p, 'port')} {p}" for p in facts["taken"])
        return Finding(
            PROBLEM, "ports", f"in use by something else: {text}; choose others under ports:"
        )
    workers = range(ports.worker_low, ports.worker_high + 1)
    strange = [p for p in facts["listening"] if p not in named and p not in workers]
    if strange:
        text = f"the cluster listens on {strange}, which no one documents; cluster down, then up"
        return Finding(PROBLEM, "ports", text)
    return Finding(OK, "ports", "the cluster's own" if facts["listening"] else "free")


def token(answers: dict[str, str] | None, *, tls: bool) -> Finding:
    """Whether the head serves the right token and no other."""
    if answers is None:
        return Finding(OK, "token", "the cluster is not up")
    refused = {answers["wrong"], answers["none"]}
    if "data" in refused:
        text = "the head answers without the right token; cluster down, and ask why before up"
        return Finding(PROBLEM, "token", text)
    if tls:
        return Finding(OK, "token", "without a certificate the head answers nobody")
    if answers["right"] != "data":
        text = f"the head does not answer to the token ({answers['right']}); firewall? cluster up"
        return Finding(PROBLEM, "token", text)
    return Finding(OK, "token", "the right one is served, a wrong one and none are refused")


def canary(verdict: Verdict) -> Finding:
    """Whether the host may run cells, by the canary."""
    if verdict.group is None:
        text = f"the reference cell failed ({verdict.message}); no cell will run here"
        return Finding(PROBLEM, "canary", text)
    if verdict.difference is None:
        return Finding(PROBLEM, "canary", "scored other things than group A; install again")
    if not verdict.usable:
        text = (
            f"group {verdict.group}: scores are {verdict.difference:.1e} nat/token off group A, "
            f"over {TOLERANCE:g}; no cell will run here; install again, then have it repaired"
        )
        return Finding(PROBLEM, "canary", text)
    if verdict.group == "A":
        return Finding(OK, "canary", f"group A, {verdict.family}")
    text = (
        f"group {verdict.group}, {verdict.family}: other bits than group A, scores within "
        f"{verdict.difference:.1e} nat/token; a sweep that must be bit-identical needs hosts of "
        "one group"
    )
    return Finding(NOTE, "canary", text)
