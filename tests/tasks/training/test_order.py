"""What a seed decides: which texts and pairs every step sees, swaps, and learning rates."""

from collections import Counter
from itertools import chain, pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tasks.contract.cell import Condition, HingeSpec, TrainSpec
from tasks.training.order import Order, is_swapped, lay_out, learning_rate
from tests.tasks.data.test_split import a_pair

seeds = st.integers(0, 2**63 - 1)
sizes = st.integers(1, 60)
trains = st.builds(
    TrainSpec,
    batch_size=st.integers(1, 7),
    grad_accumulation=st.integers(1, 6),
    epochs=st.integers(1, 3),
)
POOL = tuple(
    a_pair(f"{b}{i}", b)
    for b, n in (("bias", 5), ("factual", 7), ("toxicity", 3))
    for i in range(n)
)
BEHAVIORS = ("bias", "factual", "toxicity")


def hinge(per_behavior: int = 1, behaviors: tuple[str, ...] = BEHAVIORS) -> HingeSpec:
    return HingeSpec(
        rho_weight=0.2,
        margin=0.1,
        pairs_per_step=per_behavior * len(behaviors),
        behaviors=behaviors,
        pool_digest="",
    )


def texts(order: Order) -> list[int]:
    return [i for step in order.steps for micro in step for i in micro.records]


def pairs(order: Order) -> list[int]:
    return [i for step in order.steps for micro in step for i in micro.pairs]


# texts


@given(seeds, trains, sizes)
def test_every_text_is_seen_once_per_epoch(seed, train, n):
    found = texts(lay_out(seed, train, n, None, ()))
    assert len(found) == n * train.epochs
    for epoch in range(train.epochs):
        assert sorted(found[epoch * n : (epoch + 1) * n]) == list(range(n))


@given(seeds, trains, sizes)
def test_a_batch_is_full_except_the_last_of_an_epoch(seed, train, n):
    order = lay_out(seed, train, n, None, ())
    micro = list(chain.from_iterable(order.steps))
    per_epoch = -(-n // train.batch_size)
    assert len(micro) == per_epoch * train.epochs
    for i, m in enumerate(micro, 1):
        last = i % per_epoch == 0
        assert len(m.records) == (n - 1) % train.batch_size + 1 if last else train.batch_size


@given(seeds, trains, sizes)
def test_a_partial_accumulation_at_the_end_is_kept(seed, train, n):
    order = lay_out(seed, train, n, None, ())
    micro = train.epochs * -(-n // train.batch_size)
    assert sum(len(s) for s in order.steps) == micro
    assert [len(s) for s in order.steps[:-1]] == [train.grad_accumulation] * (len(order.steps) - 1)
    assert len(order.steps[-1]) == (micro - 1) % train.grad_accumulation + 1


def test_1000_texts_make_125_steps_with_the_defaults():
    assert len(lay_out(42, TrainSpec(), 1000, None, ()).steps) == 125


@given(seeds, trains, sizes)
def test_every_epoch_has_an_order_of_its_own(seed, train, n):
    assume(train.epochs > 1 and n > 20)
    found = texts(lay_out(seed, train, n, None, ()))
    assert found[:n] != found[n : 2 * n]


# pairs


@given(seeds, trains, sizes, st.integers(1, 3))
def test_every_micro_step_has_as_many_pairs_of_each_behaviour(seed, train, n, each):
    order = lay_out(seed, train, n, hinge(each), POOL)
    for micro in chain.from_iterable(order.steps):
        dealt = Counter(POOL[i].behavior for i in micro.pairs)
        assert dealt == dict.fromkeys(BEHAVIORS, each)


@given(seeds, trains, sizes)
def test_no_pair_comes_again_before_all_of_its_behaviour_came(seed, train, n):
    found = pairs(lay_out(seed, train, n, hinge(), POOL))
    for behavior in BEHAVIORS:
        dealt = [i for i in found if POOL[i].behavior == behavior]
        stack = {i for i, p in enumerate(POOL) if p.behavior == behavior}
        for start in range(0, len(dealt), len(stack)):
            part = dealt[start : start + len(stack)]
            assert len(set(part)) == len(part)
            assert set(part) <= stack


# common random numbers


@given(seeds, trains, sizes)
def test_conditions_of_one_seed_see_the_same_texts_and_pairs(seed, train, n):
    guided = lay_out(seed, train, n, hinge(), POOL)
    plain = lay_out(seed, train, n, None, ())
    assert guided == lay_out(seed, train, n, hinge(), POOL)
    assert texts(guided) == texts(plain)
    assert guided.sft_hash == plain.sft_hash
    assert pairs(plain) == []


@given(seeds, sizes)
def test_a_behaviour_deals_the_same_pairs_whatever_others_are_trained(seed, n):
    def dealt(*behaviors: str) -> list[str]:
        found = pairs(lay_out(seed, TrainSpec(), n, hinge(1, behaviors), POOL))
        return [POOL[i].id for i in found if POOL[i].behavior == "factual"]

    assert dealt("factual") == dealt("bias", "factual") == dealt(*BEHAVIORS)


@given(seeds, seeds)
def test_another_seed_has_another_order(a, b):
    assume(a != b)
    x, y = (lay_out(s, TrainSpec(), 40, hinge(), POOL) for s in (a, b))
    assert x.sft_hash != y.sft_hash
    assert x.pairs_hash != y.pairs_hash


@given(seeds)
def test_the_hashes_tell_how_texts_fall_into_steps(seed):
    a, b = (lay_out(seed, TrainSpec(grad_accumulation=g), 12, None, ()) for g in (1, 2))
    assert texts(a) == texts(b)
    assert a.sft_hash != b.sft_hash


# swaps


@given(seeds, st.text(max_size=8))
def test_a_swap_is_decided_once_per_seed_and_pair(seed, pair):
    found = {is_swapped(Condition.SHUFFLED_PAIRS, seed, pair) for _ in range(5)}
    assert len(found) == 1


@given(st.sampled_from(list(Condition)), seeds, st.text(max_size=8))
def test_pairs_are_swapped_never_or_always_where_the_chance_is_0_or_1(condition, seed, pair):
    if condition.traits.swapped in (None, 0, 1):
        assert is_swapped(condition, seed, pair) == (condition.traits.swapped == 1)


def test_only_shuffled_and_inverted_pairs_are_ever_swapped():
    """Every condition but those two has 64 chances to swap a pair, and takes none."""
    swapping = {c for c in Condition for i in range(64) if is_swapped(c, 42, f"pair-{i}")}
    assert swapping == {c for c in Condition if c.traits.swapped}
    assert swapping >= {Condition.INVERTED_PAIRS, Condition.SHUFFLED_PAIRS}


@pytest.mark.parametrize("seed", [42, 123, 456, 789, 1337])
def test_about_half_of_the_pairs_are_swapped_for_every_seed(seed):
    swapped = sum(is_swapped(Condition.SHUFFLED_PAIRS, seed, f"pair-{i}") for i in range(2000))
    assert 900 < swapped < 1100


def test_seeds_swap_different_pairs():
    patterns = {
        tuple(is_swapped(Condition.SHUFFLED_PAIRS, seed, f"pair-{i}") for i in range(64))
        for seed in range(50)
    }
    assert len(patterns) == 50


# learning rate


@given(
    st.integers(1, 400),
    st.floats(0, 1, exclude_max=True),
    st.floats(1e-6, 1.0, allow_subnormal=False),
)
def test_the_learning_rate_rises_to_its_peak_then_falls_and_is_never_0(steps, warmup, peak):
    train = TrainSpec(learning_rate=peak, warmup_fraction=warmup)
    rates = [learning_rate(train, i, steps) for i in range(steps)]
    top = rates.index(max(rates))
    assert top == int(warmup * steps)
    assert rates[top] == pytest.approx(peak, rel=1e-12)
    assert all(a < b for a, b in pairwise(rates[: top + 1]))
    assert all(a > b for a, b in pairwise(rates[top:]))
    assert min(rates) > 0


def test_the_learning_rate_by_hand():
    train = TrainSpec(learning_rate=1.0, warmup_fraction=0.2)
    assert [learning_rate(train, i, 10) for i in range(10)] == pytest.approx(
        [1 / 3, 2 / 3, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]
    )
