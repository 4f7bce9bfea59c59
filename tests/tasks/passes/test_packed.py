"""Packed passes give the losses, gradients and scores of one text at a time."""

import json
from dataclasses import replace
from functools import partial

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlx.utils import tree_flatten

from benchmarks import peer
from tasks.contract.cell import ModelSpec, TrainSpec
from tasks.model.model import Models, attached
from tasks.passes.budget import CPU, GPU, Budget, on_gpu
from tasks.passes.choose import PACKED, choose
from tasks.passes.packed import packed
from tasks.passes.step import Outlook, Work, take_step
from tasks.passes.trie import Term, grow
from tasks.scoring.score import Passes, packed_logprobs
from tests.tasks.passes import reference
from tests.tasks.passes.test_losses import perturb
from tests.toys import make_model

TEXT = st.lists(st.integers(0, 300), min_size=2, max_size=20).map(tuple)
BOTH_WAYS = pytest.mark.parametrize("lazy", [False, True], ids=["looking", "in line"])
"""As on a CPU, and as on a GPU."""
QUICK = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
ARCHS = ["qwen2", "llama", "gemma", "phi3"]


@st.composite
def pair(draw):
    """Two texts with a drawn common prefix; one may begin the other, or equal it."""
    head = tuple(draw(st.lists(st.integers(0, 300), min_size=1, max_size=30)))
    tails = [tuple(draw(st.lists(st.integers(0, 300), max_size=8))) for _ in range(2)]
    texts = [(*head, *tail) for tail in tails]
    return tuple(t if len(t) > 1 else (*t, 7) for t in texts)


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    made = {}

    def get(arch="qwen2", **options):
        key = (arch, *sorted(options.items()))
        if key not in made:
            folder = make_model(tmp_path_factory.mktemp("m") / arch, arch, **options)
            made[key] = Models().get(ModelSpec(name=str(folder)))
        return made[key]

    return get


def spec_for(arch):
    keys = ("qkv_proj", "o_proj") if arch == "phi3" else TrainSpec().lora_keys
    return TrainSpec(lora_keys=keys)


def demand_parity(
    base, texts, pairs, *, margin=0.1, checkpoint=False, limits=CPU, arch="qwen2", lazy=None
):
    """One accumulation, packed against one text at a time, to 1e-4 relative."""
    with attached(base, spec_for(arch), seed=3):
        perturb(base.model)
        work = Work(
            texts=texts,
            pairs=pairs,
            names=["b"] * sum(map(len, pairs)),
            term=reference.a_term(margin=margin),
        )
        with packed(base.model, checkpoint=checkpoint, lazy=lazy) as ready:
            done = take_step(ready, work, Outlook(), limits)
        micro = list(zip(texts or [()] * len(pairs), pairs, strict=True))
        slow = reference.gradient(base.model, micro, 0.5, margin)
        hinges = [
            max(
                float(reference.text_ce(base.model, p) - reference.text_ce(base.model, n)) + margin,
                0,
            )
            for _, some in micro
            for p, n in some
        ]
        np.testing.assert_allclose(done.of_pairs, hinges, rtol=1e-4, atol=2e-5)
        if texts:
            ce = [float(reference.sft_loss(base.model, t)) for t in texts]
            np.testing.assert_allclose(done.ce, ce, rtol=1e-4)
        scale = max(float(mx.abs(v).max()) for v in slow.values())
        found = dict(tree_flatten(done.gradient)) if done.gradient is not None else {}
        for name, value in slow.items():
            given_ = found.get(name, mx.zeros_like(value))
            np.testing.assert_allclose(given_, value, rtol=1e-4, atol=1e-4 * scale + 1e-7)
    return done


@pytest.mark.slow
@QUICK
@given(
    texts=st.lists(st.lists(TEXT, min_size=1, max_size=2), min_size=2, max_size=2),
    pairs=st.lists(st.lists(pair(), min_size=1, max_size=2), min_size=2, max_size=2),
    margin=st.sampled_from([0.05, 0.1, 3.0]),
    lazy=st.booleans(),
)
def test_an_accumulation_equals_one_text_at_a_time(bases, texts, pairs, margin, lazy):
    demand_parity(bases(), texts, pairs, margin=margin, lazy=lazy)


@pytest.mark.slow
@QUICK
@given(pairs=st.lists(st.lists(pair(), min_size=2, max_size=2), min_size=1, max_size=2))
def test_without_an_sft_loss_too(bases, pairs):
    demand_parity(bases(), None, pairs)


HEAD = tuple(range(20, 50))
SFT = [[(1, 2, 3, 4, 5, 6), (9, 8, 7)], [(11, 12, 13, 14)]]
PAIRS = [
    [((*HEAD, 60, 61), (*HEAD, 70)), ((5, 6, 7, 8), (5, 6, 9))],
    [((*HEAD, 60), (*HEAD, 62)), ((3, 4), (4, 3))],
]


@pytest.mark.slow
@BOTH_WAYS
@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("tie", [True, False], ids=["tied", "untied"])
def test_every_architecture(bases, arch, tie, lazy):
    base = bases(arch, tie=tie)
    assert base.path == PACKED
    demand_parity(base, SFT, PAIRS, arch=arch, margin=2.0, lazy=lazy)


@pytest.mark.slow
@BOTH_WAYS
@pytest.mark.parametrize(
    "limits", [CPU, GPU, Budget(width=24, rows=2)], ids=["cpu", "gpu", "small"]
)
def test_every_layout(bases, limits, lazy):
    demand_parity(bases(), SFT, PAIRS, limits=limits, lazy=lazy)


@pytest.mark.slow
@BOTH_WAYS
def test_checkpointed(bases, lazy):
    demand_parity(bases(), SFT, PAIRS, checkpoint=True, lazy=lazy)


@pytest.mark.slow
@BOTH_WAYS
def test_a_quantised_base(bases, lazy):
    base = bases(bits=4)
    assert base.path == PACKED
    demand_parity(base, SFT, PAIRS, lazy=lazy)


@pytest.mark.slow
@BOTH_WAYS
def test_a_checkpointed_quantised_base(bases, lazy):
    demand_parity(bases(bits=4), SFT, PAIRS, checkpoint=True, lazy=lazy)


def test_texts_of_the_full_length(bases):
    long = tuple(int(t) for t in np.random.default_rng(0).integers(0, 300, 256))
    demand_parity(bases(), [[long]], [[(long, (*long[:255], 5))]])


def test_a_silent_pair_has_no_gradient_and_no_backward_pass(bases):
    base = bases()
    with attached(base, TrainSpec(), seed=3):
        perturb(base.model)
        ce = [float(reference.text_ce(base.model, t)) for t in PAIRS[0][1]]
    ordered = PAIRS[0][1] if ce[0] < ce[1] else PAIRS[0][1][::-1]
    done = demand_parity(base, None, [[ordered]], margin=0.0)
    assert done.gradient is None
    assert done.skipped == 1


@pytest.mark.parametrize(("margin", "skipped"), [(0.0, 1), (9.0, 0)], ids=["silent", "active"])
def test_in_line_a_pair_thought_silent_is_looked_at_first(bases, margin, skipped):
    base = bases()
    with attached(base, TrainSpec(), seed=3):
        perturb(base.model)
        ordered = sorted(PAIRS[0][1], key=lambda t: float(reference.text_ce(base.model, t)))
        work = Work(
            texts=None, pairs=[[tuple(ordered)]], names=["b"], term=reference.a_term(margin=margin)
        )
        with packed(base.model, lazy=True) as ready:
            found = take_step(ready, work, Outlook({"b": 0.0}), GPU)
            at_once = take_step(ready, work, Outlook({"b": 1.0}), GPU)
    assert found.skipped == skipped
    assert found.of_pairs == pytest.approx(at_once.of_pairs)
    assert (found.gradient is None) == bool(skipped)
    assert (found.needed.backward.tokens > 0) == (not skipped)
    if not skipped:
        for (_, one), (_, other) in zip(
            tree_flatten(found.gradient), tree_flatten(at_once.gradient), strict=True
        ):
            assert np.allclose(np.asarray(one), np.asarray(other), atol=1e-7)


def test_in_line_every_pass_is_under_way_before_one_is_waited_for(bases):
    events = []

    class Watched:
        """Values of a pass; tells when they are read."""

        def __init__(self, values):
            self.values = values

        def __array__(self, dtype=None, copy=None):
            events.append("read")
            return np.asarray(self.values, dtype)

    base = bases()
    with attached(base, TrainSpec(), seed=3), packed(base.model, lazy=True) as ready:
        pass_of = {"gradient": ready.gradient, "look": ready.look}

        def watched(name, *args):
            events.append(name)
            done = pass_of[name](*args)
            return replace(done, values=Watched(done.values))

        for name in pass_of:
            setattr(ready, name, partial(watched, name))
        work = Work(
            texts=SFT,
            pairs=PAIRS,
            names=["busy"] * 3 + ["idle"],
            term=reference.a_term(margin=9.0),
        )
        take_step(ready, work, Outlook({"idle": 0.0}), Budget(width=24, rows=1))
    first = events[: events.index("read")]
    assert first.count("gradient") > 2
    assert first.count("look") == 1
    late = events[len(first) :]
    assert late[: len(first)] == ["read"] * len(first)
    assert late[len(first) :] == ["gradient"]


def test_an_identical_pair_costs_nothing_and_keeps_the_margin(bases):
    done = demand_parity(bases(), None, [[((5, 6, 7), (5, 6, 7))]], margin=0.25)
    assert done.of_pairs.tolist() == [0.25]
    tree = grow([Term((5, 6, 7), 0, 0.5), Term((5, 6, 7), 0, -0.5)])
    assert tree.size == 0


def test_a_shared_prefix_cancels_only_between_equal_lengths():
    equal = grow([Term((*HEAD, 1), 0, 1 / 30), Term((*HEAD, 2), 0, -1 / 30)])
    unequal = grow([Term((*HEAD, 1), 0, 1 / 30), Term((*HEAD, 2, 3), 0, -1 / 31)])
    assert len(equal.rows) == 2
    assert len(unequal.rows) == 29 + 3


def test_the_losses_are_those_of_rho_eval(bases):
    base = bases()
    theirs = peer.load("rho_eval.alignment.mlx_losses")
    texts = {"p": "The sky over the sea is blue today", "n": "The sky over the sea is a green hat"}
    rows = {k: tuple(base.tokenizer.encode(v)) for k, v in texts.items()}
    with attached(base, TrainSpec(), seed=3):
        perturb(base.model)
        pairs = [{"positive": texts["p"], "negative": texts["n"]}]
        expected = theirs.mlx_rho_auxiliary_loss(base.model, base.tokenizer, pairs, margin=2.0)
        work = Work(
            texts=None,
            pairs=[[(rows["p"], rows["n"])]],
            names=["b"],
            term=reference.a_term(margin=2.0),
        )
        with packed(base.model) as ready:
            done = take_step(ready, work, Outlook(), CPU)
    assert done.of_pairs[0] == pytest.approx(float(expected), rel=1e-5)


@QUICK
@given(texts=st.lists(pair(), min_size=1, max_size=6), lazy=st.booleans())
def test_scores_equal_one_text_at_a_time(bases, texts, lazy):
    base = bases()
    rows = sorted({t for both in texts for t in both})
    with packed(base.model, lazy=lazy) as ready:
        found, _ = packed_logprobs(ready, rows, Passes())
    for text in rows:
        assert len(found[text]) == len(text) - 1
        assert -found[text].mean() == pytest.approx(
            float(reference.text_ce(base.model, text)), abs=1e-5
        )


def test_a_model_is_as_it_was_after_the_block(bases):
    base = bases()
    before = {k: type(m) for k, m in base.model.named_modules()}
    with pytest.raises(RuntimeError), packed(base.model, checkpoint=True):
        raise RuntimeError
    assert {k: type(m) for k, m in base.model.named_modules()} == before


def test_rows_on_a_gpu_follow_from_the_model_alone():
    assert on_gpu(1000).rows == 8
    assert on_gpu(2 * 2**20).rows == 4
    assert on_gpu(10**9).rows == 1


def test_a_sliding_window_falls_back_and_says_so(tmp_path):
    folder = make_model(tmp_path / "window", "llama")
    config = json.loads((folder / "config.json").read_text())
    config |= {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
    (folder / "config.json").write_text(json.dumps(config))
    base = Models().get(ModelSpec(name=str(folder)))
    assert base.path.startswith("plain: its layers keep")
    assert "RotatingKVCache" in base.path


def test_a_model_whose_packed_losses_differ_falls_back(bases, monkeypatch):
    monkeypatch.setattr("tasks.passes.hooks.TreeCache.make_mask", lambda self, n, **_: None)
    assert choose(bases().model, bases().vocabulary).startswith("plain: ")
