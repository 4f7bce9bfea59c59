"""Packed and plain training end at the same scores; float64 says which rounds more."""

from dataclasses import replace

import mlx.core as mx
import pytest
from mlx import nn
from mlx.utils import tree_map

from orchestrator.cells.expand import expand
from orchestrator.cells.resolve import FileResolver
from orchestrator.config.sweep_file import load
from tasks.cell import Phases, run
from tasks.model.model import Models

pytestmark = pytest.mark.slow
LABEL = "sft-only seed=456"
"""Of the quickstart's cells the one in which rounding grows most, over 12 steps."""


def scores(models):
    expansion, _ = expand(load("quickstart"), FileResolver(download=False))
    spec = next(s for s in expansion.cells if s.label == LABEL)
    found = run(spec, models, lambda _: None, Phases())
    return {(s.behavior, s.split): s.rho for s in found.scores}


def on_path(path):
    expansion, _ = expand(load("quickstart"), FileResolver(download=False))
    models = Models()
    models._base = replace(models.get(expansion.cells[0].model), path=path)
    models._digest = expansion.cells[0].model.digest
    return models


def in_float64(monkeypatch):
    """The plain path with weights, activations and losses of 64 bits."""

    def wide(model, batch):
        logits = model(batch.tokens[:, :-1]).astype(mx.float64)
        return nn.losses.cross_entropy(logits, batch.tokens[:, 1:]) * batch.mask.astype(mx.float64)

    def widen(tree):
        return tree_map(
            lambda a: a.astype(mx.float64) if mx.issubdtype(a.dtype, mx.floating) else a, tree
        )

    from tasks.model import model as models_module

    initialise = models_module._initialise

    def initialise_wide(model, seed):
        initialise(model, seed)
        model.update(widen(model.trainable_parameters()))

    for name in ("tasks.passes.losses", "tasks.scoring.score"):
        monkeypatch.setattr(f"{name}.token_cross_entropy", wide)
    monkeypatch.setattr("tasks.model.model._initialise", initialise_wide)
    monkeypatch.setattr("tasks.cell.save_adapter", lambda *_: None)
    monkeypatch.setattr("tasks.cell.costs_of", lambda *_: None)
    models = on_path("plain: in float64")
    models._base.model.update(widen(models._base.model.parameters()))
    return models


def furthest(one, other):
    return max(abs(one[k] - other[k]) for k in one)


def test_packed_training_ends_nearer_to_float64_than_plain_training(monkeypatch):
    packed, plain = scores(on_path("packed")), scores(on_path("plain: for a test"))
    exact = scores(in_float64(monkeypatch))
    assert furthest(packed, exact) < 1e-5
    assert furthest(packed, exact) < furthest(plain, exact)
    assert furthest(packed, plain) < 3e-5
