"""How many shapes the passes of a training have, and that none of them costs a compilation."""

from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest

from tasks.contract.cell import Condition, HingeSpec, ModelSpec, TrainSpec
from tasks.data.probes import prepare_mix, prepare_probes
from tasks.data.tokens import encode_pairs, render
from tasks.model.model import Models, attached
from tasks.passes import cpu_ops
from tasks.passes.budget import CPU, GPU
from tasks.passes.layout import pack
from tasks.passes.losses import Goal, term_of
from tasks.passes.packed import Pass, packed
from tasks.passes.step import Outlook, Work, take_step
from tasks.passes.trie import Term, grow
from tasks.training.order import lay_out
from tests.toys import make_model

BEHAVIORS = ("bias", "factual", "sycophancy", "toxicity")
TEXTS = 200


class Counter:
    """Stands for a model: notes the shape of every pass, and takes every pair for active."""

    def __init__(self):
        self.shapes = []

    def gradient(self, chunk, goal, slopes=None):
        self.shapes.append(chunk.tokens.shape)
        return Pass(chunk=chunk, values=np.ones(len(chunk.functionals)), gradient={})


@pytest.fixture(scope="module")
def steps():
    """The optimizer steps of a training on the starter texts and probes, in tokens."""
    tokenizer = Models().get(ModelSpec(name="tiny")).tokenizer
    probes = prepare_probes("starter", BEHAVIORS, BEHAVIORS, 0.0)
    mix = prepare_mix(
        probes, "starter", size=TEXTS, trap_fraction=0.2, refusal_fraction=0.0, download=False
    )
    records = [row[:256] for row in render(tokenizer, mix.records, "chat")]
    pairs = encode_pairs(tokenizer, probes.pool, 256).kept
    hinge = HingeSpec(
        rho_weight=0.2, margin=0.1, pairs_per_step=4, behaviors=BEHAVIORS, pool_digest=""
    )
    order = lay_out(42, TrainSpec(), len(records), hinge, tuple(p.pair for p in pairs))
    return [
        Work(
            texts=[[records[i] for i in m.records] for m in micro],
            pairs=[[(pairs[i].positive, pairs[i].negative) for i in m.pairs] for m in micro],
            names=[pairs[i].pair.behavior for m in micro for i in m.pairs],
            term=term_of(Condition.RHO_GUIDED, hinge),
        )
        for micro in order.steps
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("budget", "most"),
    [(CPU, 46), (GPU, 8), (replace(GPU, rows=3), 8)],
    ids=["cpu", "gpu", "gpu, large model"],
)
def test_the_passes_of_a_training_have_few_shapes(steps, budget, most):
    counter = Counter()
    for work in steps:
        take_step(counter, work, Outlook(), budget)
    assert len(counter.shapes) >= len(steps)
    assert len({*counter.shapes}) <= most  # docs/performance.md has these numbers


def test_on_a_gpu_no_function_is_compiled_for_a_shape(tmp_path, monkeypatch):
    base = Models().get(ModelSpec(name=str(make_model(tmp_path / "toy"))))
    monkeypatch.setattr(mx, "default_device", lambda: mx.gpu)
    for name in [n for n, f in vars(cpu_ops).items() if callable(f) and n != "Callable"]:
        monkeypatch.setattr(cpu_ops, name, None)  # those functions are compiled for each shape
    goal = Goal.of([0])
    with attached(base, TrainSpec(), seed=0), packed(base.model) as ready:
        assert ready.lazy
        for length in (9, 12):
            tree = grow([Term(tuple(range(length)), 0, 1 / length)])
            (chunk,) = pack([tree], ready.budget)
            assert ready.gradient(chunk, goal, np.ones(1)).gradient is not None
