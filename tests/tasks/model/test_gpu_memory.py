"""What MLX keeps: limits on a GPU, no cache after a phase, and nothing of a freed model."""

import gc

import mlx.core as mx
import pytest

from orchestrator.cluster import canary
from tasks import cell
from tasks.contract.cell import ModelSpec
from tasks.contract.phases import Phases
from tasks.model.model import Models
from tests.toys import make_model

GIB = 1 << 30


@pytest.fixture
def limits(monkeypatch):
    """Calls that set limits, on a stand-in for the GPU of a Mac with 64 GB."""
    found = {}
    size = {"max_recommended_working_set_size": 48 * GIB, "architecture": "applegpu_g13s"}
    monkeypatch.setattr(mx, "device_info", lambda: size)
    for name in ("wired", "cache"):
        monkeypatch.setattr(mx, f"set_{name}_limit", lambda n, name=name: found.update({name: n}))
    return found


def test_limits_are_shares_of_what_metal_recommends(limits):
    Models()
    assert limits == {"wired": 48 * GIB, "cache": int(0.1 * 48 * GIB)}
    Models(wired=0.0, cache=1.0)
    assert limits == {"wired": 0, "cache": 48 * GIB}


def test_a_generator_of_mlx_lm_does_not_wire_more_than_was_asked_for(limits, toy):
    from mlx_lm.generate import BatchGenerator  # after the modules that import mlx-lm first

    base = Models(wired=0.0).get(ModelSpec(name=str(toy)))
    batch = BatchGenerator(base.model, max_tokens=1)
    batch.close()
    assert limits["wired"] == 0


def test_elsewhere_no_limit_is_set(limits, monkeypatch):
    monkeypatch.setattr(mx, "device_info", lambda: {"architecture": "x86_64"})
    Models()
    assert limits == {}


@pytest.mark.slow
def test_no_cache_is_left_after_a_cell(monkeypatch):
    seen, clear = [], mx.clear_cache

    def clearing():
        seen.append(mx.get_cache_memory())
        clear()

    monkeypatch.setattr(mx, "clear_cache", clearing)
    cell.run(canary.spec(), Models(), lambda _: None, Phases())
    assert mx.get_cache_memory() < 8 << 20  # what the cell itself freed as it returned
    assert max(seen) > mx.get_cache_memory()


@pytest.mark.slow
def test_a_freed_model_leaves_no_memory(tmp_path):
    folder = make_model(tmp_path / "m", "qwen2")
    models = Models()
    models.get(ModelSpec(name=str(folder)))  # what this process keeps from its first model on
    models.free()
    gc.collect()
    mx.clear_cache()
    before = mx.get_active_memory()
    models.get(ModelSpec(name=str(folder)))
    assert mx.get_active_memory() > before
    models.free()
    assert mx.get_active_memory() <= before
    assert mx.get_cache_memory() == 0
