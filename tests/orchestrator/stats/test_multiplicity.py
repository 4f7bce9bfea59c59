"""Adjusted p values against statsmodels, and by their laws."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from orchestrator.stats.multiplicity import benjamini_hochberg, holm

probabilities = st.floats(0, 1).map(lambda p: round(p, 4))
families = st.lists(probabilities, min_size=1, max_size=12)


@pytest.mark.slow
@settings(max_examples=8)  # statsmodels takes its time
@given(families)
def test_adjusted_p_values_agree_with_statsmodels(ps):
    assert holm(ps) == pytest.approx(list(multipletests(ps, method="holm")[1]))
    assert benjamini_hochberg(ps) == pytest.approx(list(multipletests(ps, method="fdr_bh")[1]))


@given(families)
def test_adjusting_raises_p_and_keeps_its_order(ps):
    for adjust in (holm, benjamini_hochberg):
        found = adjust(ps)
        assert all(raw - 1e-12 <= adjusted <= 1 for raw, adjusted in zip(ps, found, strict=True))
        ordered = [a for _, a in sorted(zip(ps, found, strict=True))]
        assert ordered == sorted(ordered)
    both = zip(holm(ps), benjamini_hochberg(ps), strict=True)
    assert all(h >= b - 1e-12 for h, b in both)


@given(families, st.permutations(range(12)))
def test_the_order_of_the_family_never_matters(ps, order):
    order = [i for i in order if i < len(ps)]
    for adjust in (holm, benjamini_hochberg):
        found = adjust(ps)
        assert adjust([ps[i] for i in order]) == pytest.approx([found[i] for i in order])


@given(families, st.integers(0, 12))
def test_none_stays_none_and_is_no_member_of_the_family(ps, place):
    place = min(place, len(ps))
    for adjust in (holm, benjamini_hochberg):
        found = adjust([*ps[:place], None, *ps[place:]])
        assert found[place] is None
        assert found[:place] + found[place + 1 :] == adjust(ps)


def test_a_family_of_one_is_not_adjusted_and_of_none_is_empty():
    assert holm([0.03]) == benjamini_hochberg([0.03]) == [0.03]
    assert holm([]) == benjamini_hochberg([]) == []
    assert holm([None, None]) == [None, None]


def test_a_later_p_is_never_adjusted_below_an_earlier_one():
    assert holm([0.01, 0.04, 0.041]) == pytest.approx([0.03, 0.08, 0.08])


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(bad):
    for adjust in (holm, benjamini_hochberg):
        with pytest.raises(ValueError, match="p values"):
            adjust([0.1, bad])
