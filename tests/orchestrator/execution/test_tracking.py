"""Finished cells reach the trackers, once each, and no tracker costs a cell."""

import contextlib
import importlib.util
import os
import struct
import sys
from dataclasses import replace

import pytest

from orchestrator.config.fields import Track
from orchestrator.execution.display import PlainDisplay
from orchestrator.execution.tracking import follow
from orchestrator.execution.tracking.__main__ import write
from orchestrator.execution.tracking.follow import Following
from orchestrator.execution.tracking.runs import tracked
from orchestrator.execution.tracking.trackers import TRACKERS
from tests.builders import a_failure, a_result, a_step, expanded, launched

SWEEP = """\
name: s
model: m
grid: {condition: [sft-only, rho-guided], rho_weight: [0.1], margin: [0.1], seed: [1, 2]}
"""
GUIDED = "rho-guided w=0.1 m=0.1 seed=1"


def needs(tracker: str):
    """Skip what a missing package makes impossible."""
    there = importlib.util.find_spec(TRACKERS[tracker].module)
    return pytest.mark.skipif(there is None, reason=f"the extra `{tracker}` is not installed")


@pytest.fixture
def results(tmp_path):
    """Four cells with two steps each, of which one failed, and the untrained model."""
    store, expansion = launched(tmp_path / "s", SWEEP)
    for number, spec in enumerate(expansion.all):
        steps = (a_step(1), a_step(2)) if spec.seed else ()
        scores = {("factual", "train"): 0.5 + number, ("factual", "heldout"): None}
        store.commit(replace(a_result(spec, scores), steps=steps), attempts=1, ray=None)
    failed = next(s for s in expansion.all if s.label == "sft-only seed=2")
    store.commit_failure(a_failure(failed, "no memory"), attempts=1, ray=None)
    return store


def run_of(store, label):
    spec = next(s for s in expanded(SWEEP).all if s.label == label)
    return tracked(store, spec.cell_id, label)


def notes(capsys) -> str:
    return capsys.readouterr().err


def test_a_sweep_file_can_name_every_tracker_and_no_other():
    assert TRACKERS.keys() == Track.model_fields.keys()


def test_a_tracker_changes_no_cell():
    traced = SWEEP + "track: {mlflow: mine, tensorboard: mine, trackio: mine, wandb: mine}\n"
    assert [c.cell_id for c in expanded(traced).all] == [c.cell_id for c in expanded(SWEEP).all]


def test_a_run_has_settings_curves_and_scores_and_nothing_that_is_missing(results):
    run = run_of(results, GUIDED)
    assert run.sweep == "s"
    assert (run.settings["rho_weight"], run.settings["seed"]) == (0.1, 1)
    assert [step for step, _ in run.curves["ce_loss"]] == [1, 2]
    assert run.last_step == 2
    assert "rho/factual/train" in run.scores
    assert "rho/factual/heldout" not in run.scores
    assert run.problem is None
    failed = run_of(results, "sft-only seed=2")
    assert failed.problem == "no memory"
    assert not failed.curves
    assert not failed.scores


def events(folder) -> dict[tuple[str, int], float]:
    """(tag, step) -> value of every scalar in a folder of event files."""
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for path in folder.glob("events.*"):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event = Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            for value in event.summary.value:
                if value.WhichOneof("value") == "simple_value":
                    found[value.tag, event.step] = value.simple_value
    return found


@needs("tensorboard")
def test_tensorboard_gets_one_folder_a_cell_with_every_point(results):
    write(results.folder, "tensorboard", "mine")
    top = results.folder / "track/tensorboard/mine/s"
    runs = sorted(p.name for p in top.iterdir())
    assert len(runs) == len(results.rows("cells"))
    (guided,) = (top / name for name in runs if name.startswith(GUIDED))
    run = run_of(results, GUIDED)
    found = events(guided)
    assert found["rho/factual/train", 2] == run.scores["rho/factual/train"]
    assert found["ce_loss", 1] == pytest.approx(run.curves["ce_loss"][0][1])
    before = {p: p.stat().st_mtime_ns for p in top.rglob("events.*")}
    write(results.folder, "tensorboard", "mine")
    assert {p: p.stat().st_mtime_ns for p in top.rglob("events.*")} == before


@needs("tensorboard")
def test_a_cell_that_ran_again_replaces_its_run(results):
    write(results.folder, "tensorboard", "mine")
    spec = next(s for s in expanded(SWEEP).all if s.label == GUIDED)
    results.commit(a_result(spec, {("factual", "train"): 9.0}), attempts=2, ray=None)
    write(results.folder, "tensorboard", "mine")
    top = results.folder / "track/tensorboard/mine/s"
    (guided,) = (p for p in top.iterdir() if p.name.startswith(GUIDED))
    assert {v for (tag, _), v in events(guided).items() if tag == "rho/factual/train"} == {9.0}


@needs("mlflow")
def test_mlflow_gets_one_run_a_cell_whatever_was_there(results, monkeypatch):
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for _ in range(2):  # the second time as after a crash between a run and its mark
        write(results.folder, "mlflow", "mine")
        for journal in (results.folder / "track").glob("mlflow.*.txt"):
            journal.unlink()
    client = MlflowClient((results.folder / "track/mlflow").resolve().as_uri())
    experiment = client.get_experiment_by_name("mine").experiment_id
    runs = {r.info.run_name: r for r in client.search_runs([experiment])}
    assert len(client.search_runs([experiment])) == len(runs) == len(results.rows("cells"))
    run, found = run_of(results, GUIDED), runs[GUIDED]
    assert found.info.status == "FINISHED"
    assert found.data.params["rho_weight"] == "0.1"
    assert found.data.tags["rho_sweep.sweep"] == "s"
    assert found.data.metrics["rho/factual/train"] == run.scores["rho/factual/train"]
    history = client.get_metric_history(found.info.run_id, "ce_loss")
    assert [(m.step, m.value) for m in history] == run.curves["ce_loss"]
    failed = runs["sft-only seed=2"]
    assert (failed.info.status, failed.data.tags["rho_sweep.problem"]) == ("FAILED", "no memory")


@needs("wandb")
def test_wandb_gets_one_run_a_cell_offline(results, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    for _ in range(2):
        write(results.folder, "wandb", "mine")
        for journal in (results.folder / "track").glob("wandb.*.txt"):
            journal.unlink()
    files = list((results.folder / "track/wandb").glob("offline-run-*/run-*.wandb"))
    assert len(files) == len(results.rows("cells"))
    assert not [p for p in results.folder.rglob("*") if p.is_symlink()]
    spec = next(s for s in expanded(SWEEP).all if s.label == GUIDED)
    (guided,) = (f for f in files if spec.cell_id in f.name)
    content = guided.read_bytes()
    for text in (b"rho/factual/train", b"ce_loss", b"rho_weight", GUIDED.encode()):
        assert text in content


@needs("trackio")
def test_trackio_gets_one_run_a_cell_whatever_was_there(results, monkeypatch):
    # the library reads where it writes as it loads
    monkeypatch.setenv("TRACKIO_DIR", str(results.folder / "track/trackio"))
    import trackio

    for _ in range(2):
        write(results.folder, "trackio", "mine")
        for journal in (results.folder / "track").glob("trackio.*.txt"):
            journal.unlink()
    runs = {r.name: r for r in trackio.Api().runs("mine")}
    assert len(list(trackio.Api().runs("mine"))) == len(runs) == len(results.rows("cells"))
    (guided,) = (r for name, r in runs.items() if name.startswith(GUIDED))
    assert guided.config["rho_weight"] == 0.1
    assert not [p for p in results.folder.rglob("*") if p.is_symlink()]


def stand_in(monkeypatch, tmp_path, script: str) -> None:
    """Let a shell script write to trackers, all of which seem to be installed."""
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)


def test_a_tracker_that_fails_costs_a_note_without_secrets(results, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_API_KEY", "the-secret")
    monkeypatch.setenv("HF_TOKEN", "another-secret")
    stand_in(
        monkeypatch,
        tmp_path,
        'echo "$@" >> "$0.log"\n'
        'echo "Error: $WANDB_API_KEY$HF_TOKEN at https://me:word@host/" >&2\nexit 1',
    )
    with Following(results.folder, Track(wandb="mine", mlflow="mine"), PlainDisplay()):
        pass
    said = notes(capsys)
    assert "track.wandb: Error: *** at https://***@host/; the next launch writes" in said
    assert "track.mlflow: Error:  at https://***@host/" in said
    assert "secret" not in said
    words = (tmp_path / "program.log").read_text()
    assert f"-m orchestrator.execution.tracking {results.folder} wandb mine" in words


def test_a_tracker_that_hangs_is_left(results, tmp_path, monkeypatch, capsys):
    stand_in(monkeypatch, tmp_path, "echo $$ > $0.pid; exec sleep 60")
    monkeypatch.setattr(follow, "QUIET_S", 0.4)
    monkeypatch.setattr(follow, "PATIENCE_S", 0.4)
    with Following(results.folder, Track(wandb="mine"), PlainDisplay()):
        pass
    said = notes(capsys)
    assert "writing runs to wandb ..." in said
    assert "a tracker did not end in time" in said
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "program.pid").read_text()), 0)


def test_an_interrupted_launch_does_not_wait(results, tmp_path, monkeypatch):
    stand_in(monkeypatch, tmp_path, "exec sleep 60")
    with (
        contextlib.suppress(KeyboardInterrupt),
        Following(results.folder, Track(wandb="mine"), PlainDisplay()),
    ):
        raise KeyboardInterrupt


def test_a_package_that_is_missing_is_named_with_its_extra(results, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with Following(results.folder, Track(mlflow="mine"), PlainDisplay()):
        pass
    said = notes(capsys)
    assert "track.mlflow is not installed" in said
    assert 'pip install "rho-sweep[mlflow]"' in said
