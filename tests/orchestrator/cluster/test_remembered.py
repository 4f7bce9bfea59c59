"""A results folder is data: what decides where to connect and what to delete lies elsewhere."""

import json
import shutil
from pathlib import Path

import pytest

from orchestrator.cluster.remote_sweep import Far
from orchestrator.config.cluster_file import load_cluster
from tests.orchestrator.cluster.hostile import STARTED, Scene, a_scene, rho_sweep, some_results

COMMANDS = [
    ("status", "results/c"),
    ("status", "results/c", "--json"),
    ("logs", "results/c", "one"),
    ("stop", "results/c"),
    ("report", "results/c"),
    ("analyze", "results/c"),
    ("export", "results/c", "--to", "csv"),
    ("compare", "results/c", "results/c"),
]
SENTENCE = "was made on a cluster, and this machine does not remember"


@pytest.fixture
def scene(tmp_path, monkeypatch) -> Scene:
    scene = a_scene(tmp_path, monkeypatch)
    some_results(scene.results)
    return scene


def remember(folder: Path) -> None:
    Far(load_cluster(Path("cluster.yaml")), folder).remember(Path("cluster.yaml"))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_folder_that_names_a_cluster_of_its_own_connects_nowhere(scene, command, capsys):
    (scene.results / "cluster.yaml").write_text(Path("cluster.yaml").read_text())
    note = {"cluster": str(scene.results / "cluster.yaml")}
    (scene.results / ".cluster.json").write_text(json.dumps(note))
    index = {str(scene.root / "outside/victim.txt"): [1, 1], "../../../outside/victim.txt": [1, 1]}
    (scene.results / ".pulled.json").write_text(json.dumps(index))
    scene.has({})
    before = scene.digest()
    rho_sweep(*command)
    said = capsys.readouterr().err
    assert scene.calls == []
    assert scene.digest() == before
    if command[0] in ("status", "logs", "stop", "report"):
        assert said.count(SENTENCE) == 1
        assert "rho-sweep launch SWEEP --cluster FILE" in said


def test_what_is_remembered_lies_outside_and_is_private(scene):
    remember(scene.results)
    scene.has({"launch.log": b"one"})
    assert rho_sweep("status", "results/c") == 0
    assert (scene.results / "launch.log").read_bytes() == b"one"
    state = scene.root / "state/rho-sweep"
    assert {p.stat().st_mode & 0o777 for p in (state, state / "folders")} == {0o700}
    (file,) = (state / "folders").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    inside = (scene.results / ".cluster.json").read_text()
    assert "cluster.yaml" not in inside
    assert list(json.loads(inside)) == ["mark"]


def test_another_folder_in_the_same_place_is_not_the_one_that_was_remembered(scene, capsys):
    remember(scene.results)
    shutil.rmtree(scene.results)
    some_results(scene.results)
    scene.has({})
    assert rho_sweep("status", "results/c") == 0
    assert scene.calls == []
    assert SENTENCE not in capsys.readouterr().err


@pytest.mark.parametrize("act", [shutil.move, shutil.copytree])
def test_a_folder_that_was_moved_or_copied_is_remembered_anew_by_a_launch(scene, act, capsys):
    remember(scene.results)
    act("results/c", "results/d")
    scene.has({"launch.log": b"one"})
    assert rho_sweep("status", "results/d") == 0
    assert scene.calls == []
    assert SENTENCE in capsys.readouterr().err
    scene.says("launch", STARTED)
    words = ("launch", "quickstart", "--cluster", "cluster.yaml", "--results", "results/d")
    assert rho_sweep(*words, "--detach") == 0
    assert rho_sweep("status", "results/d") == 0
    assert (Path("results/d") / "launch.log").read_bytes() == b"one"


def test_what_came_from_one_head_is_not_deleted_because_another_lacks_it(scene):
    remember(scene.results)
    scene.has({"launch.log": b"one"})
    rho_sweep("status", "results/c")
    text = Path("cluster.yaml").read_text()
    Path("other.yaml").write_text(text.replace("10.0.0.1", "10.0.0.2"))
    Far(load_cluster(Path("other.yaml")), scene.results).remember(Path("other.yaml"))
    scene.has({})
    assert rho_sweep("status", "results/c") == 0
    assert "10.0.0.2" in scene.calls[-1]
    assert (scene.results / "launch.log").exists()


def test_a_damaged_memory_is_one_sentence(scene, capsys):
    remember(scene.results)
    (file,) = (scene.root / "state/rho-sweep/folders").iterdir()
    file.write_text("{")
    assert rho_sweep("status", "results/c") == 2
    assert (
        capsys.readouterr().err == f"error: {file}: cannot be read; delete it, and launch again\n"
    )
