"""The memory estimate against measured peaks of real cells."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import mlx.core as mx
import pytest

from orchestrator.cells.expand import specs_of
from orchestrator.cells.memory import PACKED_SCORING, RUNTIME_BYTES, Texts, mlx_peak
from orchestrator.cells.model_size import QWEN_7B, Sizes
from orchestrator.cells.resolve import FileResolver
from orchestrator.config.sweep_file import parse
from orchestrator.config.yaml_lines import parse_yaml
from tasks.cell import Phases, run
from tasks.contract.cell import Condition
from tasks.data.lengths import Lengths
from tasks.model.blas import prefer_fast_blas
from tasks.model.model import Models
from tasks.passes.budget import GPU, on_gpu
from tests.toys import make_model

SWEEP = """
name: t
model: {model}
grid: {{condition: [{condition}], rho_weight: [0.2], margin: [0.1], seed: [1]}}
data: {{sft: starter, size: 16}}
probes: {{train: [factual, toxicity], evaluate: [{probes}]}}
train: {{max_length: {length}, batch_size: {batch}, grad_accumulation: 2{extra}}}
"""
POINTS = [
    ("tiny", "rho-guided", 64, 2, "", False),
    ("tiny", "rho-guided", 256, 4, "", True),
    ("tiny", "sft-only", 32, 1, "", False),
    ("tiny", "rho-guided", 128, 1, ", lora_dropout: 0.1", False),
    (6, "rho-guided", 256, 2, "", False),
    ("tiny", "dpo", 64, 2, "", False),
    ("tiny", "simpo", 64, 2, "", False),
    ("tiny", "unlikelihood", 64, 2, "", False),
    (6, "contrastive-only", 128, 2, ", epochs: 5", False),
    (12, "sft-only", 64, 8, "", False),
    (12, "rho-guided", 64, 8, "", True),
]


def trained(model, condition, length, batch, extra="", probes="factual, toxicity"):
    text = SWEEP.format(**locals())
    if condition == "sft-only":
        text = text.replace("rho_weight: [0.2], margin: [0.1], ", "")
    if "margin" not in Condition(condition).pair_settings:
        text = text.replace("margin: [0.1], ", "")
    resolver = FileResolver(download=False)
    _, point = next(parse(parse_yaml(text, "t", Path.cwd())).points())
    return specs_of(point, resolver)[-1], resolver


@pytest.fixture(scope="module")
def apart():
    """A process for cells alone: no peak has what other tests hold, or give back meanwhile."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, initializer=prefer_fast_blas) as pool:
        yield lambda spec, path=None: pool.submit(measured, spec, path, dict(os.environ)).result()


def measured(spec, path, environment):
    """The path and the peak, bytes, of a cell run here; a `path` that is given is taken."""
    others = mx.get_active_memory()
    with ExitStack() as told:
        told.enter_context(patch.dict(os.environ, environment))
        if path is not None:
            told.enter_context(patch("tasks.model.model.choose", lambda *_: path))
        found = run(spec, Models(), lambda _: None, Phases()).measurements
    return found.path, found.memory_peak_bytes - others


@pytest.mark.slow
@pytest.mark.parametrize(("model", "condition", "length", "batch", "extra", "checkpoint"), POINTS)
def test_the_estimate_is_within_a_quarter_of_the_peak(
    tmp_path, apart, model, condition, length, batch, extra, checkpoint
):
    if model != "tiny":
        model = make_model(tmp_path / "m", layers=model, hidden=96)
    spec, resolver = trained(model, condition, length, batch, extra)
    spec = replace(spec, grad_checkpoint=checkpoint)
    _, peak = apart(spec)
    assert 0.75 < (resolver.memory(spec) - RUNTIME_BYTES) / peak < 1.25


@pytest.mark.slow
@pytest.mark.parametrize("path", ["packed", "plain: for a test"])
@pytest.mark.parametrize("precision", [mx.float32, mx.bfloat16])
@pytest.mark.parametrize("trains", [True, False], ids=["trained", "baseline"])
def test_the_estimate_follows_the_path_and_the_precision(
    tmp_path, monkeypatch, apart, path, precision, trains
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    kind = str(precision).removeprefix("mlx.core.")
    model = make_model(tmp_path / "m", layers=4, hidden=96, vocab_size=8192, torch_dtype=kind)
    weights = model / "model.safetensors"
    held = {name: value.astype(precision) for name, value in mx.load(str(weights)).items()}
    mx.save_safetensors(str(weights), held, metadata={"format": "mlx"})
    del held
    spec, resolver = trained(model, "sft-only", 128, 4, probes="factual")
    if not trains:
        spec = replace(
            spec, train=None, data=None, sft_records=None, seed=None, condition=Condition.BASELINE
        )
    taken, peak = apart(spec, path)
    assert taken == path
    assert 0.75 < (resolver.memory(spec) - RUNTIME_BYTES) / peak < 1.25


def test_a_real_model_on_metal_has_a_plausible_estimate(tmp_path):
    # Qwen2.5-7B in bf16: 15.2 GB of weights
    folder = make_model(tmp_path / "m")
    spec, resolver = trained(folder, "rho-guided", 256, 2)
    files = replace(
        next(iter(resolver.models.values())), config=QWEN_7B, weight_bytes=15_231_000_000
    )
    usual = Lengths(mean=60, longest=200)
    texts = Texts(scored=usual, sft=usual, pairs=usual)
    found = mlx_peak(spec, files, texts, metal=True)
    assert 18e9 < found < 40e9
    assert mlx_peak(replace(spec, grad_checkpoint=True), files, texts, metal=True) < found


def test_scoring_alone_is_the_peak_of_a_baseline(tmp_path):
    folder = make_model(tmp_path / "m")
    spec, resolver = trained(folder, "rho-guided", 128, 2)
    files = next(iter(resolver.models.values()))
    sizes = Sizes.of(files)
    usual = Lengths(mean=60, longest=100)
    baseline = replace(spec, train=None, hinge=None, data=None)
    found = mlx_peak(baseline, files, Texts(scored=usual, sft=None, pairs=None))
    floats = 192 * (PACKED_SCORING.inner * sizes.inner + PACKED_SCORING.sights * 192 * sizes.heads)
    logits = 64 * PACKED_SCORING.block * sizes.vocabulary
    assert found == pytest.approx(files.weight_bytes + 4 * (floats + logits), abs=2)


def test_scoring_on_metal_counts_the_logits_of_all_rows_in_line(tmp_path):
    folder = make_model(tmp_path / "m")
    spec, resolver = trained(folder, "rho-guided", 128, 2)
    files = next(iter(resolver.models.values()))
    usual = Lengths(mean=60, longest=100)
    baseline, texts = (
        replace(spec, train=None, hinge=None),
        Texts(scored=usual, sft=None, pairs=None),
    )
    wide = replace(files, config=files.config | {"vocab_size": 152064})
    more = mlx_peak(baseline, wide, texts, metal=True) - mlx_peak(
        baseline, files, texts, metal=True
    )
    rows = on_gpu(1).rows * GPU.width
    assert more == pytest.approx(1.5 * 4 * rows * (152064 - files.config["vocab_size"]), rel=1e-6)
