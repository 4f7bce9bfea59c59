"""Effect sizes against numerical integration, scipy and statsmodels, and by their laws."""

import math

import numpy as np
import pytest
from hypothesis import given
from scipy import integrate, special, stats
from statsmodels.stats.meta_analysis import effectsize_smd

from orchestrator.stats.effect import FAR, bias_factor, cohens_d, g_z, hedges_g
from orchestrator.stats.means import pooled_sd, student
from orchestrator.stats.records import State, Summary
from tests.orchestrator.stats.samples import levels, samples, scales, shifts


def of(values) -> Summary:
    return Summary.of(values)


def share_below(t: float, df: float, noncentrality: float) -> float:
    """P(T <= t), integrated over the estimated sd."""
    root = math.sqrt(df)

    def inside(s):
        return special.ndtr(t * s - noncentrality) * stats.chi.pdf(s * root, df) * root

    middle = noncentrality / t if t else 1.0
    points = sorted({p for p in (middle, 1.0) if 0 < p < 8})
    return integrate.quad(inside, 0, 8, points=points, limit=400, epsabs=1e-13)[0]


@pytest.mark.parametrize(
    ("n", "diff"), [(2, 0.1), (3, 2.0), (5, -0.7), (5, 11.0), (8, 0.0), (30, 1.2)]
)
def test_the_interval_ends_where_the_noncentral_t_says(n, diff):
    a, b = Summary(n=n, mean=diff, sd=1.0), Summary(n=n, mean=0.0, sd=1.0)
    g, df, unit = hedges_g(a, b), 2 * n - 2, math.sqrt(2 / n)
    t = student(a, b).statistic
    for bound, expected in ((g.low, 0.975), (g.high, 0.025)):
        noncentrality = bound / bias_factor(df) / unit
        assert share_below(t, df, noncentrality) == pytest.approx(expected, abs=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.5, 0.95, 0.99, 0.9999])
@pytest.mark.parametrize("t", [-250.0, -7.0, -0.0437, 1e-9, 0.0, 0.03, 0.07, 0.3, 40.0])
@pytest.mark.parametrize("n", [3, 4, 6, 120])
def test_the_interval_is_exact_at_every_level_and_t(n, t, level):
    values = np.arange(n) - (n - 1) / 2
    values = values / values.std(ddof=1) + t / math.sqrt(n)
    found, df = g_z(values, level), n - 1
    for bound, share in ((found.low, (1 + level) / 2), (found.high, (1 - level) / 2)):
        noncentrality = bound * math.sqrt(n) / bias_factor(df)
        assert share_below(t, df, noncentrality) == pytest.approx(share, abs=1e-7)


def test_near_zero_the_interval_is_not_that_of_zero():
    low = hedges_g(Summary(n=3, mean=-0.0437, sd=1.0), Summary(n=4, mean=0.0, sd=1.0), 0.99).low
    at_zero = hedges_g(Summary(n=3, mean=0.0, sd=1.0), Summary(n=4, mean=0.0, sd=1.0), 0.99).low
    assert low < at_zero - 0.02


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("n", [2, 3, 8])
def test_the_limit_for_far_t_joins_the_exact_interval(n, sign):
    near, far = (
        hedges_g(Summary(n=n, mean=sign * t * math.sqrt(2 / n), sd=1.0), Summary(n=n, mean=0, sd=1))
        for t in (FAR * 0.999, FAR * 1.001)
    )
    assert far.low == pytest.approx(near.low, rel=5e-3)
    assert far.high == pytest.approx(near.high, rel=5e-3)


def test_a_huge_effect_has_an_interval_and_ends():
    found = hedges_g(Summary(n=3, mean=1e6, sd=1.0), Summary(n=3, mean=0.0, sd=1.0))
    assert 0 < found.low < found.estimate < found.high < math.inf


@given(samples(3), samples(3))
def test_g_agrees_with_statsmodels_but_for_its_rounded_bias_factor(a, b):
    found = hedges_g(of(a), of(b))
    x, y = of(a), of(b)
    expected = effectsize_smd(x.mean, x.sd, x.n, y.mean, y.sd, y.n)[0]
    assert found.estimate == pytest.approx(expected, rel=0.01, abs=1e-12)


@pytest.mark.parametrize(("df", "factor"), [(4, 0.797885), (8, 0.902703), (1000, 0.99925)])
def test_the_bias_factor_has_its_known_values(df, factor):
    assert bias_factor(df) == pytest.approx(factor, abs=1e-6)


@pytest.mark.slow
def test_g_is_unbiased_where_d_is_not():
    rng = np.random.default_rng(7)
    draws = rng.normal(size=(4000, 2, 3)) + np.array([1.0, 0.0])[:, None]
    found = [(cohens_d(of(a), of(b)), hedges_g(of(a), of(b)).estimate) for a, b in draws]
    d, g = np.mean(found, axis=0)
    error = np.std([x[1] for x in found]) / math.sqrt(len(found))
    assert abs(g - 1) < 4 * error
    assert d - 1 > 8 * error


@given(samples(), samples(), levels, shifts, scales)
def test_effects_obey_their_laws(a, b, level, shift, scale):
    here, there = hedges_g(of(a), of(b), level), hedges_g(of(b), of(a), level)
    assert here.estimate == pytest.approx(-there.estimate)
    assert (here.low, here.high) == (
        pytest.approx(-there.high, rel=1e-4, abs=1e-6),
        pytest.approx(-there.low, rel=1e-4, abs=1e-6),
    )
    assert here.low < here.high
    moved = [of([scale * v + shift for v in x]) for x in (a, b)]
    assert hedges_g(*moved, level).estimate == pytest.approx(here.estimate, rel=1e-4, abs=1e-9)
    d = cohens_d(of(a), of(b))
    assert d * pooled_sd(of(a), of(b)) == pytest.approx(of(a).mean - of(b).mean)
    assert abs(here.estimate) <= abs(d)


@given(samples(3), levels)
def test_g_z_holds_0_where_the_paired_test_finds_nothing(values, level):
    found = g_z(values, level)
    p = stats.ttest_1samp(values, 0.0).pvalue
    if abs(p - (1 - level)) > 1e-4:
        assert (found.low < 0 < found.high) == (p > 1 - level)


def test_degenerate_samples_have_a_state_and_no_number():
    one, flat = Summary(n=1, mean=1.0, sd=None), Summary(n=3, mean=1.0, sd=0.0)
    for found, state in (
        (hedges_g(one, one), State.INSUFFICIENT_N),
        (hedges_g(flat, flat), State.ZERO_VARIANCE),
        (hedges_g(Summary(n=3, mean=1.0, sd=None), flat), State.NOT_TESTABLE),
        (g_z([0.4]), State.INSUFFICIENT_N),
        (g_z([0.4, 0.5]), State.INSUFFICIENT_N),  # one df: the bias has no bound
        (g_z([0.4, 0.4, 0.4]), State.ZERO_VARIANCE),
    ):
        assert (found.state, found.estimate, found.low, found.high) == (state, None, None, None)
    assert cohens_d(one, one) is cohens_d(flat, flat) is None
