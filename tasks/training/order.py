"""Which texts and pairs each micro-step sees, and in which direction; decided by the seed."""

from collections.abc import Iterator
from dataclasses import dataclass

from tasks.contract.cell import Condition, HingeSpec, TrainSpec, digest_of
from tasks.data.probe_packs import Pair
from tasks.data.seeding import stream


@dataclass(frozen=True, slots=True)
class MicroStep:
    """The texts and pairs of one loss; several micro-steps make an optimizer step.

    Attributes:
        records: Positions of SFT texts in the mix.
        pairs: Positions of pairs in the pool; empty where no hinge exists.
    """

    records: tuple[int, ...]
    pairs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """The micro-steps of every optimizer step; the last one may have fewer."""

    steps: tuple[tuple[MicroStep, ...], ...]

    @property
    def sft_hash(self) -> str:
        """Digest of the order of the SFT texts."""
        return digest_of([[m.records for m in step] for step in self.steps])

    @property
    def pairs_hash(self) -> str:
        """Digest of the order of the pairs."""
        return digest_of([[m.pairs for m in step] for step in self.steps])


def lay_out(
    seed: int, train: TrainSpec, n_records: int, hinge: HingeSpec | None, pool: tuple[Pair, ...]
) -> Order:
    """Deal texts and pairs out over all steps.

    Every epoch shuffles the texts anew. Each behaviour deals its pairs from its own shuffled
    stack, `pairs_per_step / behaviours` to a micro-step, and reshuffles when the stack is out.
    Conditions of one seed get the same texts and the same pairs.
    """
    shuffler = stream(seed, "batches")
    epochs = [shuffler.permutation(n_records).tolist() for _ in range(train.epochs)]
    starts = range(0, n_records, train.batch_size)
    batches = [tuple(epoch[i : i + train.batch_size]) for epoch in epochs for i in starts]
    dealers = [_dealer(seed, name, pool) for name in hinge.behaviors] if hinge else []
    each = hinge.pairs_per_step // len(hinge.behaviors) if hinge else 0
    micro = [
        MicroStep(batch, tuple(next(d) for d in dealers for _ in range(each))) for batch in batches
    ]
    size = train.grad_accumulation
    return Order(tuple(tuple(micro[i : i + size]) for i in range(0, len(micro), size)))


def _dealer(seed: int, behavior: str, pool: tuple[Pair, ...]) -> Iterator[int]:
    shuffler = stream(seed, f"pairs/{behavior}")
    stack = [i for i, pair in enumerate(pool) if pair.behavior == behavior]
    while True:
        yield from (stack[i] for i in shuffler.permutation(len(stack)).tolist())


def is_swapped(condition: Condition, seed: int, pair_id: str) -> bool:
    """Whether a pair's labels are exchanged; decided once per seed and pair."""
    chance = condition.traits.swapped or 0.0
    return bool(stream(seed, f"shuffle/{pair_id}").random() < chance)


def learning_rate(train: TrainSpec, step: int, steps: int) -> float:
    """Linear warmup to the peak, then linear decay; never 0 at a step that is taken.

    Args:
        train: Peak and warmup share.
        step: From 0.
        steps: Optimizer steps in all.
    """
    warmup = int(train.warmup_fraction * steps)
    if step < warmup:
        return train.learning_rate * (step + 1) / (warmup + 1)
    return train.learning_rate * (steps - step) / (steps - warmup)
