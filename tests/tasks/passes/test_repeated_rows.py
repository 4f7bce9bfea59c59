"""No gradient adds repeats of a row in an order that is left to the device."""

from contextlib import suppress
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mlx.utils import tree_flatten

from tasks.contract.cell import ModelSpec, TrainSpec
from tasks.model.model import Models, attached
from tasks.passes.budget import GPU
from tasks.passes.choose import PACKED, passes
from tasks.passes.hooks import experts_apart
from tasks.passes.layout import pack
from tasks.passes.losses import Goal, PairBatch, objective, pad
from tasks.passes.packed import gathered, packed
from tasks.passes.trie import Term, grow
from tasks.passes.vocabulary_loss import differentiable_losses, lazy_losses
from tests.tasks.passes.reference import a_term
from tests.tasks.passes.test_losses import perturb
from tests.toys import make_model

HEAD = tuple(range(20, 44))
TEXTS = [(*HEAD, 60 + i, 7, 8 + i) for i in range(8)]
"""One row predicts eight tokens: the last of the common beginning."""


@pytest.fixture(scope="module", params=[None, 4], ids=["float", "4-bit"])
def base(request, tmp_path_factory):
    folder = make_model(tmp_path_factory.mktemp("m") / "toy", "qwen2", bits=request.param)
    return Models().get(ModelSpec(name=str(folder)))


def chunk_of(texts):
    (chunk,) = pack([grow(Term(text, 0, 1 / (len(text) - 1)) for text in texts)], GPU)
    return chunk


def gradient(base, chunk):
    goal = Goal.of([0])
    with packed(base.model, lazy=True) as ready:
        return dict(tree_flatten(ready.gradient(chunk, goal, np.ones(1)).gradient))


def reordered(chunk, order):
    """The chunk with its E scored tokens in another order."""
    (tree,) = chunk.trees
    tree = replace(
        tree, rows=tree.rows[order], targets=tree.targets[order], weights=tree.weights[:, order]
    )
    targets = chunk.targets[mx.array(order)]
    return replace(chunk, trees=(tree,), rows=chunk.rows[order], targets=targets)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", [mx.float32, mx.bfloat16])
def test_another_order_of_the_repeats_gives_the_same_bits(seed, kind):
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(6, dtype=np.int32), [1, 8, 0, 3, 30, 2])
    targets = np.concatenate([rng.permutation(40)[: (rows == r).sum()] for r in range(6)])
    cotangent = rng.normal(0, 1, (len(rows), 5)).astype(np.float32)
    flat = mx.zeros((6, 5), kind)

    def derivative(order):
        given = mx.array(cotangent[order]).astype(kind)
        some, tokens = rows[order], mx.array(targets[order].astype(np.int32))
        return mx.vjp(lambda x: gathered(x, some, tokens), [flat], [given])[1][0]

    found = derivative(np.arange(len(rows)))
    assert mx.array_equal(found, derivative(rng.permutation(len(rows))))
    in_order = np.lexsort((targets, rows))
    given = mx.array(cotangent[in_order]).astype(kind)
    scattered = mx.vjp(lambda x: x[mx.array(rows[in_order])], [flat], [given])[1][0]
    assert mx.array_equal(found, scattered)  # a CPU adds one after the other
    exact = np.zeros((6, 5))
    np.add.at(exact, rows, cotangent)
    wide = np.asarray(found.astype(mx.float32))
    np.testing.assert_allclose(wide, exact, rtol=1e-6, atol=1e-5 if kind == mx.float32 else 0.2)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [None, 4])
def test_an_adapters_gradient_has_the_same_bits_in_another_order_of_the_repeats(tmp_path, bits):
    """With products that do not go through BLAS, where a row's place may decide its bits."""
    folder = make_model(tmp_path / "toy", "qwen2", bits=bits)
    base = Models().get(ModelSpec(name=str(folder)))
    if bits is None:
        base.model.set_dtype(mx.bfloat16)
    chunk = chunk_of(TEXTS)
    repeats = np.flatnonzero(chunk.rows == len(HEAD) - 1)
    assert len(repeats) == 8
    with attached(base, TrainSpec(), seed=3):
        perturb(base.model)
        found = gradient(base, chunk)
        for seed in range(4):
            order = np.arange(len(chunk.rows))
            order[repeats] = np.random.default_rng(seed).permutation(repeats)
            again = gradient(base, reordered(chunk, order))
            assert all(mx.array_equal(value, again[name]) for name, value in found.items())


def values_of(said, known):
    """The indices that a primitive makes of known ones; KeyError where that is not known.

    Of a sorting it is enough that it names each place once.
    """
    shape, of = said["outputs"][0][1], [name for name, *_ in said["inputs"]]
    match said["name"], said["arguments"]:
        case "Arange", (start, stop, step):
            return np.arange(start, stop, step)
        case ("ArgSort", (axis,)) | ("ArgPartition", (_, axis)):
            return np.moveaxis(np.broadcast_to(np.arange(shape[axis]), shape), -1, axis)
        case "Slice", (start, stop, step):
            return known[of[0]][tuple(map(slice, start, stop, step))]
        case "FloorDivide", _:
            return known[of[0]] // known[of[1]]
        case "ExpandDims" | "Reshape" | "Squeeze" | "AsType" | "Flatten" | "Unflatten", _:
            return known[of[0]].reshape(shape)
        case "Broadcast" | "StopGradient", _:
            return np.broadcast_to(known[of[0]], shape)
    raise KeyError


def repeats(said, known):
    """Whether an index of a scatter comes twice."""
    of = [name for name, *_ in said["inputs"]]
    if said["name"] == "Scatter":
        index = np.stack([np.ravel(known[name]) for name in of[1:-1]])
        return len(np.unique(index, axis=1).T) < index.shape[1]
    axis = said["arguments"][1]
    if said["inputs"][1][1][axis] == 1:
        return False
    return bool((np.diff(np.sort(known[of[1]], axis=axis), axis=axis) == 0).any())


def repeated(function, *inputs):
    """Scatters in the graph of a function: one entry for each, whether an index comes twice."""
    known, found = {}, []

    def read(said):
        known.update({name: np.asarray(c) for name, c in said.get("constants", [])})
        if said["type"] != "primitive":
            return
        with suppress(KeyError):
            known[said["outputs"][0][0]] = values_of(said, known)
        if said["name"] in ("Scatter", "ScatterAxis"):
            found.append(repeats(said, known))

    mx.export_function(read, function, *inputs)
    return found


def test_the_graph_of_a_scatter_with_repeats_is_known_for_one():
    rows = mx.array([0, 1, 1, 2])
    assert repeated(mx.grad(lambda x: x[rows].sum()), mx.zeros((3, 4))) == [True]
    other = mx.grad(lambda x: mx.take_along_axis(x, rows[:, None], axis=-1).sum())
    assert repeated(other, mx.zeros((4, 3))) == [False]


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Graphs that can be exported: without functions that have a derivative of their own."""
    monkeypatch.setattr("tasks.passes.hooks._slow_names", lambda _: {})
    monkeypatch.setattr("tasks.passes.packed.differentiable_losses", lazy_losses)


@pytest.mark.slow
def test_no_graph_of_a_packed_gradient_holds_a_scatter_with_repeats(base, as_on_a_gpu):
    chunk, goal = chunk_of(TEXTS), Goal.of([0])
    with (
        attached(base, TrainSpec(), seed=3),
        packed(base.model, lazy=True) as ready,
        ready._placed(chunk),
    ):
        both = nn.value_and_grad(
            base.model, lambda: ready._forward_lazily(chunk, goal, np.ones(1))[0]
        )
        found = repeated(lambda: [v for _, v in tree_flatten(both()[1])])
    assert len(found) >= 8
    assert not any(found)


def test_nor_does_the_loss_that_makes_its_gradient_itself(monkeypatch):
    found = []

    class Watched:
        """A function with a derivative of its own; looks at the graph of what it computes."""

        def __init__(self, function):
            self.function = function

        def vjp(self, _):
            pass

        def __call__(self, *inputs):
            found.extend(repeated(self.function, *inputs))
            return self.function(*inputs)

    monkeypatch.setattr("mlx.core.custom_function", Watched)
    hidden = mx.array(np.random.default_rng(0).normal(0, 1, (9, 12)).astype(np.float32))
    differentiable_losses(lambda x: x, hidden, mx.array([3] * 9))
    assert found == [False]


@pytest.mark.slow
def test_no_graph_of_a_plain_gradient_holds_a_scatter_with_repeats(base):
    sft, term = pad(TEXTS), a_term(margin=5.0)
    pairs = PairBatch.of(term, [(TEXTS[0], TEXTS[2]), (TEXTS[1], TEXTS[3])])
    with attached(base, TrainSpec(), seed=3):
        both = nn.value_and_grad(base.model, objective)
        found = repeated(
            lambda: [v for _, v in tree_flatten(both(base.model, sft, pairs, term)[1])]
        )
    assert len(found) == 2
    assert not any(found)


@pytest.fixture(scope="module", params=[None, 4], ids=["float", "4-bit"])
def mixture(request, tmp_path_factory):
    folder = make_model(tmp_path_factory.mktemp("m") / "toy", "qwen2_moe", bits=request.param)
    return Models().get(ModelSpec(name=str(folder)))


@pytest.mark.slow
@pytest.mark.parametrize("texts", [TEXTS, TEXTS[:1]], ids=["sorted", "few"])
def test_nor_does_a_gradient_of_a_mixture_on_a_gpu(mixture, texts, as_on_a_gpu):
    short = [text[-3:] for text in texts] if len(texts) == 1 else texts
    batch = pad(short)
    with attached(mixture, TrainSpec(), seed=3):
        perturb(mixture.model)
        both = nn.value_and_grad(
            mixture.model, lambda model: objective(model, batch, None, None)[0]
        )

        def gradient():
            return [v for _, v in tree_flatten(both(mixture.model)[1])]

        expected = gradient()
        with experts_apart(mixture.model):
            found, values = repeated(gradient), gradient()
    assert not any(found)
    for one, other in zip(values, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)


@pytest.mark.slow
def test_on_a_gpu_both_paths_give_experts_copies(mixture, monkeypatch):
    kinds = {type(m) for m in mixture.model.modules()}
    for path in (PACKED, "plain: a test"):
        with passes(mixture.model, path):
            assert mixture.model.layers[0].mlp.switch_mlp.__class__ in kinds
    monkeypatch.setattr(mx, "default_device", lambda: mx.gpu)
    for path in (PACKED, "plain: a test"):
        with passes(mixture.model, path):
            assert mixture.model.layers[0].mlp.switch_mlp.__class__ not in kinds
