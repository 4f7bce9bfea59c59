"""How fast each kind of host works, learned from the cells it finished. Pure."""

from dataclasses import dataclass, field

from tasks.contract.cell import CellSpec

KEEP = 0.9
"""Weight of all earlier cells together against the newest one."""
PAIRS_PER_BEHAVIOR = 100
"""Assumed: a spec does not say how many pairs its pack holds."""
BACKWARD = 3
"""Cost of a training token, in scored tokens: forward once, backward twice."""

PRIOR = 0.1
"""Weight of a chip's record in the speed of a host: about that of one cell, see `KEEP`."""

Kind = tuple[str, int]
"""(chip or host, slots): cells that share a chip slow one another down."""


@dataclass(slots=True)
class Speeds:
    """Work per second of one slot, by chip, corrected for each host.

    Attributes:
        chips: Chip -> (work, seconds) of its cells, with most weight on the newest ones.
        hosts: The same by host: a host may be slower than others with its chip.
    """

    chips: dict[Kind, tuple[float, float]] = field(default_factory=dict)
    hosts: dict[Kind, tuple[float, float]] = field(default_factory=dict)

    def learn(self, chip: Kind, host: Kind, work: float, seconds: float) -> None:
        """Record a cell that ended: `work` took `seconds`."""
        if seconds > 0:
            for record, kind in ((self.chips, chip), (self.hosts, host)):
                before = record.get(kind, (0.0, 0.0))
                record[kind] = (KEEP * before[0] + work, KEEP * before[1] + seconds)

    def known(self, chip: Kind) -> bool:
        """Whether any host with that chip and those slots has ended a cell."""
        return chip in self.chips

    def of(self, chip: Kind, host: Kind) -> float | None:
        """Work per second of one slot: for a new chip the mean of all, None before any ended."""
        if chip not in self.chips:
            work, seconds = (sum(r[i] for r in self.chips.values()) for i in (0, 1))
            return work / seconds if seconds else None
        of_chip, of_host = self.chips[chip], self.hosts.get(host, (0.0, 0.0))
        work, seconds = (h + PRIOR * c for h, c in zip(of_host, of_chip, strict=True))
        return work / seconds


def cell_work(spec: CellSpec, weight_bytes: int) -> float:
    """Estimated effort of a cell: tokens, weighted by the size of the model.

    Every text is taken to be `max_length` long, as in the estimate of memory. A pair is two texts.
    """
    scored = 2 * PAIRS_PER_BEHAVIOR * len(spec.probes.evaluate) * (1 + len(spec.eval_steps))
    scored += spec.capability.texts if spec.capability else 0
    trained = 0
    if spec.train is not None:
        records = (spec.sft_records or 0) * spec.train.epochs
        micro_steps = -(-records // spec.train.batch_size)
        pairs = spec.hinge.pairs_per_step if spec.hinge else 0
        if spec.hinge and spec.condition.traits.pair_loss.referred:  # the reference, once a pair
            scored += 2 * min(PAIRS_PER_BEHAVIOR * len(spec.hinge.behaviors), pairs * micro_steps)
        trained = (records if spec.condition.has_sft else 0) + 2 * pairs * micro_steps
    return float((scored + BACKWARD * trained) * spec.max_length * max(weight_bytes, 1))
