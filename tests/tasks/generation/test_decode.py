"""Batched answers: the tokens that one prompt at a time gives, whatever shares the passes."""

from functools import cache

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import BatchKVCache
from mlx_lm.utils import load

from tasks.contract.generation import ROWS, Decoding
from tasks.data.prompts import load_prompts
from tasks.data.rendering import prompt_ids
from tasks.generation import decode as decoding_module
from tasks.generation.decode import Asked, Sampler, alone, decode, shares_passes
from tasks.starter import TINY
from tests.builders import shuffled
from tests.toys import make_model

GREEDY = Decoding(max_tokens=24)
DRAWN = Decoding(max_tokens=12, temperature=0.8, samples=2, seed=5)


@cache
def tiny():
    return load(str(TINY))[:2]


@cache
def asked(count: int | None = None) -> tuple[Asked, ...]:
    """Prompts of the shipped set, of many lengths."""
    _, tokenizer = tiny()
    chosen = load_prompts("starter").prompts[:: 65 // count if count else 1]
    return tuple(Asked(prompt_ids(tokenizer, p.text), p.id) for p in chosen)


def batched(prompts, decoding=GREEDY):
    model, tokenizer = tiny()
    return decode(model, prompts, decoding, tokenizer.eos_token_ids, lambda _: None)


def one_by_one(prompts, decoding=GREEDY):
    model, tokenizer = tiny()
    return [alone(model, a, decoding, tokenizer.eos_token_ids) for a in prompts]


def tokens(drawn):
    return [(d.tokens, d.finish_reason) for d in drawn]


@pytest.mark.slow
def test_more_prompts_than_rows_give_the_tokens_of_one_at_a_time():
    prompts = asked()[: ROWS + 4]
    assert len({len(a.tokens) for a in prompts}) > 5
    assert tokens(batched(prompts)) == tokens(one_by_one(prompts))


@pytest.mark.slow
def test_every_shipped_prompt_gives_the_tokens_of_one_at_a_time():
    decoding = Decoding(max_tokens=128)
    assert tokens(batched(asked(), decoding)) == tokens(one_by_one(asked(), decoding))


def test_what_shares_the_passes_changes_nothing():
    prompts = asked(16)
    together = batched(prompts)
    other_order = shuffled(list(range(len(prompts))), 3)
    again = batched([prompts[i] for i in other_order])
    assert [again[other_order.index(i)] for i in range(len(prompts))] == together
    assert tokens(batched(prompts[5:6])) == tokens(together[5:6])


def test_the_end_token_is_no_part_of_an_answer_and_the_limit_is():
    _, tokenizer = tiny()
    drawn = batched(asked(16), Decoding(max_tokens=8))
    assert {d.finish_reason for d in drawn} == {"stop", "length"}
    for d in drawn:
        assert not set(d.tokens) & set(tokenizer.eos_token_ids)
        assert (len(d.tokens) == 8) == (d.finish_reason == "length")


def test_progress_counts_complete_answers_up_to_all():
    model, tokenizer = tiny()
    told = []
    decode(model, asked(16), GREEDY, tokenizer.eos_token_ids, told.append)
    assert told == sorted(set(told))
    assert told[-1] == len(asked(16))


def test_the_least_lead_is_the_closest_choice_of_the_whole_answer():
    model, _ = tiny()
    prompt = asked(16)[3]
    (drawn,) = batched([prompt])
    said = list(drawn.tokens) + [2] * (drawn.finish_reason == "stop")
    logits = np.asarray(model(mx.array([[*prompt.tokens, *said[:-1]]]))[0], np.float64)
    logits = np.sort(logits[len(prompt.tokens) - 1 :], axis=1)
    assert drawn.least_lead == pytest.approx((logits[:, -1] - logits[:, -2]).min(), abs=1e-4)


@pytest.mark.slow
def test_an_answer_with_a_choice_within_rounding_is_drawn_again_alone(monkeypatch):
    prompts = asked(16)
    leads = sorted(d.least_lead for d in batched(prompts))
    drawn_alone = []

    def spy(model, a, *args):
        drawn_alone.append(a)
        return alone(model, a, *args)

    monkeypatch.setattr(decoding_module, "alone", spy)
    monkeypatch.setattr(decoding_module, "CLOSE", leads[3])
    close = batched(prompts)
    assert len(drawn_alone) == 3
    assert tokens(close) == tokens(one_by_one(prompts))


def test_batches_move_no_log_probability_by_what_counts_as_close():
    model, _ = tiny()
    prompts = sorted(asked(16), key=lambda a: len(a.tokens))
    longest = max(len(a.tokens) for a in prompts)
    rows = [[0] * (longest - len(a.tokens)) + list(a.tokens) for a in prompts]
    single = [_logprobs(model(mx.array([a.tokens]))) for a in prompts]
    padding = [longest - len(a.tokens) for a in prompts]
    cache_ = [BatchKVCache(padding) for _ in model.layers]
    together = _logprobs(model(mx.array(rows), cache=cache_))
    worst = max(np.abs(together[i] - s[0]).max() for i, s in enumerate(single))
    assert 2 * worst < decoding_module.CLOSE


def _logprobs(logits):
    last = logits[:, -1, :]
    return np.asarray(last - mx.logsumexp(last, axis=-1, keepdims=True), np.float64)


# drawn answers


@pytest.mark.slow
def test_drawn_answers_are_the_same_alone_and_batched_and_in_any_company():
    prompts = asked(13)
    drawn = batched(prompts, DRAWN)
    assert tokens(drawn) == tokens(one_by_one(prompts, DRAWN))
    assert tokens(batched(prompts[4:5], DRAWN)) == tokens(drawn[4:5])
    assert {d.least_lead for d in drawn} == {None}


def test_another_name_or_seed_draws_another_answer():
    prompt = asked(13)[0]
    named = [Asked(prompt.tokens, f"{i}") for i in range(6)]
    first = tokens(batched(named, DRAWN))
    assert len(set(first)) > 3
    other = Decoding(max_tokens=12, temperature=0.8, samples=2, seed=6)
    assert tokens(batched(named, other)) != first


def test_a_longer_limit_goes_on_where_the_shorter_one_ended():
    prompts = asked(13)
    longer = Decoding(max_tokens=30, temperature=0.8, samples=2, seed=5)
    for short, long in zip(batched(prompts, DRAWN), batched(prompts, longer), strict=True):
        assert long.tokens[: len(short.tokens)] == short.tokens


def test_tokens_are_drawn_as_often_as_their_probabilities_say():
    logprobs = mx.log(mx.array([[0.5, 0.25, 0.25, 0.0]]))
    decoding = Decoding(max_tokens=2000, temperature=0.5, samples=1, seed=0)
    sampler = Sampler(decoding, "x")
    counts = np.bincount([int(sampler(logprobs)[0]) for _ in range(2000)], minlength=4)
    assert counts[3] == 0
    expected = np.array([4, 1, 1]) / 6  # halving the temperature squares the odds
    assert counts[:3] / 2000 == pytest.approx(expected, abs=0.04)


@pytest.mark.slow
@pytest.mark.parametrize("key_heads", [1, 2, 3, 6])
def test_a_layout_without_a_mask_for_each_row_is_asked_one_prompt_at_a_time(tmp_path, key_heads):
    """Gemma 2 with as many prompts as key heads would answer with the masks of other prompts."""
    sizes = {"hidden_size": 48, "num_attention_heads": 6, "num_key_value_heads": key_heads}
    folder = make_model(tmp_path / "m", "gemma2", head_dim=8, query_pre_attn_scalar=8, **sizes)
    model, tokenizer = load(str(folder))[:2]
    prompts = [Asked(tuple(tokenizer.encode("One two. " * n)), str(n)) for n in (1, 6, 3)]
    told: list[int] = []
    for some in (prompts[:2], prompts):
        found = decode(model, some, GREEDY, [], told.append)
        assert tokens(found) == tokens([alone(model, a, GREEDY, []) for a in some])
    assert told[-1] == 3


def test_a_mask_by_which_rows_see_too_little_is_noticed(monkeypatch):
    model, _ = tiny()
    assert shares_passes(model)

    def itself_alone(cache, n, **_):
        return mx.eye(n, dtype=mx.bool_)[None, None] if n > 1 else None

    monkeypatch.setattr(BatchKVCache, "make_mask", itself_alone)
    assert not shares_passes(model)
