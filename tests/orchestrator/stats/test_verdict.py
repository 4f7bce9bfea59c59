"""Four words, and when each is said."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orchestrator.stats.means import equivalence, paired, welch
from orchestrator.stats.records import Alternative, Summary
from orchestrator.stats.verdict import Verdict, decide, verdict
from tests.orchestrator.stats.samples import MIRROR, pairs, samples

directions = st.sampled_from([Alternative.GREATER, Alternative.LESS])
alphas = st.sampled_from([0.01, 0.05, 0.1])
TWO, UP, DOWN = Alternative.TWO_SIDED, Alternative.GREATER, Alternative.LESS


def shifted(diff: float):
    """Six pairs with this mean difference and a standard error of about 0.09."""
    noise = [-0.3, -0.1, -0.05, 0.05, 0.1, 0.3]
    return paired([diff + e for e in noise], [0.0] * 6)


@pytest.mark.parametrize(
    ("diff", "claim", "delta", "word"),
    [
        (0.5, UP, None, Verdict.SUPPORTED),
        (-0.5, UP, None, Verdict.CONTRADICTED),
        (0.05, UP, None, Verdict.INCONCLUSIVE),
        (-0.05, UP, None, Verdict.INCONCLUSIVE),
        (-0.5, DOWN, None, Verdict.SUPPORTED),
        (0.5, DOWN, None, Verdict.CONTRADICTED),
        (0.5, TWO, None, Verdict.SUPPORTED),
        (-0.5, TWO, None, Verdict.SUPPORTED),
        (0.0, TWO, None, Verdict.INCONCLUSIVE),
        (0.0, TWO, 1.0, Verdict.CONTRADICTED),
        (0.0, TWO, 0.1, Verdict.INCONCLUSIVE),
        (0.5, TWO, 1.0, Verdict.SUPPORTED),
    ],
)
def test_each_word_has_its_case(diff, claim, delta, word):
    test = shifted(diff)
    p = paired([diff + e for e in (-0.3, -0.1, -0.05, 0.05, 0.1, 0.3)], [0.0] * 6, claim).p
    assert verdict(test, p, claim, delta=delta) is word


@given(samples(), samples(), directions, alphas)
def test_contradicted_is_where_the_interval_lies_on_the_other_side(a, b, claim, alpha):
    x, y = Summary.of(a), Summary.of(b)
    test = welch(x, y, claim, level=1 - alpha)
    found = verdict(test, test.p, claim, alpha)
    edge = test.interval.high if claim is UP else -test.interval.low
    assume(abs(edge) > 1e-9)
    assert (found is Verdict.CONTRADICTED) == (edge < 0)
    assert (found is Verdict.SUPPORTED) == (test.p <= alpha)


@given(pairs(), directions, alphas)
def test_what_supports_a_claim_never_supports_its_opposite(ab, claim, alpha):
    words = [
        verdict(paired(*ab), paired(*ab, side).p, side, alpha) for side in (claim, MIRROR[claim])
    ]
    assert words.count(Verdict.SUPPORTED) <= 1
    if Verdict.CONTRADICTED in words:
        assert Verdict.SUPPORTED in words


@given(pairs(), st.floats(0.05, 3))
def test_they_differ_is_contradicted_only_by_a_passed_equivalence_test(ab, delta):
    test = paired(*ab)
    assert verdict(test, test.p, TWO) in (Verdict.SUPPORTED, Verdict.INCONCLUSIVE)
    found = verdict(test, test.p, TWO, delta=delta)
    passed = equivalence(test, delta).p_tost <= 0.05
    assert (found is Verdict.CONTRADICTED) == (passed and test.p > 0.05)


@given(st.floats(0, 1), st.floats(0, 1), alphas)
def test_a_larger_p_never_makes_a_claim_more_supported(p, more, alpha):
    ranks = [Verdict.SUPPORTED, Verdict.INCONCLUSIVE]
    low, high = sorted((p, more))
    assert ranks.index(decide(low, UP, alpha)) <= ranks.index(decide(high, UP, alpha))


def test_the_p_that_counts_is_the_adjusted_one():
    test = shifted(0.3)
    assert verdict(test, 0.04, UP) is Verdict.SUPPORTED
    assert verdict(test, 0.06, UP) is Verdict.INCONCLUSIVE
    assert verdict(test, 0.05, UP) is Verdict.SUPPORTED


def test_without_a_p_nothing_is_said():
    assert verdict(shifted(0.5), None, UP) is Verdict.NOT_TESTABLE
    assert decide(None, TWO, p_tost=0.0) is Verdict.NOT_TESTABLE
    untested = paired([0.5], [0.1])
    for p in (None, 0.001):  # a p from elsewhere does not stand in for the test
        assert verdict(untested, p, UP) is Verdict.NOT_TESTABLE


def test_the_opposite_needs_half_of_alpha():
    assert decide(0.97, UP, p_opposite=0.03) is Verdict.INCONCLUSIVE
    assert decide(0.98, UP, p_opposite=0.025) is Verdict.CONTRADICTED
    assert decide(0.98, TWO, p_opposite=0.001) is Verdict.INCONCLUSIVE
    assert decide(0.98, UP, p_tost=0.001) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("alpha", [0.0, 1.0, 5.0])
def test_alpha_is_a_share(alpha):
    with pytest.raises(ValueError, match="alpha"):
        decide(0.01, UP, alpha)
