"""Two arms compared: what pairs, what does not, and why."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from orchestrator.analysis.evidence.comparison import compare, paired_seeds
from orchestrator.errors import UserError
from orchestrator.stats.beside.designs import fewest_seeds, smallest_effect
from orchestrator.stats.records import Summary
from tests.orchestrator.analysis.arms import BATCH, an_arm

A = [0.31, 0.42, 0.27, 0.39, 0.35, 0.46]
B = [0.12, 0.29, 0.05, 0.21, 0.11, 0.24]
SCORES = st.lists(st.integers(-1000, 1000).map(lambda i: i / 1000), min_size=2, max_size=7)


def test_equal_keys_and_batches_pair_all_common_seeds():
    found = compare(an_arm(scores=A), an_arm("sft-only", B))
    assert (found.pairing, found.reason, found.n_pairs) == ("paired", None, 6)
    assert found.test.test == "paired"
    assert found.test.diff == pytest.approx(0.19666666666666668)
    assert found.test.p == pytest.approx(6.415658758096746e-05)
    assert found.g_z.estimate == pytest.approx(4.204347355037329)
    assert found.exact.p == found.p_attainable_min == 0.03125
    assert found.r_pair == pytest.approx(0.9119631252649322)


def test_only_common_seeds_are_paired_and_all_are_counted():
    a = an_arm(scores={1: 0.5, 2: 0.6, 3: 0.9})
    b = an_arm("sft-only", {2: 0.1, 3: 0.2, 4: 0.3, 5: 0.4})
    found = compare(a, b)
    assert (found.n_a, found.n_b, found.n_pairs) == (3, 4, 2)
    assert paired_seeds(a, b) == (2, 3)
    assert found.test.diff == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"keys": {}}, "no pairing key"),
        ({"keys": {1: "key 1"}}, "seed 2: no pairing key"),
        (
            {"keys": {s: f"key {s}" for s in range(1, 6)} | {6: "other"}},
            "seed 6: other initialisation or batch order",
        ),
        ({"batch": replace(BATCH, code_version="2")}, "code versions differ: 1, 2"),
        ({"batch": replace(BATCH, base_precision="q4")}, "base precisions differ: float32, q4"),
        ({"batch": replace(BATCH, data_version="e")}, "data versions differ: d, e"),
        ({"batch": replace(BATCH, data_version="e" * 64)}, f"data versions differ: d, {'e' * 12}"),
        ({"batch": None}, "batch unknown"),
        ({"scores": dict(enumerate(B, 11))}, "no seed in common"),
        ({"scores": {1: 0.5, 22: 0.1, 23: 0.2}}, "only seed 1 in common"),
    ],
)
def test_one_thing_that_differs_unpairs_and_is_named(change, reason):
    found = compare(an_arm(scores=A), an_arm("sft-only", **({"scores": B} | change)))
    assert (found.pairing, found.reason) == ("none", reason)
    assert (found.test.test, found.n_pairs, found.g_z) == ("welch", None, None)


def test_an_arm_that_has_no_sft_data_by_design_is_paired():
    a = an_arm("contrastive-only", A, batch=replace(BATCH, data_version=None))
    assert compare(a, an_arm("sft-only", B)).pairing == "paired"


def test_summaries_are_never_paired_and_have_no_exact_test():
    a = replace(an_arm(scores=A), scores={})
    found = compare(a, an_arm("sft-only", B))
    assert (found.reason, found.exact) == ("only summaries are known", None)
    assert found.p_attainable_min == pytest.approx(2 / math.comb(12, 6))


def test_different_baselines_are_an_error_and_not_a_number():
    with pytest.raises(UserError, match="different baselines"):
        compare(an_arm(scores=A), an_arm("sft-only", B, baseline_key="other"))


def test_an_exact_p_that_cannot_become_small_is_not_given_but_its_limit_is():
    found = compare(an_arm(scores=A[:4]), an_arm("sft-only", B[:4]))
    assert (found.exact.p, found.p_attainable_min) == (None, 0.125)


def test_an_arm_without_a_score_has_no_difference():
    found = compare(an_arm(scores={}), an_arm("sft-only", B))
    assert found.test.diff is found.test.p is found.g.estimate is None
    assert found.reason.startswith("no score")


def test_a_difference_without_variance_has_no_p():
    found = compare(an_arm(scores=[0.5, 0.6, 0.7]), an_arm("sft-only", [0.4, 0.5, 0.6]))
    assert (str(found.test.state), found.test.p, found.test.interval) == (
        "zero_variance",
        None,
        None,
    )


def test_planning_numbers_are_those_of_the_golden_cases():
    def printed(condition: str, mean: float, sd: float):
        sample = Summary(n=5, mean=mean, sd=sd)
        return replace(an_arm(condition), delta=sample, score=None)

    rho, sft = printed("rho-guided", 0.163, 0.039), printed("sft-only", 0.114, 0.105)
    design = compare(rho, sft).design
    assert fewest_seeds(design, 0.163 - 0.114, 0.05) == 43
    other = compare(rho, printed("sft-only", 0.152, 0.052)).design
    assert fewest_seeds(other, 0.163 - 0.152, 0.05) == 276
    smallest, rng = smallest_effect(design, 0.05), np.random.default_rng(0)
    a, b = rng.normal(smallest, 0.039, (8000, 5)), rng.normal(0, 0.105, (8000, 5))
    found = stats.ttest_ind(a, b, axis=1, equal_var=False).pvalue <= 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.03)


@pytest.mark.slow
@given(SCORES, SCORES, st.booleans())
@settings(max_examples=60, deadline=None)
def test_swapping_the_arms_turns_the_difference_around(a, b, keyed):
    keys = None if keyed else {}
    one, two = an_arm(scores=a, keys=keys), an_arm("sft-only", b, keys=keys)
    here, there = compare(one, two), compare(two, one)
    assert here.test.diff == pytest.approx(-there.test.diff, abs=1e-12)
    assert here.pairing == there.pairing
    assert (here.test.p is None) == (there.test.p is None)
    if here.test.p is not None:
        assert here.test.p == pytest.approx(there.test.p)
        assert here.test.interval.low == pytest.approx(-there.test.interval.high)
        assert math.isfinite(here.test.statistic)
    if here.cohens_d is not None:
        assert here.cohens_d == pytest.approx(-there.cohens_d)


@given(SCORES, st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_order_of_seeds_does_not_matter(a, random, keyed):
    keys = None if keyed else {}
    seeds = list(enumerate(a, 1))
    other = an_arm("sft-only", B, keys=keys)
    mixed = dict(random.sample(seeds, len(seeds)))
    one, two = (compare(an_arm(scores=s, keys=keys), other) for s in (dict(seeds), mixed))
    assert one.test.diff == pytest.approx(two.test.diff, abs=1e-12)
    assert (one.pairing, one.reason, one.n_pairs) == (two.pairing, two.reason, two.n_pairs)
    assert (one.test.p is None) == (two.test.p is None)
    if one.test.p is not None:
        assert one.test.p == pytest.approx(two.test.p)


@given(SCORES.filter(lambda s: len(s) >= 3), st.data())
@settings(max_examples=40, deadline=None)
def test_one_key_that_differs_unpairs_all_seeds(a, data):
    odd = data.draw(st.integers(1, min(len(a), len(B))))
    keys = {s: f"key {s}" for s in range(1, len(a) + 1)} | {odd: "other"}
    found = compare(an_arm(scores=a, keys=keys), an_arm("sft-only", B))
    assert (found.pairing, found.n_pairs) == ("none", None)
    assert f"seed {odd}:" in found.reason
