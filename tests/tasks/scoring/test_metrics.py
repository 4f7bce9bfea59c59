"""Summaries of pair scores against formulas written out by hand."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import special, stats

from tasks.contract.cell import ProbeScoreRow, ScoreRow
from tasks.scoring.metrics import auc, calibration_error, logistic, spearman, summarise

logprobs = st.floats(-20, 0, allow_nan=False).map(lambda x: round(x, 3))
lists = st.lists(logprobs, max_size=15)


def row(
    positive: float, negative: float, *, tokens: int = 10, completion: float | None = None
) -> ProbeScoreRow:
    return ProbeScoreRow(
        behavior="b",
        split="train",
        probe_id="p",
        status="ok",
        logprob_positive_mean=positive,
        logprob_negative_mean=negative,
        n_tokens_positive=tokens,
        n_tokens_negative=tokens,
        gap=positive - negative,
        gap_completion=completion,
    )


def excluded(reason: str) -> ProbeScoreRow:
    return ProbeScoreRow(behavior="b", split="train", probe_id="p", status=reason)


def scored(*rows: ProbeScoreRow) -> ScoreRow:
    return summarise("b", "train", rows)


def array(values: list[float]) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def ranks(values: list[float]) -> list[float]:
    """Mean ranks, ties shared."""
    return [sum(v < x for v in values) + (sum(v == x for v in values) + 1) / 2 for x in values]


def correlation(a: list[float], b: list[float]) -> float:
    x, y = sum(a) / len(a), sum(b) / len(b)
    cross = sum((p - x) * (q - y) for p, q in zip(a, b, strict=True))
    return cross / math.sqrt(sum((p - x) ** 2 for p in a) * sum((q - y) ** 2 for q in b))


# rho, accuracy


def test_a_summary_by_hand():
    found = scored(
        row(-1.0, -2.0, completion=3.0),
        row(-2.0, -1.5, completion=None),
        row(-3.0, -3.0, completion=-1.0),
        excluded("too_long"),
        excluded("too_long"),
        excluded("nonfinite"),
    )
    assert (found.n_pairs, found.n_valid, found.n_completion) == (6, 3, 2)
    assert found.n_excluded == {"too_long": 2, "nonfinite": 1}
    assert found.rho == pytest.approx((1.0 - 0.5 + 0.0) / 3)
    gaps = [1.0, -0.5, 0.0]
    mean = sum(gaps) / 3
    assert found.rho_sd == pytest.approx(math.sqrt(sum((g - mean) ** 2 for g in gaps) / 2))
    assert found.rho_completion == pytest.approx(1.0)
    assert found.accuracy == pytest.approx((1 + 0 + 0.5) / 3)
    assert found.status == "partial"


@given(st.lists(st.tuples(logprobs, logprobs), min_size=1, max_size=15))
def test_accuracy_counts_a_tie_as_one_half(found):
    wins = [1.0 if p - n > 0 else 0.5 if p - n == 0 else 0.0 for p, n in found]
    assert scored(*(row(p, n) for p, n in found)).accuracy == pytest.approx(sum(wins) / len(wins))


@given(st.lists(st.tuples(logprobs, logprobs), min_size=1, max_size=15))
def test_the_order_of_pairs_never_matters(found):
    rows = [row(p, n) for p, n in found]
    a, b = scored(*rows), scored(*rows[::-1])
    for name in ("rho", "rho_sd", "accuracy", "auc", "spearman", "ece", "brier"):
        x, y = getattr(a, name), getattr(b, name)
        assert x is y is None or x == pytest.approx(y, abs=1e-12)


def test_no_valid_pair_has_no_numbers_and_not_0():
    found = scored(excluded("too_long"), excluded("too_short"))
    assert (found.status, found.n_pairs, found.n_valid) == ("empty", 2, 0)
    numbers = (found.rho, found.rho_sd, found.rho_completion, found.accuracy, found.auc)
    assert {*numbers, found.spearman, found.ece, found.brier} == {None}
    assert scored().status == "empty"


def test_one_pair_has_a_mean_but_no_spread_and_no_correlation():
    found = scored(row(-1.0, -2.0))
    assert (found.rho, found.rho_sd, found.spearman) == (1.0, None, None)
    assert (found.auc, found.accuracy, found.status) == (1.0, 1.0, "ok")


def test_no_completion_has_no_completion_gap():
    found = scored(row(-1.0, -2.0), row(-1.0, -3.0))
    assert (found.rho_completion, found.n_completion) == (None, 0)


# auc


@given(lists, lists)
def test_auc_is_the_share_of_won_duels(positive, negative):
    assume(positive and negative)
    duels = [1.0 if p > n else 0.5 if p == n else 0.0 for p, n in product(positive, negative)]
    assert auc(array(positive), array(negative)) == pytest.approx(sum(duels) / len(duels))


@pytest.mark.parametrize(("positive", "negative"), [([], [1.0]), ([1.0], []), ([], [])])
def test_auc_of_nothing_is_none(positive, negative):
    assert auc(array(positive), array(negative)) is None


def test_auc_of_constants_is_one_half():
    assert auc(array([1.0, 1.0]), array([1.0])) == 0.5


# spearman


@given(st.lists(st.tuples(logprobs, logprobs), min_size=3, max_size=15))
def test_spearman_is_the_correlation_of_ranks(found):
    a, b = [p for p, _ in found], [n for _, n in found]
    assume(len(set(a)) > 1 and len(set(b)) > 1)
    assert spearman(array(a), array(b)) == pytest.approx(correlation(ranks(a), ranks(b)), abs=1e-9)


@pytest.mark.parametrize(
    ("a", "b"),
    [([], []), ([1.0], [2.0]), ([1.0, 2.0], [2.0, 1.0]), ([1.0] * 4, [1.0, 2.0, 3.0, 4.0])],
)
def test_spearman_of_too_few_or_of_constants_is_none(a, b):
    assert spearman(array(a), array(b)) is None
    assert spearman(array(b), array(a)) is None


# calibration


def expected_calibration_error(confidence: list[float]) -> float:
    """Ten bins over [0.5, 1], one after the other."""
    total = 0.0
    for b in range(10):
        low, high = 0.5 + b / 20, 0.5 + (b + 1) / 20
        inside = [
            c for c in confidence if low <= max(c, 1 - c) < high or (b == 9 and max(c, 1 - c) == 1)
        ]
        if inside:
            right = sum(c > 0.5 for c in inside) / len(inside)
            sure = sum(max(c, 1 - c) for c in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(right - sure)
    return total


@given(st.lists(st.integers(0, 1000).map(lambda i: (i + 0.37) / 1001), min_size=1, max_size=30))
def test_ece_is_the_weighted_distance_of_sureness_from_rightness(confidence):
    assert calibration_error(array(confidence)) == pytest.approx(
        expected_calibration_error(confidence)
    )


@pytest.mark.parametrize(
    ("confidence", "error"),
    [
        ([1.0, 1.0], 0.0),
        ([0.0], 1.0),
        ([0.75, 0.75, 0.75, 0.25], 0.0),
        ([0.5], 0.5),
        ([0.999, 0.001], 0.499),
    ],
)
def test_ece_by_hand(confidence, error):
    assert calibration_error(array(confidence)) == pytest.approx(error)


def test_ece_of_nothing_is_none():
    assert calibration_error(array([])) is None


@given(st.lists(st.tuples(logprobs, logprobs, st.integers(1, 200)), min_size=1, max_size=10))
def test_brier_is_of_the_sigmoid_of_gap_times_tokens(found):
    terms = []
    for positive, negative, tokens in found:
        z = (positive - negative) * tokens
        c = 1 / (1 + math.exp(-z)) if z > -700 else 0.0
        terms.append((1 - c) ** 2)
    rows = [row(p, n, tokens=t) for p, n, t in found]
    assert scored(*rows).brier == pytest.approx(sum(terms) / len(terms))


def test_a_gap_beyond_any_sigmoid_is_certain_and_finite():
    found = scored(row(0.0, -1000.0, tokens=1000), row(-1000.0, 0.0, tokens=1000))
    assert (found.brier, found.ece) == (0.5, 0.5)


@given(st.lists(st.tuples(logprobs, logprobs), min_size=3, max_size=40))
def test_rank_statistics_have_the_bits_of_scipy(pairs):
    a, b = (array(list(column)) for column in zip(*pairs, strict=True))
    assume(np.ptp(a) > 0 and np.ptp(b) > 0)
    assert spearman(a, b) == stats.spearmanr(a, b).statistic
    u = stats.mannwhitneyu(a, b, method="asymptotic").statistic
    assert auc(a, b) == u / len(a) ** 2


@given(st.floats(-800, 800))
def test_the_logistic_function_has_the_bits_of_scipy(x):
    assert logistic(x) == special.expit(x)
