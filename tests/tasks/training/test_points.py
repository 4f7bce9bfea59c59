"""Scoring within a training changes no bit of it, and a resumed cell has the same points."""

from dataclasses import replace

import pytest

from tasks.contract.cell import Status
from tasks.contract.checkpoint_envelope import unseal
from tasks.data.probes import prepare_probes
from tasks.data.tokens import encode_pairs
from tasks.model.model import Models, restored
from tasks.passes.choose import passes
from tasks.scoring.score import score
from tests.tasks.test_cell import outcome, run_cell, spec_of
from tests.tasks.training.test_checkpoint import Attempt, demand_same, rows

DROPOUT = "learning_rate: 0.01, lora_dropout: 0.3"


def with_points(spec):
    return replace(spec, eval_steps=(1, 2), keep_steps=(2,))


@pytest.fixture(scope="module")
def models():
    return Models()


@pytest.fixture(scope="module")
def pointed(toy, models):
    return run_cell(with_points(spec_of(toy, extra="learning_rate: 0.01")), models)


def demand_no_change(with_them, without):
    assert outcome(with_them) == outcome(without)
    assert rows(with_them) == rows(without)
    assert with_them.measurements.pairing_key == without.measurements.pairing_key
    assert without.points == ()
    assert [p.step for p in with_them.points] == [1, 2]
    assert [bool(p.adapter) for p in with_them.points] == [False, True]
    assert with_them.points[0].scores != with_them.points[1].scores != with_them.scores


@pytest.mark.slow
def test_points_change_no_bit_of_a_training(toy, models, pointed):
    spec = spec_of(toy, extra="learning_rate: 0.01")
    demand_no_change(pointed, run_cell(spec, models))
    assert spec.last_step == len(pointed.steps) == 3


@pytest.mark.slow
def test_points_change_no_bit_of_a_training_with_dropout(toy, models):
    spec = spec_of(toy, extra=DROPOUT)
    demand_no_change(run_cell(with_points(spec), models), run_cell(spec, models))


@pytest.mark.slow
def test_a_point_has_the_scores_of_its_adapter(models, pointed):
    spec, point = pointed.spec, pointed.points[-1]
    base, wanted = models.get(spec.model), spec.probes
    probes = prepare_probes(wanted.pack, wanted.train, wanted.evaluate, wanted.heldout)
    pairs = encode_pairs(base.tokenizer, probes.evaluated, spec.max_length)
    with restored(base, spec.train, point.adapter), passes(base.model, base.path) as packed:
        found = score(base.model, pairs, probes.split, base.vocabulary, packed)
    assert found.scores == point.scores
    assert found.probe_scores == point.probe_scores


@pytest.mark.slow
def test_from_a_checkpoint_anywhere_the_points_are_those_of_an_undisturbed_run(toy):
    spec = with_points(spec_of(toy, extra=DROPOUT))
    whole = Attempt(spec)
    order = [unseal(k).step for k in whole.kept]
    assert order == sorted(set(order))
    each = whole.result.points[0].passes  # kept: a step and its scoring, three times
    assert len(order) == 3 * (1 + each)
    for place in (each // 2, 1 + each, len(order) - 2):  # within a point, between two, at the end
        again = Attempt(spec, whole.kept[place])
        demand_same(again.result, whole.result)
        assert again.result.points == whole.result.points
        measured = again.result.measurements
        assert measured.resumed_steps + measured.resumed_passes == order[place]
        assert [unseal(k).step for k in again.kept] == order[place + 1 :]


def test_a_cell_that_diverges_keeps_its_points_before_that(toy, models):
    extra = "learning_rate: 1.0e+12, warmup_fraction: 0.5"
    spec = replace(spec_of(toy, size=60, extra=extra), eval_steps=(1,))
    result = run_cell(spec, models)
    assert result.status is Status.DIVERGED
    assert (result.scores, result.adapter) == ((), None)
    assert [p.step for p in result.points if p.scores] == [1]


def test_points_are_part_of_an_identity_only_where_there_are_any(toy):
    spec = spec_of(toy)
    assert not {"eval_steps", "keep_steps"} & spec.identity().keys()
    others = {replace(spec, eval_steps=(1,)).cell_id, replace(spec, keep_steps=(1,)).cell_id}
    assert len(others | {spec.cell_id}) == 3
