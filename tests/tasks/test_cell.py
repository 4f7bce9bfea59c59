"""One cell: the same spec gives the same bytes; every condition trains on what it says."""

import json
import math
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from functools import cache

import mlx.core as mx
import mlx_lm
import numpy as np
import pytest
from mlx.utils import tree_flatten

from orchestrator.cells.expand import specs_of
from orchestrator.cells.resolve import FileResolver
from orchestrator.config.sweep_file import parse
from orchestrator.config.yaml_lines import parse_yaml
from tasks.cell import Phases, run
from tasks.contract.cell import (
    CellSpec,
    ChoiceSpec,
    Condition,
    ModelSpec,
    NodeError,
    Status,
    TrainSpec,
)
from tasks.data.general import items_digest, load_items
from tasks.model.model import Models, attached
from tasks.passes.choose import passes
from tasks.training.loop import Material, train
from tasks.training.order import MicroStep, Order
from tests.tasks.passes import reference
from tests.toys import make_model, without_numbers

SWEEP = """
name: t
model: {model}
grid: {{condition: [{condition}], rho_weight: [{weight}], margin: [0.1], seed: [{seed}]}}
data: {{sft: starter, size: {size}, trap_fraction: 0.2}}
probes: {{train: [factual, toxicity], evaluate: [factual, toxicity]}}
train: {{max_length: 64, {extra}}}
"""


COMPETITORS = ("dpo", "simpo", "unlikelihood")


def spec_of(model, condition="rho-guided", *, weight=0.5, seed=1, size=20, extra="") -> CellSpec:
    text = SWEEP.format(
        model=model, condition=condition, weight=weight, seed=seed, size=size, extra=extra
    )
    if condition == "sft-only":
        text = text.replace("rho_weight: [0.5], margin: [0.1], ", "")
    if condition in COMPETITORS:
        text = text.replace("margin: [0.1], ", "")
    if condition == "baseline":
        text = text.replace("rho_weight: [0.5], margin: [0.1], seed: [1]", "")
    sweep = parse(parse_yaml(text, "t", model.parent))
    _, point = next(sweep.points())
    return specs_of(point, FileResolver(download=False))[-1]


def run_cell(spec, models=None):
    return run(spec, models or Models(), lambda _: None, Phases())


@cache
def known(spec):
    """The result of a cell, for tests that only look at it."""
    return run_cell(spec)


def outcome(result):
    return result.adapter and result.adapter.weights, result.scores, result.probe_scores


@pytest.mark.slow
def test_the_fifth_cell_of_a_process_equals_the_first_of_a_fresh_one(toy, tmp_path):
    spec = spec_of(toy)
    models = Models()
    others = [
        spec_of(toy, "sft-only"),
        spec_of(toy, "baseline"),
        spec_of(toy, "contrastive-only", seed=9),
        spec_of(toy, "inverted-pairs", extra="lora_dropout: 0.2"),
    ]
    for other in others:
        run_cell(other, models)
    fifth = run_cell(spec, models)
    script = (
        "import json, sys, pickle\n"
        "from tasks.cell import run, Phases\n"
        "from tasks.model.model import Models\n"
        "from tasks.contract.cell import CellSpec\n"
        "spec = CellSpec.from_dict(json.load(sys.stdin))\n"
        "result = run(spec, Models(), lambda _: None, Phases())\n"
        "pickle.dump(result, open(sys.argv[1], 'wb'))\n"
    )
    path = tmp_path / "fresh"
    subprocess.run(
        [sys.executable, "-c", script, path], input=json.dumps(asdict(spec)), text=True, check=True
    )
    import pickle

    fresh = pickle.loads(path.read_bytes())
    assert outcome(fresh) == outcome(fifth)
    assert fresh.measurements.pairing_key == fifth.measurements.pairing_key


@pytest.mark.slow
def test_a_worker_does_not_import_what_no_cell_needs():
    heavy = ["scipy", "pandas", "datasets", "torch", "matplotlib", "ray", "pyarrow"]
    script = f"import sys, tasks.cell; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_items_are_answered_at_the_end_and_change_no_other_number(toy, tmp_path):
    plain = spec_of(toy, extra="eval_at: {steps: [1]}")
    path = tmp_path / "set.jsonl"
    item = {"query": "The sky is", "choices": ["blue", "cold"], "gold": 0}
    path.write_text(json.dumps(item) + "\n")
    digest = items_digest(load_items(str(path), download=False))
    asked = replace(plain, capability=ChoiceSpec(name=str(path), digest=digest, texts=2))
    assert asked.cell_id != plain.cell_id
    assert asked.training_id == plain.training_id
    assert CellSpec.from_dict(json.loads(json.dumps(asdict(asked)))) == asked
    models = Models()
    one, two = run_cell(plain, models), run_cell(asked, models)
    assert outcome(one) == outcome(two)
    assert [p.scores for p in one.points] == [p.scores for p in two.points]
    assert (one.items, one.measurements.choice_accuracy) == ((), None)
    (row,) = two.items
    assert row.right in (0, 1)
    assert row.right == two.measurements.choice_accuracy
    assert (row.right_norm, 1) == (
        two.measurements.choice_accuracy_norm,
        two.measurements.n_choice_items,
    )
    path.write_text(json.dumps(item | {"gold": 1}) + "\n")
    with pytest.raises(NodeError, match="are not those of the launch"):
        run_cell(asked, models)


@pytest.mark.slow
def test_the_base_weights_are_untouched_by_training(toy):
    models = Models()
    spec = spec_of(toy)
    before = {k: np.array(v) for k, v in tree_flatten(models.get(spec.model).model.parameters())}
    run_cell(spec, models)
    after = dict(tree_flatten(models.get(spec.model).model.parameters()))
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[k], np.array(after[k])) for k in before)


def test_an_error_in_training_leaves_the_base_model_clean(toy):
    models = Models()
    base = models.get(spec_of(toy).model)
    names = {k for k, _ in tree_flatten(base.model.parameters())}
    with pytest.raises(RuntimeError), attached(base, spec_of(toy).train, 1):
        raise RuntimeError
    assert {k for k, _ in tree_flatten(base.model.parameters())} == names


@pytest.mark.slow
def test_mlx_lm_loads_the_adapter_and_scores_as_the_cell_did(toy, tmp_path):
    spec = spec_of(toy, extra="learning_rate: 0.01")
    result = run_cell(spec)
    (tmp_path / "adapters.safetensors").write_bytes(result.adapter.weights)
    (tmp_path / "adapter_config.json").write_text(json.dumps(result.adapter.config))
    model, tokenizer = mlx_lm.load(str(toy), adapter_path=str(tmp_path))
    from tasks.data.probe_packs import load_pack

    pairs = {p.id: p for p in load_pack("starter")}
    for row in result.probe_scores[::7]:
        tokens = tokenizer.encode(pairs[row.probe_id].positive)
        ce = float(reference.text_ce(model, tokens))
        assert -ce == pytest.approx(row.logprob_positive_mean, abs=1e-5)


@pytest.mark.slow
def test_common_random_numbers_across_conditions_of_one_seed(toy):
    names = ["sft-only", "rho-guided", "contrastive-only", "shuffled-pairs", "dpo"]
    results = {n: known(spec_of(toy, n)).measurements for n in names}
    assert len({m.pairing_key for m in results.values()}) == 1
    assert len({m.init_hash for m in results.values()}) == 1
    assert len({m.contrast_order_hash for n, m in results.items() if n != "sft-only"}) == 1
    assert (
        run_cell(spec_of(toy, seed=2)).measurements.pairing_key != results["rho-guided"].pairing_key
    )


@pytest.mark.slow
def test_contrastive_only_takes_the_same_steps_and_has_no_sft_loss(toy):
    guided = known(spec_of(toy))
    contrastive = known(spec_of(toy, "contrastive-only"))
    assert contrastive.measurements.train_steps == guided.measurements.train_steps == 3
    assert guided.measurements.neutral_kl > 0 < guided.measurements.unused_kl
    assert contrastive.measurements.neutral_kl > 0
    assert contrastive.measurements.unused_kl is None  # it has no source of SFT texts
    assert all(s.ce_loss is None and s.hinge_loss is not None for s in contrastive.steps)


def test_weight_zero_is_the_very_cell_sft_only(toy):
    assert spec_of(toy, weight=0.0).cell_id == spec_of(toy, "sft-only").cell_id


@pytest.mark.slow
def test_a_trailing_partial_accumulation_is_applied(toy):
    assert len(run_cell(spec_of(toy, size=18)).steps) == 3  # 9 micro-steps: 4 + 4 + 1


def test_every_step_measures_its_own_loss(toy):
    steps = known(spec_of(toy)).steps
    assert [s.step for s in steps] == [1, 2, 3]
    for s in steps:
        assert s.tokens > 0
        assert set(s.hinge_active_by_behavior) == {"factual", "toxicity"}
        assert 0 <= s.hinge_active <= 1
        assert s.grad_norm > 0


@pytest.mark.slow
def test_inverted_pairs_push_the_other_way(toy):
    extra = "learning_rate: 0.02"
    rho = {}
    for name in ("contrastive-only", "inverted-pairs"):
        result = run_cell(spec_of(toy, name, weight=5.0, size=60, extra=extra))
        rho[name] = np.mean([s.rho for s in result.scores if s.split == "train"])
    assert rho["contrastive-only"] > rho["inverted-pairs"] + 0.1


@pytest.mark.slow
@pytest.mark.parametrize("condition", COMPETITORS)
def test_a_competitor_trains_on_the_pairs_and_is_measured(toy, condition):
    result = run_cell(spec_of(toy, condition, weight=5.0, size=40, extra="learning_rate: 0.02"))
    first, last = result.steps[0], result.steps[-1]
    assert first.hinge_loss > 0
    # a random model finds every text unlikely, so that unlikelihood has little left to do
    assert last.hinge_loss < first.hinge_loss or condition == "unlikelihood"
    assert first.ce_loss > 0
    assert first.hinge_active == 1
    assert (first.hinge_loss == pytest.approx(math.log(2), abs=1e-5)) == (condition == "dpo")
    measured = result.measurements
    assert (measured.path, measured.pairs_skipped) == ("packed", 0)
    assert 0 < measured.train_mfu < 1


@pytest.mark.slow
@pytest.mark.parametrize("condition", COMPETITORS)
def test_a_competitor_has_the_same_losses_and_operations_on_the_plain_path(toy, condition):
    """Operations of trees are those of texts where no two share a beginning."""
    spec = spec_of(toy, condition)
    models = Models()
    found = []
    for path in ("packed", "plain: for a test"):
        models._base = replace(models.get(spec.model), path=path)
        found.append(run_cell(spec, models).steps[0])
    one, other = found
    assert one.hinge_loss == pytest.approx(other.hinge_loss, rel=1e-4)
    assert one.grad_norm == pytest.approx(other.grad_norm, rel=1e-3)
    assert one.tokens == other.tokens
    assert 0.7 * other.flops < one.flops <= other.flops


@pytest.mark.slow
def test_a_cell_that_stops_being_finite_is_diverged_at_a_named_step(toy):
    result = run_cell(spec_of(toy, extra="learning_rate: 1.0e+30"))
    assert result.status is Status.DIVERGED
    assert "at optimizer step" in result.message
    assert (result.scores, result.adapter) == ((), None)
    assert result.measurements.neutral_ce is None


def test_a_model_that_gives_no_number_ends_its_cell_and_is_no_score(toy, tmp_path):
    folder = without_numbers(shutil.copytree(toy, tmp_path / "damaged"))
    with pytest.raises(NodeError, match="damaged: no pair has a finite log-probability"):
        run_cell(spec_of(folder, "baseline"))


@pytest.mark.slow
def test_a_training_whose_last_step_leaves_no_number_is_diverged(toy):
    one_step = "learning_rate: 1.0e+30, batch_size: 10"
    result = run_cell(spec_of(toy, size=10, extra=one_step))
    assert result.status is Status.DIVERGED
    assert "after the last optimizer step" in result.message
    assert (result.scores, result.probe_scores, result.adapter) == ((), (), None)


@pytest.mark.slow
def test_dropout_is_seeded(toy):
    spec = spec_of(toy, extra="lora_dropout: 0.3")
    first = run_cell(spec)
    mx.random.seed(1234)
    assert outcome(run_cell(spec)) == outcome(first)
    assert outcome(known(spec_of(toy))) != outcome(first)


@pytest.mark.slow
def test_a_quantised_base_trains_and_is_scored_unfused(tmp_path):
    folder = make_model(tmp_path / "q4", bits=4)
    result = run_cell(spec_of(folder, extra="learning_rate: 0.01"))
    assert result.measurements.base_precision == "q4"
    assert result.status is Status.OK
    plain = run_cell(spec_of(folder, "baseline"))
    assert [s.rho for s in plain.scores] != [s.rho for s in result.scores]


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["llama", "gemma", "phi3"])
def test_other_architectures_train(tmp_path, arch):
    folder = make_model(tmp_path / arch, arch)
    keys = "lora_keys: [qkv_proj, o_proj]" if arch == "phi3" else ""
    assert run_cell(spec_of(folder, extra=keys)).status is Status.OK


@pytest.mark.slow
def test_a_spec_of_other_data_or_probes_is_refused(toy):
    spec = spec_of(toy)
    other = replace(spec, probes=replace(spec.probes, digest="0" * 64))
    with pytest.raises(NodeError, match="not the one of the launch"):
        run_cell(other)
    other = replace(spec, data=replace(spec.data, digest="0" * 64))
    with pytest.raises(NodeError, match="not those of the launch"):
        run_cell(other)
    other = replace(spec, model=replace(spec.model, digest="0" * 64))
    with pytest.raises(NodeError, match="its files differ"):
        run_cell(other)


def test_a_spec_survives_json(toy):
    for name in Condition:
        spec = spec_of(toy, str(name))
        assert CellSpec.from_dict(json.loads(json.dumps(asdict(spec)))) == spec


@pytest.mark.slow
@pytest.mark.parametrize("path", ["packed", "plain: for a test"])
def test_checkpointing_changes_memory_and_nothing_else(toy, path):
    spec = spec_of(toy)
    models = Models()
    models._base = replace(models.get(spec.model), path=path)
    without, with_it = (
        run_cell(replace(spec, grad_checkpoint=wanted), models) for wanted in (False, True)
    )
    assert with_it.measurements.path == path
    assert with_it.spec.cell_id == without.spec.cell_id
    assert with_it.adapter == without.adapter
    assert with_it.probe_scores == without.probe_scores


@pytest.mark.slow
@pytest.mark.parametrize("path", ["packed", "plain: for a test"])
def test_checkpointing_needs_less_memory_in_training(tmp_path, path):
    base = replace(
        Models().get(ModelSpec(name=str(make_model(tmp_path / "m", layers=12)))), path=path
    )
    text = tuple(range(3, 123))
    work = Material(order=Order(((MicroStep((0,), ()),),)), records=[text], pairs=(), behaviors=())
    peaks = []
    for wanted in (False, True):
        with attached(base, TrainSpec(), seed=0), passes(base.model, path, checkpoint=wanted) as p:
            mx.clear_cache()
            mx.reset_peak_memory()
            held = mx.get_active_memory()  # the model, and what earlier tests have left
            train(base.model, TrainSpec(), None, work, 0, lambda *_: None, p)
            peaks.append(mx.get_peak_memory() - held)
    assert peaks[1] < 0.6 * peaks[0]


def test_utilisation_is_the_needed_share_of_the_peak(toy):
    measured = known(spec_of(toy)).measurements
    assert measured.matmul_peak > 1e8
    assert 0 < measured.train_mfu < 1
    assert 0 < measured.score_mfu < 1


def test_a_baseline_has_no_training_to_utilise(toy):
    measured = known(spec_of(toy, "baseline")).measurements
    assert measured.train_mfu is None
    assert 0 < measured.score_mfu < 1
    assert (measured.neutral_kl, measured.unused_kl) == (0, None)
    assert measured.neutral_ce == measured.neutral_ce_base > 0
