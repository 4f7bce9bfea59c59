"""What a step takes of a Mac's GPU, and the least seconds that follow."""

import math
from collections import Counter
from dataclasses import replace

import pytest

from orchestrator.cells.memory import Texts
from orchestrator.cells.model_size import Sizes
from orchestrator.cells.roofline import (
    CHIPS,
    LAUNCH_S,
    LAUNCHES,
    Chip,
    Effort,
    cell_effort,
    costs_by,
)
from orchestrator.cells.roofline import step_effort as effort_of
from tasks.contract.cell import TrainSpec
from tasks.data.lengths import Lengths
from tasks.sources.model_files import read_folder
from tests.builders import a_spec

TEXTS = Texts(
    scored=Lengths(mean=21, longest=40, total=21 * 30),
    sft=Lengths(mean=101, longest=200),
    pairs=Lengths(mean=50, longest=80),
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    from tests.toys import make_model

    return read_folder(make_model(tmp_path_factory.mktemp("m") / "toy"))


def test_costs_without_the_model_are_those_of_the_model(files):
    from tasks.contract.cell import ModelSpec
    from tasks.model.model import Models, attached
    from tasks.passes.flops import costs_of

    base = Models().get(ModelSpec(name=str(files.folder)))
    train = TrainSpec(lora_keys=("q_proj", "k_proj", "down_proj"), lora_rank=4)
    with attached(base, train, seed=0):
        assert costs_by(Sizes.of(files), train) == costs_of(base.model, base.vocabulary)
    assert costs_by(Sizes.of(files), None) == costs_of(base.model, base.vocabulary)


def step_effort(spec, files, texts=TEXTS):
    return effort_of(spec, Sizes.of(files), files.weight_bytes, texts)


def test_a_step_reads_all_weights_forward_and_backward_in_each_pass(files):
    spec = a_spec()
    few, twice = (step_effort(spec, replace(files, weight_bytes=n)) for n in (10**9, 2 * 10**9))
    assert twice.bytes - few.bytes == 2 * 10**9
    again = replace(spec, grad_checkpoint=True)
    more = [step_effort(again, replace(files, weight_bytes=n)) for n in (10**9, 2 * 10**9)]
    assert more[1].bytes - more[0].bytes == 3 * 10**9
    long = replace(TEXTS, sft=Lengths(mean=1025, longest=1025))
    assert step_effort(spec, files, long).launches == 3 * step_effort(spec, files).launches


def test_a_cell_is_its_steps_and_its_scoring(files):
    spec = a_spec()
    cell, step = cell_effort(spec, files, TEXTS), step_effort(spec, files)
    scoring = cell_effort(replace(spec, train=None), files, TEXTS)
    steps = math.ceil(math.ceil(spec.sft_records / 2) / 4)
    # the adapter is part of a trained cell's scoring
    assert 0 < cell.flops - scoring.flops - steps * step.flops < 0.1 * scoring.flops
    assert cell.launches == pytest.approx(scoring.launches + steps * step.launches)
    unknown = replace(TEXTS, scored=Lengths(mean=21, longest=40))
    assert cell_effort(spec, files, unknown) is None


def test_a_loss_with_a_reference_reads_the_training_pairs_once_more(files):
    texts = replace(TEXTS, pairs=Lengths(mean=50, longest=80, total=50 * 40))
    dpo, simpo = (cell_effort(a_spec(name), files, texts) for name in ("dpo", "simpo"))
    once = cell_effort(a_spec("baseline"), files, replace(texts, scored=texts.pairs))
    assert dpo.flops - simpo.flops == pytest.approx(once.flops)


@pytest.mark.parametrize(
    ("flops", "read", "launches", "seconds"),
    [(4e12, 1e9, 1, 2.0), (1e12, 300e9, 1, 3.0), (1, 1, 1e6, 1e6 * LAUNCH_S)],
)
def test_the_slowest_of_three_decides(flops, read, launches, seconds):
    effort = Effort(flops=flops, bytes=read, launches=launches)
    assert effort.least_s(Chip(tflops=2, gb_s=100)) == pytest.approx(seconds)


def test_an_ultra_is_about_two_of_its_max():
    for name in ("M1", "M2", "M3"):
        half, whole = (CHIPS[f"Apple {name} {kind}"] for kind in ("Max", "Ultra"))
        assert whole.tflops == 2 * half.tflops


VIEWS = {
    *("Broadcast", "ExpandDims", "Flatten", "Reshape", "Slice", "Squeeze", "Transpose"),
    "Unflatten",
}
"""Primitives that compute nothing: their result is another view of the same numbers."""


@pytest.mark.slow
@pytest.mark.parametrize("bits", [None, 4])
def test_a_layer_launches_as_many_kernels_as_its_graph_computes(tmp_path, monkeypatch, bits):
    import mlx.core as mx
    import numpy as np
    from mlx import nn
    from mlx.utils import tree_flatten

    from tasks.contract.cell import ModelSpec
    from tasks.model.model import Models, attached
    from tasks.passes.budget import GPU
    from tasks.passes.layout import pack
    from tasks.passes.losses import Goal
    from tasks.passes.packed import packed
    from tasks.passes.trie import Term, grow
    from tasks.passes.vocabulary_loss import lazy_losses
    from tests.toys import make_model

    # graphs that can be exported: without functions that have a derivative of their own
    monkeypatch.setattr("tasks.passes.hooks._slow_names", lambda _: {})
    monkeypatch.setattr("tasks.passes.packed.differentiable_losses", lazy_losses)
    (chunk,) = pack([grow([Term(tuple(range(20, 44)), 0, 1 / 23)])], GPU)

    def computed(layers):
        folder = make_model(tmp_path / str(layers), layers=layers, bits=bits)
        base = Models().get(ModelSpec(name=str(folder)))
        if bits is None:
            base.model.set_dtype(mx.bfloat16)
        keys = TrainSpec(lora_keys=("q_proj", "k_proj", "o_proj"))
        found = Counter()

        def note(said):
            found[said.get("name", "")] += said["type"] == "primitive"

        with (
            attached(base, keys, seed=3),
            packed(base.model, lazy=True) as ready,
            ready._placed(chunk),
        ):
            both = nn.value_and_grad(
                base.model,
                lambda: ready._forward_lazily(chunk, Goal.of([0]), np.ones(1))[0],
            )
            mx.export_function(note, lambda: [v for _, v in tree_flatten(both()[1])])
        return sum(n for name, n in found.items() if name not in VIEWS)

    assert (computed(4) - computed(2)) / 2 == pytest.approx(LAUNCHES, rel=0.15)
