"""Operations are counted from matrices, tokens and attention; never padding, never twice."""

import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx import nn

from tasks.contract.cell import ModelSpec, TrainSpec
from tasks.model.model import Models, attached
from tasks.passes.costs import Load, Needed, load_of_text, load_of_trees
from tasks.passes.flops import REPEATS, costs_of, matmul_peak
from tasks.passes.trie import Term, grow
from tests.toys import SIZES, make_model

TEXT = st.lists(st.integers(0, 9), min_size=2, max_size=12).map(tuple)
ATTENTION, MLP = 32 * 32 * 2 + 32 * 16 * 2, 3 * 32 * 64
"""Weights of a toy layer: q and o, k and v of half as many heads; gate, up and down."""


def costs(base):
    return costs_of(base.model, base.vocabulary)


def base_of(folder, **options):
    return Models().get(ModelSpec(name=str(make_model(folder, **options))))


def test_a_pass_costs_two_operations_a_weight_and_token(tmp_path):
    base = base_of(tmp_path / "m")
    found = costs(base)
    assert found.token == 2 * (2 * ATTENTION + MLP)  # the last MLP is counted by scored token
    assert found.scored == 2 * (MLP + 32 * base.vocabulary)
    assert found.sight == 2 * 2 * 2 * SIZES["hidden_size"]  # q k and p v, two layers
    load = Load(tokens=10, sights=55, scored=9)
    assert found.of(Needed(forward=load)) == (
        10 * found.token + 55 * found.sight + 9 * found.scored
    )


def test_an_adapter_adds_its_own_weights(tmp_path):
    base = base_of(tmp_path / "m")
    before = costs(base)
    with attached(base, TrainSpec(lora_keys=("q_proj",), lora_rank=4), seed=0):
        after = costs(base)
    assert after.adapter == 2 * 2 * 4 * (32 + 32)
    assert after.token == before.token
    assert before.adapter == 0


def test_quantised_weights_cost_as_many_operations(tmp_path):
    quantised = base_of(tmp_path / "q", bits=4)
    assert costs(quantised).token == 2 * (2 * (2 * 64 * 64 + 2 * 64 * 32) + 3 * 64 * 64)


def test_layers_with_other_matrices_are_not_counted(tmp_path):
    base = base_of(tmp_path / "m")
    base.model.layers[0]["router"] = nn.Embedding(4, 4)
    assert costs(base) is None


@given(st.lists(TEXT, min_size=1, max_size=6, unique=True))
def test_shared_tokens_count_once(texts):
    together = load_of_trees([grow(Term(t, i, 1.0) for i, t in enumerate(texts))])
    apart = [load_of_text(t) for t in texts]
    total = sum(apart, Load())
    prefixes = {t[:n] for t in texts for n in range(1, len(t))}
    assert together.tokens == len(prefixes)
    assert together.sights == sum(map(len, prefixes))
    assert together.scored == len({t[:n] for t in texts for n in range(2, len(t) + 1)})
    assert together.tokens <= total.tokens
    assert apart[0] == load_of_trees([grow([Term(texts[0], 0, 1.0)])])


def test_the_peak_is_the_best_of_several_products(monkeypatch):
    clock = iter([0.0, 0.2, 1.0, 1.1, 2.0, 2.4, 3.0, 3.3, 4.0, 4.5])
    monkeypatch.setattr("tasks.passes.flops.perf_counter", lambda: next(clock))
    monkeypatch.setattr("tasks.passes.flops.CPU_SIDE", 100)
    matmul_peak.cache_clear()
    assert REPEATS == 5
    assert matmul_peak(mx.float32) == pytest.approx(2e6 / 0.1)
    matmul_peak.cache_clear()
