"""A model runs packed if its losses differ by rounding alone; every structural fault is refused."""

import importlib
from contextlib import contextmanager
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mlx.utils import tree_flatten, tree_unflatten

from tasks.passes import choose as judge
from tasks.passes import hooks, layout
from tasks.passes.budget import CPU, Budget
from tasks.passes.choose import PACKED, choose, misfit
from tasks.passes.packed import Packed

VOCABULARY = 400


def random_model(arch="qwen2", *, vocabulary=VOCABULARY, layers=2, hidden=32, **options):
    """A model with logits of standard deviation `sd`, loaded and frozen."""
    seed, sd = options.pop("seed", 0), options.pop("sd", 3.0)
    precision, bits = options.pop("precision", mx.float32), options.pop("bits", None)
    config = {
        "model_type": arch,
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "intermediate_size": 3 * hidden,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": hidden // 4,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e4,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
        **options,
    }
    module = importlib.import_module(f"mlx_lm.models.{arch}")
    model = module.Model(module.ModelArgs.from_dict(config))
    weights = []
    for i, (name, value) in enumerate(tree_flatten(model.parameters())):
        scale = sd * hidden**-0.5 if "embed" in name else value.shape[-1] ** -0.5
        drawn = scale * mx.random.normal(value.shape, key=mx.random.key(1000 * seed + i))
        weights.append((name, mx.ones(value.shape) if "norm" in name else drawn))
    model.update(tree_unflatten([(name, value.astype(precision)) for name, value in weights]))
    if bits:
        nn.quantize(model, group_size=32, bits=bits)
    model.freeze()
    model.eval()
    return model


def grown(*, seed, head, branches, twigs=1, tail=5, others=1):
    """A tree of two levels, beside other texts: `twigs` texts in each of the branches."""
    rng = np.random.default_rng(seed)

    def drawn(n):
        return tuple(rng.integers(0, VOCABULARY, n).tolist())

    start = drawn(head)
    tree = []
    for _ in range(branches):
        branch = start + drawn(3)
        tree += [branch + drawn(tail - i % 2) for i in range(twigs)]
    return [tree, *([drawn(9 + i), drawn(5)] for i in range(others))]


LAYOUTS = [
    *((grown(seed=i, head=h, branches=2), judge.SMALL) for i, h in enumerate((1, 2, 5, 17, 33))),
    *((grown(seed=i, head=7, branches=b), judge.SMALL) for i, b in enumerate((3, 4, 6, 8))),
    *((grown(seed=b, head=6, branches=b, twigs=2), judge.SMALL) for b in (2, 3, 4)),
    *((grown(seed=t, head=4, branches=2, twigs=t), CPU) for t in (2, 3, 5)),
    *((grown(seed=w, head=9, branches=3), Budget(width=w, rows=1)) for w in (20, 33, 34, 64)),
    *((grown(seed=w, head=9, branches=3), Budget(width=w, rows=3)) for w in (10, 33, 41)),
    *((grown(seed=o, head=8, branches=2, others=o), judge.SMALL) for o in (2, 4)),
    (grown(seed=9, head=60, branches=2, tail=2), CPU),
]
"""Lengths of the beginning, branches, levels, and borders of rows and passes."""

NARROW = Budget(width=20, rows=2)
"""Every forest of the layouts has more than one row."""


def seen(change):
    """A fault of the mask: `change(mask, ends)` gives another (B, W, W) mask."""

    def plant(patch):
        made = hooks.TreeCache.__init__

        def init(self, ends):
            made(self, ends)
            mask = np.array(self.mask[:, 0])
            self.mask = mx.array(change(mask, np.array(ends)))[:, None]

        patch.setattr(hooks.TreeCache, "__init__", init)

    return plant


def of_tree(**changes):
    """A fault in the arrays of every tree: name -> function of the tree."""

    def plant(patch):
        grow = judge.grow

        def wrong(terms):
            tree = grow(terms)
            return replace(tree, **{k: f(tree).astype(np.int32) for k, f in changes.items()})

        patch.setattr(judge, "grow", wrong)

    return plant


def forks(tree):
    """(N,) whether a node comes after the first fork on its way."""
    whole = tree.ends == tree.size
    chain = np.cumprod(whole & (tree.depths == np.arange(tree.size))).sum()
    return np.arange(tree.size) >= chain


def siblings(mask, ends):
    """Everything that lies before, in the same row."""
    return np.tril(np.ones_like(mask[0]))[None] | mask


def one_sibling(mask, ends):
    """Each node sees the one that lies before it, whoever that is."""
    before = np.eye(mask.shape[1], k=-1, dtype=bool)
    return mask | before[None]


def first_hidden(mask, ends):
    """The first token of a tree is seen by none but itself."""
    width = np.arange(mask.shape[1])
    roots = np.array([[not m[c, :c].any() for c in width] for m in mask])
    return mask & (~roots[:, None, :] | np.eye(len(width), dtype=bool)[None])


def cut(tree):
    """Ends as if the first branch alone saw what all have in common."""
    stop = next((e for e in tree.ends if e < tree.size), tree.size)
    return np.where(tree.ends > stop, np.maximum(stop, np.arange(tree.size) + 1), tree.ends)


def last_dropped(patch):
    placed = Packed._placed

    @contextmanager
    def wrong(self, chunk):
        with placed(self, chunk):
            self._slots.last_rows = mx.array(np.unique(chunk.rows)[:-1])
            yield

    patch.setattr(Packed, "_placed", wrong)


def shared_keys(patch):
    def first(self, keys, values):
        if not hasattr(self, "kept"):
            self.kept = keys, values
        return self.kept

    patch.setattr(hooks.TreeCache, "update_and_fetch", first)


def rows_share_keys(patch):
    def first(self, keys, values):
        return mx.broadcast_to(keys[:1], keys.shape), mx.broadcast_to(values[:1], values.shape)

    patch.setattr(hooks.TreeCache, "update_and_fetch", first)


def trees_continue(patch):
    lay_out = layout._lay_out

    def wrong(rows):
        chunk = lay_out(rows)
        along = mx.arange(chunk.tokens.shape[1])
        return replace(chunk, positions=mx.broadcast_to(along, chunk.tokens.shape))

    patch.setattr(layout, "_lay_out", wrong)


FAULTS = {
    "the mask shifted forward": seen(lambda mask, _: np.roll(mask, 1, axis=2)),
    "the mask shifted back": seen(lambda mask, _: np.roll(mask, -1, axis=2)),
    "no token sees itself": seen(lambda mask, _: mask & ~np.eye(mask.shape[1], dtype=bool)),
    "a branch sees its siblings": seen(siblings),
    "a branch sees the last token of its sibling": seen(one_sibling),
    "the first token is hidden": seen(first_hidden),
    "a branch does not see the beginning": of_tree(ends=cut),
    "positions are off by one after the fork": of_tree(depths=lambda t: t.depths + forks(t)),
    "positions continue across branches": of_tree(depths=lambda t: np.arange(t.size)),
    "positions stand still": of_tree(depths=lambda t: 0 * t.depths),
    "every row is the one before": of_tree(rows=lambda t: np.maximum(t.rows - 1, 0)),
    "one row is its neighbour's": of_tree(
        rows=lambda t: np.append(t.rows[:-1], t.rows[-1] - 1) if t.size > 1 else t.rows
    ),
    "the last row has no MLP": last_dropped,
    "layers share keys": shared_keys,
}
"""Each changes what is computed on every layout."""


@pytest.fixture(scope="module")
def model():
    return random_model()


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_refused_on_every_layout(model, fault, monkeypatch):
    with monkeypatch.context() as patch:
        FAULTS[fault](patch)
        found = [misfit(model, forest, budget) for forest, budget in LAYOUTS]
    assert [i for i, problem in enumerate(found) if problem is None] == []


@pytest.mark.slow
def test_no_layout_is_refused_without_a_fault(model):
    assert len(LAYOUTS) > 20
    assert {misfit(model, forest, budget) for forest, budget in LAYOUTS} == {None}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("precision", [mx.bfloat16, mx.float16])
def test_a_fault_is_refused_in_every_precision(fault, precision, monkeypatch):
    model = random_model(precision=precision)
    assert choose(model, VOCABULARY) == PACKED
    FAULTS[fault](monkeypatch)
    assert choose(model, VOCABULARY).startswith("plain: packed losses")


@pytest.mark.slow
@pytest.mark.parametrize("fault", [trees_continue, rows_share_keys])
def test_a_fault_between_rows_and_trees_is_refused(model, fault, monkeypatch):
    fault(monkeypatch)
    found = [misfit(model, forest, NARROW) for forest, _ in LAYOUTS]
    assert [i for i, problem in enumerate(found) if problem is None] == []


def test_a_model_that_mistakes_rows_for_heads_is_refused_where_passes_have_rows():
    # gemma2's scores have five axes, so that a mask for each row is one for each head
    model = random_model("gemma2", query_pre_attn_scalar=8)
    assert misfit(model, LAYOUTS[0][0], NARROW) is not None
    assert misfit(model, LAYOUTS[0][0], CPU) is None


@pytest.mark.parametrize("fault", ["final", "attention"])
@pytest.mark.parametrize("precision", [mx.float32, mx.bfloat16])
def test_a_soft_cap_that_is_missing_is_refused(fault, precision, monkeypatch):
    model = random_model(
        "gemma2",
        precision=precision,
        final_logit_softcapping=30.0,
        attn_logit_softcapping=50.0,
        query_pre_attn_scalar=8,
    )
    assert choose(model, VOCABULARY) == PACKED
    owner, name = (
        (model, "final_logit_softcapping")
        if fault == "final"
        else (model.layers[0].self_attn, "attn_logit_softcapping")
    )
    losses = Packed.losses

    def without(self, chunk):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, 1e6)
            return losses(self, chunk)

    monkeypatch.setattr(Packed, "losses", without)
    assert choose(model, VOCABULARY).startswith("plain: packed losses")


@pytest.fixture
def split_sums(monkeypatch):
    """Sums of a matrix product in 1, 4 or 8 parts by the number of rows, as on a GPU."""

    def call(self, x):
        parts = (1, 4, 8)[x.size // x.shape[-1] % 3]
        pieces = zip(mx.split(x, parts, -1), mx.split(self["weight"], parts, -1), strict=True)
        products = [a @ b.T for a, b in pieces]
        found = sum(products[1:], products[0])
        return found + self["bias"] if "bias" in self else found

    monkeypatch.setattr(nn.Linear, "__call__", call)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("layers", [12, 24])
def test_rounding_refuses_no_deep_model_whose_sums_are_split(split_sums, layers, seed):
    model = random_model(layers=layers, hidden=64, seed=seed, precision=mx.bfloat16)
    assert choose(model, VOCABULARY) == PACKED


@pytest.mark.slow
@pytest.mark.parametrize(
    ("vocabulary", "precision", "sd"),
    [
        (49152, mx.float32, 8.0),
        (49152, mx.bfloat16, 3.0),
        (49152, mx.float16, 8.0),
        (152064, mx.float32, 3.0),
        (152064, mx.bfloat16, 8.0),
    ],
)
def test_rounding_refuses_no_long_vocabulary(split_sums, vocabulary, precision, sd):
    model = random_model(vocabulary=vocabulary, precision=precision, sd=sd)
    assert choose(model, vocabulary) == PACKED


@pytest.mark.parametrize("precision", [mx.float32, mx.bfloat16, mx.float16])
def test_rounding_refuses_no_quantised_model(split_sums, precision):
    model = random_model(bits=4, precision=precision)
    assert choose(model, VOCABULARY) == PACKED


def test_rounding_that_sends_tokens_to_other_experts_is_no_reason_to_refuse():
    model = random_model(
        "qwen3_moe",
        layers=8,
        hidden=64,
        num_experts=32,
        num_experts_per_tok=4,
        moe_intermediate_size=32,
        decoder_sparse_step=1,
        mlp_only_layers=[],
        norm_topk_prob=True,
    )
    assert choose(model, VOCABULARY) == PACKED


def test_a_fault_in_the_precision_of_the_model_alone_is_refused(monkeypatch):
    model = random_model(precision=mx.bfloat16)
    turn = nn.RoPE.__call__

    def coarse(self, x, offset=0):
        whole = isinstance(offset, int) or x.dtype == mx.float32
        return turn(self, x, offset=offset if whole else offset // 4 * 4)

    monkeypatch.setattr(nn.RoPE, "__call__", coarse)
    found = choose(model, VOCABULARY)
    assert found.startswith("plain: packed losses are off by")


def test_packed_losses_that_are_no_numbers_are_refused(model, monkeypatch):
    losses = Packed.losses
    monkeypatch.setattr(Packed, "losses", lambda self, chunk: losses(self, chunk) * np.nan)
    assert choose(model, VOCABULARY).startswith("plain: packed losses differ by nan")
