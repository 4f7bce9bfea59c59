"""cluster.yaml names where cells run."""

from pathlib import Path

import pytest

from orchestrator.cluster_file import load_cluster
from orchestrator.errors import SweepError, UserError


def write(folder: Path, text: str) -> Path:
    path = folder / "cluster.yaml"
    path.write_text(text)
    return path


def test_the_shipped_file_means_this_machine():
    assert load_cluster(Path(__file__).parents[2] / "cluster.yaml") is None


def test_an_address_is_handed_on(tmp_path):
    assert load_cluster(write(tmp_path, "address: 10.0.0.1:6379")) == "10.0.0.1:6379"


@pytest.mark.parametrize("text", ["adress: local", "address: 7", "address: somewhere"])
def test_a_wrong_file_is_one_clear_message(tmp_path, text):
    with pytest.raises(SweepError, match=r"cluster.yaml: 1 problem"):
        load_cluster(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_cluster(tmp_path / "none.yaml")
