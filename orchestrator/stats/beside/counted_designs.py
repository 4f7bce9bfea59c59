"""Designs of tests that count: ranks along doses, and prompts on which two models differ."""

from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from itertools import combinations
from math import sqrt
from typing import Self

import numpy as np
from scipy import special

from orchestrator.stats.beside.designs import DRAWS
from orchestrator.stats.power import power_mcnemar
from orchestrator.stats.records import Array

EXACT_TOTAL = 60
"""Values of all arms up to which Jonckheere's null distribution is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendDesign:
    """Page's test within seeds, or that of Jonckheere and Terpstra between arms.

    The effect is the rise from the lowest to the highest dose, the same at every step, in sd
    between seeds; where paired, in the sd of what is left when each seed's level is taken out.

    Attributes:
        ns: Seeds of each dose; where paired, all the same.
        paired: Whether each seed has seen all doses.
        two_sided: Whether the claim has no direction.
    """

    ns: tuple[int, ...]
    paired: bool
    two_sided: bool
    most: int = 60

    def at(self, n: int) -> Self:
        """The same with n seeds in every arm."""
        return replace(self, ns=(n,) * len(self.ns))

    def power(self, effect: float, level: float) -> float:
        """Share of simulated results, scores being normal, in which p <= level."""
        rise = np.linspace(0, effect, len(self.ns))
        arms = [noise + up for noise, up in zip(_noise(self.ns), rise, strict=True)]
        tail = level / 2 if self.two_sided else level
        if self.paired:
            ranks = np.argsort(np.argsort(np.stack(arms, axis=2), axis=2), axis=2) + 1
            statistic = ranks.sum(axis=1) @ np.arange(1, len(arms) + 1)
            return float(np.mean(statistic >= _page_limit(self.ns[0], len(arms), tail)))
        total = sum(
            (high[:, :, None] > low[:, None, :]).sum(axis=(1, 2))
            for low, high in combinations(arms, 2)
        )
        return float(np.mean(total >= _jonckheere_limit(self.ns, tail)))


@lru_cache(maxsize=32)
def _noise(ns: tuple[int, ...]) -> list[Array]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((DRAWS // 2, n)) for n in ns]


@lru_cache(maxsize=256)
def _page_limit(n: int, k: int, tail: float) -> float:
    """Smallest L whose chance under no trend is at most `tail`."""
    from orchestrator.stats.trend import EXACT_DOSES, order_counts

    if k > EXACT_DOSES:
        mean, spread = n * k * (k + 1) ** 2 / 4, k * (k + 1) * sqrt(n * (k - 1)) / 12
        return mean - float(special.ndtri(tail)) * spread
    lowest, chances = order_counts(tuple(range(1, k + 1)))
    null = reduce(np.convolve, [chances] * n)
    beyond = np.cumsum(null[::-1])[::-1]
    return (n * lowest + int((beyond > tail).sum())) / 2


@lru_cache(maxsize=256)
def _jonckheere_limit(ns: tuple[int, ...], tail: float) -> float:
    """Smallest J whose chance under no trend is at most `tail`."""
    from orchestrator.stats.trend import rise_counts

    total = sum(ns)
    if total > EXACT_TOTAL:
        mean = (total**2 - sum(n * n for n in ns)) / 4
        square = (total**2 * (2 * total + 3) - sum(n * n * (2 * n + 3) for n in ns)) / 72
        return mean - float(special.ndtri(tail)) * sqrt(square)
    counts = np.array(rise_counts(ns), dtype=np.float64)
    beyond = np.cumsum(counts[::-1])[::-1] / counts.sum()
    return float((beyond > tail).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemarDesign:
    """The exact test of two models on the same prompts; `at` changes the prompts.

    Attributes:
        n: Prompts.
        discordant: Share of prompts on which the two differ; more where the effect is larger.
        two_sided: Whether the claim has no direction.
    """

    n: int
    discordant: float
    two_sided: bool
    most: int = 2000

    def at(self, n: int) -> Self:
        """The same with n prompts."""
        return replace(self, n=n)

    def power(self, effect: float, level: float) -> float:
        """Exact. `effect` is the difference of the shares refused."""
        size = min(1.0, effect)
        differ = max(size, self.discordant)
        gain, loss = (differ + size) / 2, (differ - size) / 2
        return power_mcnemar(self.n, gain, loss, level, two_sided=self.two_sided)
