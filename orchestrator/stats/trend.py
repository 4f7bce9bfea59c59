"""Does a behaviour rise with the dose? By ranks within seeds or between arms, and step by step.

All tests here have one direction, upwards; for a fall, hand the doses in reverse order. A small p
of Page or Jonckheere says that there is a trend, not that every step rises: that is `strict_p`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from itertools import pairwise, permutations

import numpy as np
from numpy.typing import NDArray

from orchestrator.stats.means import (
    MeanTest,
    paired,
    satterthwaite,
    tested,
    variance_of_mean,
    welch,
)
from orchestrator.stats.records import (
    LEVEL,
    Alternative,
    Array,
    State,
    Summary,
    Values,
    finite,
    state_of,
)

EXACT_DOSES = 7
"""Most doses whose orders are all listed, 5040."""
RESAMPLES = 20_000
"""Shuffles of a permutation test; no p falls below 1 / 20001."""

MaybeRows = Sequence[Sequence[float | None]] | Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Page's test of ordered doses, each seed having seen all of them.

    Attributes:
        n, k: Complete seeds, and doses.
        statistic: L, the sum over doses of place times rank sum.
        p: Of a rise; None unless the state is ok.
        method: "exact" (ties included) up to seven doses, else "normal".
    """

    state: State
    n: int
    k: int
    statistic: float | None = None
    p: float | None = None
    method: str | None = None


def page(rows: MaybeRows) -> Page:
    """Of (seeds, doses), doses in rising order; a seed with a None is left out.

    Raises:
        ValueError: No row, rows of unlike length, or a value that is not finite.
    """
    if not len(rows) or len({len(row) for row in rows}) > 1:
        raise ValueError(f"{len(rows)} rows of lengths {sorted({len(r) for r in rows})}")
    from scipy import stats  # takes half a second to import, and plans need only the counts below

    k = len(rows[0])
    known = [[v for v in row if v is not None] for row in rows]
    for row in known:
        if row:
            finite(row)  # even where the seed is left out
    complete = [row for row in known if len(row) == k]
    if k < 2 or not complete:
        state = State.NOT_TESTABLE if k < 2 else State.INSUFFICIENT_N
        return Page(state=state, n=len(complete), k=k)
    ranks = stats.rankdata(finite(complete), axis=1)
    n, statistic = len(ranks), float(ranks.sum(axis=0) @ np.arange(1, k + 1))
    if not np.ptp(ranks):
        return Page(state=State.ZERO_VARIANCE, n=n, k=k, statistic=statistic)
    if k <= EXACT_DOSES:
        p, method = _page_exact(ranks, statistic), "exact"
    else:
        found = stats.page_trend_test(ranks, ranked=True, method="asymptotic")
        p, method = float(found.pvalue), "normal"
    return Page(state=State.OK, n=n, k=k, statistic=statistic, p=p, method=method)


def _page_exact(ranks: Array, statistic: float) -> float:
    """Chance of L or more, where within each seed all orders of its ranks are equally probable."""
    rows = [order_counts(tuple(sorted(row))) for row in ranks.tolist()]
    lowest = sum(first for first, _ in rows)
    null = reduce(np.convolve, [chances for _, chances in rows])
    return float(min(1.0, null[round(2 * statistic) - lowest :].sum()))


@lru_cache(maxsize=256)
def order_counts(ranks: tuple[float, ...]) -> tuple[int, Array]:
    """One seed's part of 2 L over all orders: its least value, and the chance of each from there.

    Twice, because tied ranks are halves. Kept, because most seeds have the same ranks.
    """
    orders = np.array(list(permutations(ranks)))
    values = np.rint(2 * orders @ np.arange(1, len(ranks) + 1)).astype(int)
    return int(values.min()), np.bincount(values - values.min()) / len(orders)


@dataclass(frozen=True, slots=True, kw_only=True)
class Jonckheere:
    """The test of Jonckheere and Terpstra of ordered arms, not paired.

    Attributes:
        statistic: J, how many pairs of values from two arms rise; a tie counts one half.
        p: Of a rise; None unless the state is ok.
        method: "exact", or with ties "permutation" with its shuffles and seed.
    """

    state: State
    statistic: float
    p: float | None = None
    method: str | None = None


def jonckheere(groups: Sequence[Values], seed: int = 0) -> Jonckheere:
    """Of raw values, one group a dose in rising order; `seed` matters with ties only.

    Raises:
        ValueError: An empty group, or a value that is not finite.
    """
    arrays = [finite(g) for g in groups]
    values, sizes = np.concatenate(arrays), [len(a) for a in arrays]
    wins = (values[:, None] < values) + 0.5 * (values[:, None] == values)
    place = np.repeat(np.arange(len(sizes)), sizes)
    statistic = float(rises(wins, place[None, :])[0])
    if len(sizes) < 2 or not np.ptp(values):
        state = State.NOT_TESTABLE if len(sizes) < 2 else State.ZERO_VARIANCE
        return Jonckheere(state=state, statistic=statistic)
    if len(np.unique(values)) < len(values):
        labels = np.random.default_rng(seed).permuted(np.tile(place, (RESAMPLES, 1)), axis=1)
        reached = rises(wins, labels) >= statistic
        p = float(1 + reached.sum()) / (1 + RESAMPLES)  # the observed order is one of them
        method = f"permutation ({RESAMPLES} shuffles, seed {seed})"
        return Jonckheere(state=State.OK, statistic=statistic, p=p, method=method)
    counts = rise_counts(tuple(sorted(sizes)))
    p = sum(counts[round(statistic) :]) / sum(counts)
    return Jonckheere(state=State.OK, statistic=statistic, p=p, method="exact")


def rises(wins: Array, labels: NDArray[np.intp]) -> Array:
    """J of each labelling.

    Args:
        wins: (N, N), 1 where value i is below value j, one half where they are tied.
        labels: (R, N), the group of each value, counted from 0.
    """
    found = np.zeros(len(labels))
    for group in range(1, int(labels.max()) + 1):
        found += (((labels < group) @ wins) * (labels == group)).sum(axis=1)
    return found


@lru_cache(maxsize=64)
def rise_counts(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """How many splits of distinct values into groups of these sizes have J = 0, 1, 2, ...

    The null distributions of Mann and Whitney's U of each group against all before it, convolved:
    together a quotient of products of (1 - q^i), in integers, so that no tail is rounded away.
    """
    n = sum(sizes)
    counts = np.zeros((n * n - sum(m * m for m in sizes)) // 2 + 1, dtype=object)
    counts[0] = 1
    for i in range(1, n + 1):
        counts[i:] = counts[i:] - counts[:-i]
    for i in (i for m in sizes for i in range(1, m + 1)):
        for start in range(min(i, len(counts))):
            counts[start::i] = np.add.accumulate(counts[start::i])
    return tuple(int(c) for c in counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """From one dose to the next.

    Attributes:
        low, high: The two doses.
        diff: Mean at the higher minus mean at the lower; None of no pair.
        p: One-sided, of a rise; None where it cannot be tested.
    """

    low: float
    high: float
    diff: float | None
    p: float | None


def steps_paired(doses: Sequence[float], rows: MaybeRows) -> tuple[Step, ...]:
    """Adjacent doses by paired t within seeds; `rows` is (seeds, doses), doses rising."""
    columns = list(zip(*rows, strict=True))
    check_doses(doses, len(columns))
    return tuple(
        _step(low, high, paired(above, below, Alternative.GREATER))
        for (low, below), (high, above) in pairwise(zip(doses, columns, strict=True))
    )


def steps_welch(doses: Sequence[float], summaries: Sequence[Summary]) -> tuple[Step, ...]:
    """Adjacent doses by Welch's t between arms; one summary a dose, doses rising."""
    check_doses(doses, len(summaries))
    return tuple(
        _step(low, high, welch(above, below, Alternative.GREATER))
        for (low, below), (high, above) in pairwise(zip(doses, summaries, strict=True))
    )


def _step(low: float, high: float, test: MeanTest) -> Step:
    return Step(low=low, high=high, diff=test.diff, p=test.p)


def strict_p(steps: Sequence[Step]) -> float | None:
    """The p of "every step rises": the largest; None where a step could not be tested."""
    found = [s.p for s in steps]
    known = [p for p in found if p is not None]
    return max(known) if known and len(known) == len(found) else None


def changes_along(doses: Sequence[float], rows: Sequence[Sequence[float]]) -> Array:
    """Of each row, how much its straight line changes from the first dose to the last.

    For repeated measures, e.g. one training at several steps. Page's test takes the values of a row
    as exchangeable, and a training that has drifted up stays up: on random walks that go nowhere it
    finds far too many trends. One slope a row makes no assumption about what its values share.

    Args:
        doses: K of them, rising.
        rows: (seeds, K).

    Returns:
        (seeds,), in the unit of the rows.
    """
    check_doses(doses, len(rows[0]))
    centred = np.array(doses) - np.mean(doses)
    found: Array = finite(rows) @ centred / (centred @ centred) * np.ptp(centred)
    return found


def check_doses(doses: Sequence[float], groups: int) -> None:
    """Raises: ValueError: Not one dose a group, or doses that do not rise."""
    if len(doses) != groups:
        raise ValueError(f"{len(doses)} doses, {groups} groups; each group has one dose")
    finite(doses)
    if any(low >= high for low, high in pairwise(doses)):
        raise ValueError(f"doses {list(doses)} do not rise")


def ordinal_contrast(
    summaries: Sequence[Summary],
    alternative: Alternative = Alternative.GREATER,
    level: float = LEVEL,
) -> MeanTest:
    """Slope of the means over the doses' places, each arm with its own variance.

    For arms known by n, mean and sd alone. `diff` is the mean change from one dose to the next,
    `n_a` counts all values, and df follows Welch and Satterthwaite.
    """
    test = MeanTest(
        test="ordinal_contrast",
        state=State.NOT_TESTABLE,
        n_a=sum(s.n for s in summaries),
        n_b=None,
        diff=None,
    )
    if len(summaries) < 2:
        return test
    places = np.arange(len(summaries)) - (len(summaries) - 1) / 2
    weights = places / (places @ places)
    diff = float(weights @ [s.mean for s in summaries])
    # A dose in the very middle has no weight, and its spread no say.
    used = [(w, s) for w, s in zip(weights.tolist(), summaries, strict=True) if w]
    test = replace(test, state=state_of(*(s for _, s in used)), diff=diff)
    if test.state is not State.OK:
        return test
    se, df = satterthwaite([(w * w * variance_of_mean(s), s.n - 1) for w, s in used])
    return tested(test, se, df, alternative, level)
