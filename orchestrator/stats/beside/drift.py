"""Do scores depend on when or where their cells ran? Then seeds are not independent repetitions.

Without drift every order of the seeds over their places in the launch is equally probable, each
with its scores in all arms. All p here count such orders, drawn with a fixed number; neither what
differs between arms nor what the arms of a seed share (order of texts, first weights) can make
them small. Few seeds have few orders: with six no p is below 0.001.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from orchestrator.stats.records import Array, Values, finite

ALPHA = 0.01
"""Level of a warning; there are three, and several behaviours."""
ORDERS = 4999
"""Drawn orders; no p falls below 1 / 5000."""
MOST = 4000
"""Cells above which nothing is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Scores, each minus the mean of its arm in sd of its arm, by place in the launch and host.

    Attributes:
        n: Cells of arms with two or more.
        rho: Spearman's correlation with the order of start; p_order two-sided.
        serial: Correlation of the ranks of neighbours in that order; p_serial of likeness.
        p_hosts: Of Kruskal and Wallis's statistic over hosts; None with one host.
        warnings: Sentences, none where nothing is seen. All numbers None below 6 cells, above
            `MOST`, and where no arm has a spread.
    """

    n: int
    rho: float | None = None
    p_order: float | None = None
    serial: float | None = None
    p_serial: float | None = None
    p_hosts: float | None = None
    warnings: tuple[str, ...] = ()


def drift(
    scores: Values,
    arms: Sequence[str],
    seeds: Sequence[int],
    starts: Values,
    hosts: Sequence[str],
    alpha: float = ALPHA,
) -> Drift:
    """Of one behaviour's cells, one value each: its score, arm, seed, time of start and host.

    Raises:
        ValueError: Lists of unlike length, no cell, or a value that is not finite.
    """
    values, times = finite(scores), finite(starts)
    if len({len(values), len(arms), len(seeds), len(times), len(hosts)}) > 1:
        raise ValueError(
            f"{len(values)} scores, {len(arms)} arms, {len(seeds)} seeds, {len(times)} starts, "
            f"{len(hosts)} hosts; each cell has one"
        )
    order = np.argsort(times, kind="stable")
    names, places = np.array(arms)[order], np.array(hosts)[order]
    rest, kept = _residuals(values[order], names)
    rest, names, places = rest[kept], names[kept], places[kept]
    if not 6 <= len(rest) <= MOST or not np.ptp(rest):
        return Drift(n=len(rest))
    ranks = stats.rankdata(rest)
    ranks -= ranks.mean()
    rng = np.random.default_rng(0)
    drawn = np.tile(ranks, (min(ORDERS, 4_000_000 // len(ranks)), 1))
    for cells in _alike(names, np.array(seeds)[order][kept]):
        rows = np.tile(np.arange(len(cells)), (len(drawn), 1))
        rows = rng.permuted(rows, axis=1)
        for mine in cells.T:
            drawn[:, mine] = ranks[mine[rows]]
    both = np.vstack([ranks, drawn])  # the order that was seen is one of them
    ramp = np.arange(len(ranks)) - (len(ranks) - 1) / 2
    by_order = both @ ramp
    neighbours = (both[:, 1:] * both[:, :-1]).sum(axis=1)
    square = float(ranks @ ranks)
    groups = [places == host for host in np.unique(places)]
    # Kruskal and Wallis's statistic, but for its factor
    between = sum(np.square(both[:, g].sum(axis=1)) / g.sum() for g in groups)
    found = Drift(
        n=len(ranks),
        rho=float(by_order[0]) / np.sqrt(square * float(ramp @ ramp)),
        p_order=_share(np.abs(by_order)),
        serial=float(neighbours[0]) / square,
        p_serial=_share(neighbours),
        p_hosts=_share(np.asarray(between)) if len(groups) > 1 else None,
    )
    return _warned(found, alpha)


def _residuals(values: Array, names: Array) -> tuple[Array, Array]:
    """(residual in sd of its arm, whether its arm has two cells and a spread)."""
    rest, kept = np.zeros(len(values)), np.zeros(len(values), dtype=bool)
    for arm in np.unique(names):
        mine = names == arm
        sd = float(values[mine].std(ddof=1)) if mine.sum() > 1 else 0.0
        if sd > 0:
            rest[mine], kept[mine] = (values[mine] - values[mine].mean()) / sd, True
    return rest, kept


def _alike(names: Array, seeds: Array) -> Iterator[Array]:
    """Places of cells, (seeds, arms), for each set of seeds that ran in the same arms."""
    by_seed: dict[int, dict[str, int]] = {}
    for place, (arm, seed) in enumerate(zip(names.tolist(), seeds.tolist(), strict=True)):
        by_seed.setdefault(seed, {})[arm] = place
    groups: dict[frozenset[str], list[list[int]]] = {}
    for cells in by_seed.values():
        groups.setdefault(frozenset(cells), []).append([cells[arm] for arm in sorted(cells)])
    yield from map(np.array, groups.values())


def _share(null: Array) -> float:
    """Of all orders, those with a statistic at least as large as the first."""
    return float(np.mean(null >= null[0] - 1e-9 * abs(null[0])))


def _warned(found: Drift, alpha: float) -> Drift:
    said = []
    if found.p_order is not None and found.p_order <= alpha:
        said.append(
            f"scores drift with the order of the launch (rho {found.rho:.2f}, "
            f"p {found.p_order:.2g}, {found.n} cells)"
        )
    if found.p_serial is not None and found.p_serial <= alpha:
        said.append(
            f"cells that started one after the other are alike (correlation {found.serial:.2f}, "
            f"p {found.p_serial:.2g}): intervals over seeds are too narrow"
        )
    if found.p_hosts is not None and found.p_hosts <= alpha:
        said.append(f"scores differ between hosts (p {found.p_hosts:.2g}, {found.n} cells)")
    return replace(found, warnings=tuple(said))
