"""Formulas of a single two-sided test; `orchestrator.stats.beside` has the power of a verdict.

Those of Welch's test are the textbook's, with mean differences in sd between seeds: they take its
df as fixed, which promises up to 4 points too much at 3 seeds an arm. `MeanDesign` does not; these
are there for the published planning numbers, which are computed this way.
"""

from collections.abc import Callable
from math import ceil, isfinite, isnan, log, sqrt

import numpy as np
from scipy import special

from orchestrator.stats.records import (
    ALPHA,
    LEVEL,
    Array,
)

MOST_SEEDS = 100_000
MOST_PROMPTS = 2_000
LARGEST_EFFECT = 1e4


def power_welch(n: int, d: float, sd_ratio: float = 1.0, alpha: float = ALPHA) -> float:
    """Chance of p <= alpha with n seeds an arm.

    Args:
        n: At least 2.
        d: True difference of the means in the root mean square of both sds.
        sd_ratio: One arm's sd over the other's; lowers Welch's df.
        alpha: Two-sided.
    """
    _check_n(n, 2)
    df = (n - 1) * (1 + sd_ratio**2) ** 2 / (1 + sd_ratio**4)
    return _power_t(df, d * sqrt(n / 2), alpha)


def mde_welch(n_a: int, n_b: int, alpha: float = ALPHA, power: float = 0.8) -> float | None:
    """Smallest difference found with this power, in sd between seeds, the same in both arms.

    None below two seeds an arm.
    """
    if min(n_a, n_b) < 2:
        return None
    _check_target(alpha, power)
    low, high = 0.0, LARGEST_EFFECT
    while low < (middle := (low + high) / 2) < high:
        enough = _power_t(n_a + n_b - 2, middle, alpha) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high * sqrt(1 / n_a + 1 / n_b)


def n_welch(
    d: float, sd_ratio: float = 1.0, alpha: float = ALPHA, power: float = 0.8
) -> int | None:
    """Seeds an arm for this power; None above 100 000. Arguments as for `power_welch`."""
    return _smallest(lambda n: power_welch(n, d, sd_ratio, alpha), alpha, power)


def power_f_ratio(n: int, ratio: float, alpha: float = ALPHA) -> float:
    """Chance that the F test of two sds has p <= alpha, n seeds an arm, `ratio` of the true sds."""
    _check_n(n, 2)
    if not (isfinite(ratio) and ratio > 0):
        raise ValueError(f"ratio is {ratio}; a ratio of sds is above 0")
    low, high = special.fdtri(n - 1, n - 1, [alpha / 2, 1 - alpha / 2]) / ratio**2
    return float(special.fdtr(n - 1, n - 1, low) + special.fdtrc(n - 1, n - 1, high))


def n_f_ratio(ratio: float, alpha: float = ALPHA, power: float = 0.8) -> int | None:
    """Seeds an arm for this power of the F test; None above 100 000."""
    return _smallest(lambda n: power_f_ratio(n, ratio, alpha), alpha, power)


def power_mcnemar(
    n: int, p_gain: float, p_loss: float, alpha: float = ALPHA, *, two_sided: bool = True
) -> float:
    """Chance that the exact test has p <= alpha.

    Args:
        n: Prompts.
        p_gain: Chance that a prompt is refused by the second model only.
        p_loss: Chance that it is refused by the first only.
        alpha: Of the test.
        two_sided: If not, what is claimed is a gain.
    """
    _check_n(n, 1)
    found = _rejects(n, p_gain, p_loss, alpha, two_sided=two_sided)
    return _power_mcnemar(n, p_gain + p_loss, found)


def n_mcnemar(p_gain: float, p_loss: float, alpha: float = ALPHA, power: float = 0.8) -> int | None:
    """Fewest prompts with this power; None above 2000.

    As with all discrete tests, some prompts more may have a little less.
    """
    _check_target(alpha, power)
    rejects = _rejects(MOST_PROMPTS, p_gain, p_loss, alpha)
    for n in range(1, MOST_PROMPTS + 1):
        if _power_mcnemar(n, p_gain + p_loss, rejects[: n + 1]) >= power:
            return n
    return None


def n_zero_events(rate: float, level: float = LEVEL) -> int:
    """Fewest prompts, none with the event, that show its true rate to lie below `rate`."""
    if not (0 < rate < 1 and 0 < level < 1):
        raise ValueError(f"rate {rate}, level {level}; both lie between 0 and 1")
    return ceil(log(1 - level) / log(1 - rate))


def _power_t(df: float, noncentrality: float, alpha: float) -> float:
    size, limit = abs(noncentrality), float(special.stdtrit(df, 1 - alpha / 2))
    return _share_below(df, size, -limit) + 1 - _share_below(df, size, limit)


def _share_below(df: float, noncentrality: float, t: float) -> float:
    """Of the noncentral t distribution; scipy's nan stands for a share below 1e-10."""
    found = float(special.nctdtr(df, noncentrality, t))
    return 0.0 if isnan(found) else found


def _smallest(power_of: Callable[[int], float], alpha: float, power: float) -> int | None:
    """Smallest n >= 2 with that power, which rises with n: doubled until enough, then halved."""
    _check_target(alpha, power)
    low, high = 1, 2
    while power_of(high) < power:
        low, high = high, 2 * high
        if low >= MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(middle) >= power else (middle, high)
    return high if high <= MOST_SEEDS else None


def _rejects(
    most: int, p_gain: float, p_loss: float, alpha: float, *, two_sided: bool = True
) -> Array:
    """Chance that the test rejects given 0, 1, ..., `most` discordant prompts."""
    if min(p_gain, p_loss) < 0 or not 0 < p_gain + p_loss <= 1:
        raise ValueError(f"chances {p_gain} and {p_loss}; neither is negative, together 0 < p <= 1")
    from scipy import stats

    discordant = np.arange(most + 1)
    share = p_gain / (p_gain + p_loss)
    critical = stats.binom.isf(alpha / 2 if two_sided else alpha, discordant, 0.5) + 1
    found = stats.binom.sf(critical - 1, discordant, share)
    if two_sided:
        found = found + stats.binom.cdf(discordant - critical, discordant, share)
    return np.asarray(found)


def _power_mcnemar(n: int, p_discordant: float, rejects: Array) -> float:
    from scipy import stats

    return float(stats.binom.pmf(np.arange(n + 1), n, p_discordant) @ rejects)


def _check_n(n: int, least: int) -> None:
    if n < least:
        raise ValueError(f"n is {n}; this needs at least {least}")


def _check_target(alpha: float, power: float) -> None:
    if not (0 < alpha < power < 1):
        raise ValueError(f"alpha {alpha}, power {power}; 0 < alpha < power < 1")
