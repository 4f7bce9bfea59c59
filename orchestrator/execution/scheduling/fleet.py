"""The hosts as a schedule knows them: slots, memory, chip, faults. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from orchestrator.execution.scheduling.events import HostUp, Job
from orchestrator.execution.scheduling.speed import Kind
from tasks.model.machine import family


@dataclass(slots=True)
class Host:
    """One host.

    Attributes:
        name, slots, memory, chip: As it registered.
        up: Whether it is there.
        quarantined_until_s: It gets no cells before.
        faults: (when, what) since the last cell it finished.
    """

    name: str
    slots: int
    memory: int | None
    chip: str
    up: bool = True
    quarantined_until_s: float = 0.0
    faults: list[tuple[float, str]] = field(default_factory=list)

    @property
    def kinds(self) -> tuple[Kind, Kind]:
        """What decides its speed: its chip, and itself."""
        return (self.chip, self.slots), (self.name, self.slots)

    def fits(self, job: Job) -> bool:
        """Whether the job could run here if nothing else did."""
        return self.memory is None or job.memory <= self.memory

    def of_family(self, job: Job) -> bool:
        """Whether the job may run on this chip."""
        return job.family in (None, family(self.chip))


@dataclass(slots=True)
class Fleet:
    """All hosts that were ever seen in this launch, by name."""

    hosts: dict[str, Host] = field(default_factory=dict)

    def register(self, event: HostUp) -> None:
        """Take in a host, anew or again; one that comes back starts with a clean record."""
        known = self.hosts.get(event.host)
        if known is None or not known.up:
            self.hosts[event.host] = Host(event.host, event.slots, event.memory, event.chip)
        else:
            known.slots, known.memory, known.chip = event.slots, event.memory, event.chip

    def usable(self, now_s: float) -> Iterator[Host]:
        """Hosts that may be given cells."""
        return (h for h in self.hosts.values() if h.up and h.quarantined_until_s <= now_s)

    def blame(self, name: str, what: str, now_s: float, window_s: float) -> int:
        """Note a fault; returns the distinct ones of the last `window_s` seconds.

        One cell that is lost again and again counts once: the cell may be the cause.
        """
        host = self.hosts[name]
        host.faults = [(at, w) for at, w in host.faults if at > now_s - window_s]
        host.faults.append((now_s, what))
        return len({w for _, w in host.faults})

    def refusal(self, job: Job) -> str | None:
        """Why no known host could ever run a job, in numbers; None when one could."""
        kin = [h for h in self.hosts.values() if h.of_family(job)]
        if not kin:
            return (
                f"its checkpoint belongs to chip family {job.family}, and no host of the cluster "
                "has such a chip; add one, or delete the checkpoint"
            )
        if any(h.fits(job) for h in kin):
            return None
        largest = max(kin, key=lambda h: h.memory or 0)
        return (
            f"needs about {_gib(job.memory)}, and the largest host, {largest.name}, "
            f"offers {_gib(largest.memory or 0)}; lower train.batch_size or train.max_length"
        )


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
