"""How fast each kind of host works, learned from the cells it finished. Pure."""

from dataclasses import dataclass, field

from tasks.contract.cell import CellSpec

KEEP = 0.9
"""Weight of all earlier cells against the newest."""
PAIRS_PER_BEHAVIOR = 100
"""Taken for granted: a spec does not say how many pairs its pack holds."""
BACKWARD = 3
"""Cost of a training token, in scored tokens: forward once, backward twice."""

PRIOR = 0.1
"""Weight of a chip's record in that of a host: about one cell's, see `KEEP`."""

Kind = tuple[str, int]
"""Chip or host, and slots: cells that share a chip slow one another down."""


@dataclass(slots=True)
class Speeds:
    """Work per second of one slot, by chip, corrected for each host.

    Attributes:
        chips: Chip -> (work, seconds), the newest cells weighing most.
        hosts: The same by host: one may be slower than its chip, or share it with others.
    """

    chips: dict[Kind, tuple[float, float]] = field(default_factory=dict)
    hosts: dict[Kind, tuple[float, float]] = field(default_factory=dict)

    def learn(self, chip: Kind, host: Kind, work: float, seconds: float) -> None:
        """Take in a finished cell."""
        if seconds > 0:
            for record, kind in ((self.chips, chip), (self.hosts, host)):
                before = record.get(kind, (0.0, 0.0))
                record[kind] = (KEEP * before[0] + work, KEEP * before[1] + seconds)

    def known(self, chip: Kind) -> bool:
        """Whether a host of that kind has finished a cell."""
        return chip in self.chips

    def of(self, chip: Kind, host: Kind) -> float | None:
        """Work per second; the mean of all for a new chip, None before any cell ended."""
        if chip not in self.chips:
            work, seconds = (sum(r[i] for r in self.chips.values()) for i in (0, 1))
            return work / seconds if seconds else None
        of_chip, of_host = self.chips[chip], self.hosts.get(host, (0.0, 0.0))
        work, seconds = (h + PRIOR * c for h, c in zip(of_host, of_chip, strict=True))
        return work / seconds


def cell_work(spec: CellSpec, weight_bytes: int) -> float:
    """Estimated effort of a cell: tokens, weighted by the size of the model.

    Every text is taken to be `max_length` long, as in the estimate of memory.
    """
    scored = 2 * PAIRS_PER_BEHAVIOR * len(spec.probes.evaluate)
    return float((scored + BACKWARD * _texts(spec)) * spec.max_length * max(weight_bytes, 1))


def _texts(spec: CellSpec) -> int:
    """Texts that pass through training, pairs counting twice."""
    if spec.train is None:
        return 0
    records = (spec.sft_records or 0) * spec.train.epochs
    micro_steps = -(-records // spec.train.batch_size)
    pairs = spec.hinge.pairs_per_step if spec.hinge else 0
    return (records if spec.condition.has_sft else 0) + 2 * pairs * micro_steps
