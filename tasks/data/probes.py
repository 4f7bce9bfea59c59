"""Everything that follows from a sweep's pack and data: splits, training pool, SFT mix."""

from collections.abc import Container
from dataclasses import dataclass

from tasks.contract.cell import NodeError, digest_of
from tasks.contract.scoring import pairs_digest
from tasks.data.probe_packs import Pair, load_pack, usable
from tasks.data.sft import Mix, build_mix, load_source
from tasks.data.split import HeldoutGuard, split_pairs, train_pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """A pack as one sweep sees it.

    Attributes:
        evaluated: Pairs to score, degenerate ones left out, ordered by id.
        pool: Pairs that training may see, ordered by id.
        split: Pair id -> `train` or `heldout`.
        n_degenerate: Pairs of the evaluated behaviours dropped for identical texts.
        guard: Recognises held-out text.
    """

    evaluated: tuple[Pair, ...]
    pool: tuple[Pair, ...]
    split: dict[str, str]
    n_degenerate: int
    guard: HeldoutGuard

    @property
    def digest(self) -> str:
        """As `pairs_digest`, of the evaluated pairs."""
        return pairs_digest(self.evaluated, self.split)

    @property
    def pool_digest(self) -> str:
        """sha256 over the training pool."""
        return digest_of([[p.id, p.behavior, p.positive, p.negative] for p in self.pool])

    def pool_of(self, behaviors: Container[str]) -> tuple[Pair, ...]:
        """Those of the pool that belong to some behaviours."""
        return tuple(p for p in self.pool if p.behavior in behaviors)

    def untrainable(self, behaviors: tuple[str, ...]) -> list[str]:
        """Those of the behaviours that have no pair in the pool."""
        return sorted(set(behaviors) - {p.behavior for p in self.pool})


def prepare_probes(
    pack: str,
    train: tuple[str, ...],
    evaluate: tuple[str, ...],
    heldout: float,
    *,
    download: bool = True,
) -> Probes:
    """Load a pack and divide it.

    Args:
        pack: As of `load_pack`.
        train: Behaviours that training may see.
        evaluate: Behaviours that are scored.
        heldout: Share of the pairs of each behaviour to hold out.
        download: As of `load_pack`.

    Raises:
        NotHereError: As `load_pack`.
        NodeError: The pack is missing or malformed, or lacks a behaviour.
    """
    pairs = load_pack(pack, download=download)
    good = usable(pairs, (*train, *evaluate))
    _demand_behaviors(pack, pairs, (*train, *evaluate))
    split = split_pairs(good, heldout)
    guard = HeldoutGuard(good, split)
    evaluated = sorted((p for p in good if p.behavior in evaluate), key=lambda p: p.id)
    return Probes(
        evaluated=tuple(evaluated),
        pool=train_pool(good, split, train, guard),
        split=split,
        n_degenerate=sum(p.degenerate for p in pairs if p.behavior in evaluate),
        guard=guard,
    )


def _demand_behaviors(pack: str, pairs: tuple[Pair, ...], wanted: tuple[str, ...]) -> None:
    """Every behaviour has a pair, and one whose two texts differ."""
    known = {p.behavior for p in pairs}
    absent = ", ".join(f'"{n}"' for n in dict.fromkeys(wanted) if n not in known)
    if absent:
        raise NodeError(
            f"probe pack {pack} has no behaviour {absent}; it has {', '.join(sorted(known))}"
        )
    differing = {p.behavior for p in pairs if not p.degenerate}
    for name in wanted:
        if name not in differing:
            raise NodeError(f'probe pack {pack}: both texts of every pair of "{name}" are the same')


def prepare_mix(
    probes: Probes,
    sft: str,
    *,
    size: int | None,
    trap_fraction: float,
    refusal_fraction: float,
    download: bool,
) -> Mix:
    """The SFT texts that go with a pack.

    Raises:
        NotHereError: A hub data set is not on this machine and may not be fetched.
        NodeError: The source is missing, malformed or too small.
    """
    return build_mix(
        load_source(sft, download=download),
        probes.pool,
        probes.guard,
        size=size,
        trap_fraction=trap_fraction,
        refusal_fraction=refusal_fraction,
    )
