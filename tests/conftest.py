"""Fixtures shared by all tests."""

import sys
from pathlib import Path

import pytest
from huggingface_hub import constants
from hypothesis import settings

from tasks.model import machine
from tasks.model.blas import prefer_fast_blas
from tasks.model.open_files import import_mlx_lm

# before a test module imports numpy or MLX, as in every worker
prefer_fast_blas()
import_mlx_lm()

LONG = (
    "lab/test_sweep.py",
    "test_launch.py",
    "orchestrator/analysis/test_sequential.py",
    "orchestrator/stats/beside/test_designs.py",
    "test_stress.py",
    "orchestrator/analysis/test_effects.py",
    "lab/test_cluster.py",
    "models/test_matrix.py",
    "test_quickstart.py",
    "orchestrator/cluster/test_ray_cluster.py",
    "orchestrator/test_twins.py",
    "models/test_smollm2.py",
    "orchestrator/inspection/test_first_day.py",
    "orchestrator/execution/test_ray_local.py",
    "orchestrator/cli/test_surroundings.py",
    "test_chaos.py",
    "lab/test_doctor.py",
    "orchestrator/cli/test_secrets.py",
)
"""Files that take minutes; begun last, one of them would run while the other processes idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin the long files first, those that wait beside those that compute."""
    folder = Path(__file__).parent
    if missing := [name for name in LONG if not (folder / name).is_file()]:
        raise FileNotFoundError(f"conftest.LONG names {missing}")
    place = {folder / name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path, len(LONG)))


settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("repeatable")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """A cache folder that holds only what the tests of this session put there."""
    with pytest.MonkeyPatch.context() as session:
        session.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def this_machine():
    """What a test that pretended to be a Mac was told of it is forgotten."""
    yield
    if sys.platform != "darwin":
        machine.with_backend.cache_clear()
        machine.machine_id.cache_clear()


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Path:
    """A random Qwen2 model of a few thousand parameters."""
    from tests.toys import make_model  # loads MLX, which most tests do not need

    return make_model(tmp_path_factory.mktemp("models") / "toy")


@pytest.fixture
def no_hub(tmp_path, monkeypatch) -> Path:
    """An empty hub cache, so that no test depends on what this machine has downloaded."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"
