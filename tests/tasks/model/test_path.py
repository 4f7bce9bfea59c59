"""The way of a model's passes is decided once on a machine, and never in silence."""

import json
from dataclasses import replace

import pytest

from tasks.model.open_files import import_mlx_lm

import_mlx_lm()  # as every worker does; test_open_files.py needs this process's hard limit

from orchestrator.cells.expand import expand
from orchestrator.cells.resolve import FileResolver
from orchestrator.execution.display import PlainDisplay
from orchestrator.execution.launch import Options, launch
from orchestrator.inspection.plan import describe, plan
from orchestrator.inspection.status import status, status_lines
from orchestrator.report.facts import facts_of
from orchestrator.results.store import Store
from tasks.contract.cell import PACKED, ModelSpec
from tasks.model import path as paths
from tasks.model.model import Models
from tasks.model.path import known_path, path_here
from tasks.sources.model_files import read_folder
from tasks.sources.remembered import cache_folder
from tests.builders import parsed

REFUSED = "plain: no rope module"
SWEEP = """\
name: s
model: {model}
grid: {{condition: [contrastive-only], rho_weight: [0.1], margin: [0.1], seed: [1]}}
probes: {{train: [factual], evaluate: [factual]}}
train: {{max_length: 64, epochs: 1{extra}}}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def decided(monkeypatch):
    """How often the way was chosen; the way is `decided.path`."""

    class Decided:
        path, times = PACKED, 0

    def choose(model, vocabulary):
        Decided.times += 1
        return Decided.path

    monkeypatch.setattr("tasks.model.model.choose", choose)
    return Decided


def path_of(toy):
    """As a new process finds it."""
    return Models().get(ModelSpec(name=str(toy))).path


@pytest.mark.slow
@pytest.mark.parametrize("path", [PACKED, REFUSED])
def test_a_second_process_does_not_choose_again(toy, decided, path):
    decided.path = path
    assert known_path(read_folder(toy)) is None
    assert [path_of(toy), path_of(toy)] == [path, path]
    assert decided.times == 1
    assert known_path(read_folder(toy)) == path


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", [b"", b"\xff\xfe", b'"pack', b"null", b"5", b'["packed"]', b'"fast"', b'"plain"']
)
def test_a_damaged_note_is_chosen_anew(toy, decided, damage):
    path_of(toy)
    (note,) = (cache_folder() / "paths").iterdir()
    note.write_bytes(damage)
    assert known_path(read_folder(toy)) is None
    assert path_of(toy) == PACKED
    assert decided.times == 2
    assert json.loads(note.read_bytes()) == PACKED


@pytest.mark.parametrize(
    "other", ["digest", "precision", "chip", "mlx", "mlx_lm", "code", "device"]
)
def test_another_model_machine_or_version_is_chosen_anew(toy, monkeypatch, other):
    files = read_folder(toy)
    assert path_here(files, lambda: PACKED) == PACKED
    here, device = paths.describe(), paths.DEVICE
    if other == "digest":
        files = replace(files, digest="other")
    elif other == "precision":
        monkeypatch.setattr(paths, "precision", lambda _: "bfloat16")
    elif other == "code":
        monkeypatch.setattr(paths, "code_digest", lambda: "other")
    elif other == "device":
        device = "another"
    else:
        monkeypatch.setattr(paths, "describe", lambda: replace(here, **{other: "other"}))
    assert path_here(files, lambda: REFUSED, device) == REFUSED


def test_an_error_while_choosing_is_not_remembered(toy, monkeypatch):
    def fails(model, vocabulary):
        raise RuntimeError("no memory")

    monkeypatch.setattr("tasks.model.model.choose", fails)
    with pytest.raises(RuntimeError):
        path_of(toy)
    assert known_path(read_folder(toy)) is None


def swept(model, extra=""):
    return parsed(SWEEP.format(model=model, extra=extra))


def lines_about_passes(toy, root, extra=""):
    lines = describe(plan([swept(toy, extra)], root))
    return [line.split(": ", 1)[1] for line in lines if "passes of" in line]


def test_plan_says_what_is_known_of_the_passes(toy, decided, tmp_path):
    undecided, dropout = "decided when the first cell runs", "plain: dropout is drawn for each text"
    assert lines_about_passes(toy, tmp_path) == [undecided]
    assert lines_about_passes(toy, tmp_path, ", lora_dropout: 0.1") == [undecided, dropout]
    decided.path = REFUSED
    path_of(toy)
    assert lines_about_passes(toy, tmp_path) == [REFUSED]
    assert plan([swept(toy)], tmp_path).paths == (f"passes of {toy}: {REFUSED}",)


@pytest.mark.slow
def test_a_launch_status_and_report_say_which_way_passes_go_and_why(toy, decided, tmp_path, capsys):
    decided.path = REFUSED
    sweep, folder = swept(toy), tmp_path / "s"

    def told():
        found = launch(sweep, folder, Options(inline=True), PlainDisplay())
        assert not found.unfinished, found.messages
        return [line for line in capsys.readouterr().err.splitlines() if "passes of" in line]

    say = f"passes of {toy}: "
    assert told() == [f"{say}decided when the first cell runs", say + REFUSED]
    store = Store(folder)
    assert status(store)["paths"] == {REFUSED: 2}
    assert f"  passes    of 2 cells: {REFUSED}" in status_lines(status(store))
    assert ("Passes", REFUSED) in facts_of(store.rows("cells"), store.rows("attempts"))
    (cell, *_) = expand(sweep, FileResolver(download=False))[0].all
    assert say + REFUSED in (folder / "logs" / f"{cell.cell_id}.log").read_text()
    (folder / "cells" / f"{cell.cell_id}.arrow").unlink()
    assert told() == [say + REFUSED]
