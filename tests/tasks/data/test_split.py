"""What is held out depends on ids alone, and nothing held out is trained on."""

from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tasks.data.probe_packs import Pair, load_pack
from tasks.data.split import HELDOUT, TRAIN, HeldoutGuard, normal, split_pairs, train_pool
from tests.builders import shuffled

ids = st.text("abcdef0123", min_size=1, max_size=6)
shares = st.floats(0, 1, exclude_max=True)


def a_pair(key: str, behavior: str = "b", positive: str = "", negative: str = "") -> Pair:
    return Pair(
        id=key,
        behavior=behavior,
        positive=positive or f"{key} is so",
        negative=negative or f"{key} is not so",
        domain="",
        source="",
    )


pairs = st.lists(
    st.builds(a_pair, ids, st.sampled_from(["b", "c"])), unique_by=lambda p: p.id, max_size=30
)


@given(pairs, shares, st.integers(0, 2**32))
def test_a_split_is_stable_under_reordering(found, share, seed):
    assert split_pairs(shuffled(found, seed), share) == split_pairs(found, share)


@given(pairs, shares, st.sets(ids, max_size=10))
def test_pairs_of_other_behaviours_change_nothing(found, share, others):
    known = {p.id for p in found}
    more = [a_pair(key, "other") for key in sorted(others - known)]
    split = split_pairs([*more, *found], share)
    assert {k: split[k] for k in known} == split_pairs(found, share)


@given(pairs, shares)
def test_of_each_behaviour_exactly_its_share_is_held_out(found, share):
    split = split_pairs(found, share)
    assert split.keys() == {p.id for p in found}
    for behavior, n in Counter(p.behavior for p in found).items():
        held = sum(split[p.id] == HELDOUT for p in found if p.behavior == behavior)
        assert held == round(share * n)


@given(pairs, shares, shares)
def test_a_larger_share_holds_out_a_superset(found, a, b):
    small, large = (
        {k for k, part in split_pairs(found, share).items() if part == HELDOUT}
        for share in sorted((a, b))
    )
    assert small <= large


def test_a_quarter_of_the_starter_pack_is_12_of_48():
    pack = load_pack("starter")
    split = split_pairs(pack, 0.25)
    held = Counter(p.behavior for p in pack if split[p.id] == HELDOUT)
    assert set(held.values()) == {12}
    assert split_pairs(pack, 0.0) == {p.id: TRAIN for p in pack}


def test_the_split_is_the_same_tomorrow():
    """Another split would let results of yesterday see what is held out today."""
    split = split_pairs([a_pair(str(i)) for i in range(8)], 0.5)
    assert sorted(k for k, part in split.items() if part == HELDOUT) == ["0", "1", "3", "4"]


@pytest.mark.parametrize(
    ("text", "touches"),
    [
        ("Water is wet.", True),
        ("He said: water  IS\n wet. Sure.", True),
        ("Water is dry.", True),
        ("Water is", False),
        ("Air is thin.", False),
        ("", False),
    ],
)
def test_a_text_touches_held_out_text_however_it_is_cased_or_spaced(text, touches):
    found = [
        a_pair("h", positive="Water is wet.", negative="Water is\tdry."),
        a_pair("t", positive="Air is thin.", negative="Air is thick."),
    ]
    guard = HeldoutGuard(found, {"h": HELDOUT, "t": TRAIN})
    assert guard.touches(text) is touches


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_a_text_that_holds_a_held_out_text_always_touches_it(before, held, after):
    assume(normal(held))
    guard = HeldoutGuard([a_pair("h", positive=held, negative="-")], {"h": HELDOUT})
    assert guard.touches(f"{before} {held} {after}")
    assert guard.touches(f"{before}\n{'  '.join(held.split())}\t{after}")


def test_nothing_is_touched_where_nothing_is_held_out():
    assert not HeldoutGuard([a_pair("t")], {"t": TRAIN}).touches("t is so")


def test_the_training_pool_is_of_the_train_split_the_behaviours_and_free_of_held_out_text():
    found = [
        a_pair("held", positive="Cats purr.", negative="Cats bark."),
        a_pair("good"),
        a_pair("leak", positive="Some say: cats purr. True.", negative="x"),
        a_pair("twin", positive="y", negative="CATS  BARK."),
        a_pair("other", "c"),
    ]
    split = {p.id: TRAIN for p in found} | {"held": HELDOUT}
    guard = HeldoutGuard(found, split)
    assert [p.id for p in train_pool(found, split, ("b",), guard)] == ["good"]
    assert [p.id for p in train_pool(found, split, ("b", "c"), guard)] == ["good", "other"]


@given(st.integers(0, 2**32), shares)
def test_the_order_of_the_pool_is_that_of_ids_and_never_of_the_file(seed, share):
    found = list(load_pack("starter"))[:60]
    split = split_pairs(found, share)
    guard = HeldoutGuard(found, split)
    pool = train_pool(shuffled(found, seed), split, ("factual", "toxicity"), guard)
    assert [p.id for p in pool] == sorted(p.id for p in pool)
    assert pool == train_pool(found, split, ("factual", "toxicity"), guard)
