"""What a plan comes to on the hosts of a cluster: room, time, and what is missing there."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.cluster import assets
from orchestrator.cluster import ray as cluster_ray
from orchestrator.cluster.doctor.checks import Seen, look
from orchestrator.config.hosts import Cluster, Host
from orchestrator.config.sweep_file import Sweep
from orchestrator.inspection.plan import Plan, about


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOutlook:
    """A host and the open cells of a plan.

    Attributes:
        name: Of the host.
        problem: Why it could not be asked; then nothing else is known.
        chip: Its processor.
        memory: Bytes that its cells may use together.
        fitting: How many of the open cells fit into that, each by itself.
        at_once: How many of the largest of these run at once.
        full_speed_s: Seconds of all open cells on this host alone, at the full speed of its GPU;
            None for other chips, where no cell fits, or where the work is not known.
        missing: Models and data that are not there, and why.
    """

    name: str
    problem: str | None = None
    chip: str = ""
    memory: int = 0
    fitting: int = 0
    at_once: int = 0
    full_speed_s: float | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOutlook:
    """A plan on the hosts of a cluster.

    Attributes:
        hosts: In the order of the cluster's file.
        open: Cells without a result.
        homeless: Of these, how many fit into no host.
    """

    hosts: tuple[HostOutlook, ...]
    open: int
    homeless: int

    @property
    def full_speed_s(self) -> float | None:
        """Seconds of all open cells on all hosts that have a speed, none of them ever idle."""
        speeds = [1 / h.full_speed_s for h in self.hosts if h.full_speed_s]
        return 1 / sum(speeds) if speeds else None

    def as_json(self) -> dict[str, Any]:
        """For machines; see docs/json.md."""
        return {**asdict(self), "full_speed_s": self.full_speed_s}


def on_hosts(cluster: Cluster, sweeps: list[Sweep], plan: Plan) -> ClusterOutlook:
    """Ask all hosts what they are and have; nothing is brought there or started.

    Raises:
        UserError: A host name has no address, or a sweep does not resolve.
    """
    found = (n for sweep in sweeps for n in assets.of_sweep(sweep, download=False))
    needs = list({need.label: need for need in found}.values())
    seen = look(cluster, cluster_ray.resolve(cluster.hosts), needs)
    sizes = [plan.needs(spec) for spec in plan.todo]
    hosts = tuple(
        _outlook(host, seen.done[host.name], sizes, plan)
        if host.name in seen.done
        else HostOutlook(name=host.name, problem=seen.failed[host.name])
        for host in cluster.hosts
    )
    most = max((h.memory for h in hosts), default=0)
    return ClusterOutlook(hosts=hosts, open=len(sizes), homeless=sum(s > most for s in sizes))


def _outlook(host: Host, seen: Seen, sizes: list[int], plan: Plan) -> HostOutlook:
    chip = host.chip or seen.facts["chip"]
    memory = host.usable_bytes(seen.facts["memory_bytes"]) or 0
    fitting = [size for size in sizes if size <= memory]
    largest = max(fitting, default=0)
    return HostOutlook(
        name=host.name,
        chip=chip,
        memory=memory,
        fitting=len(fitting),
        at_once=min(host.slots, memory // largest) if largest else host.slots,
        full_speed_s=plan.full_speed_s(f"Apple {chip.removeprefix('Apple ')}") if fitting else None,
        missing=tuple(f"{label}: {why}" for label, why in seen.absent.items()),
    )


def describe(found: ClusterOutlook) -> Iterator[str]:
    """The outlook as lines for people."""
    for host in found.hosts:
        if host.problem:
            yield f"host     {host.name}: {host.problem}"
            continue
        fits = "every cell fits" if host.fitting == found.open else f"{host.fitting} cells fit"
        text = f"host     {host.name}: {host.chip}, {host.memory / 2**30:.1f} GiB for cells; {fits}"
        text += f", {host.at_once} at once" if host.fitting else ""
        if host.full_speed_s:
            text += f"; {about(host.full_speed_s)} for all of them alone, at its full speed"
        yield text
        for missing in host.missing:
            yield f"missing  on {host.name}: {missing}; rho-sweep cluster prefetch brings it"
    if (seconds := found.full_speed_s) is not None:
        yield f"cluster  {about(seconds)} at the full speed of all hosts that are Macs"
    if found.homeless:
        text = "lower train.batch_size or train.max_length, or set run.grad_checkpoint"
        yield f"cluster  {found.homeless} of {found.open} cells fit into no host; {text}"
