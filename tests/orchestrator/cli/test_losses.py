"""What is lost is made again by a launch, or named by every command that reads the results."""

import json
import os
import shutil
from pathlib import Path

import pytest

from orchestrator.execution.display import PlainDisplay
from orchestrator.execution.launch import Options, launch
from orchestrator.inspection.compare_results import compare
from orchestrator.results.store import Store
from tests.builders import parsed

SWEEP = """
name: losses
model: {model}
grid: {{condition: [sft-only], seed: [1, 2]}}
data: {{sft: starter, size: 8}}
train: {{max_length: 64, grad_accumulation: 2}}
probes: {{train: [factual], evaluate: [factual]}}
"""


@pytest.fixture(scope="module")
def undisturbed(toy, tmp_path_factory) -> Store:
    """The results of a baseline and two trained cells."""
    folder = tmp_path_factory.mktemp("undisturbed") / "losses"
    launch(parsed(SWEEP.format(model=toy)), folder, Options(inline=True), PlainDisplay())
    return Store(folder)


@pytest.fixture
def results(undisturbed, toy, tmp_path) -> Store:
    """A copy of them, and its sweep file."""
    (tmp_path / "sweep.yaml").write_text(SWEEP.format(model=toy))
    return Store(Path(shutil.copytree(undisturbed.folder, tmp_path / "results/losses")))


def a_trained_cell(store: Store) -> str:
    return next(r["cell_id"] for r in store.rows("cells") if r["seed"] == 2)


def test_a_launch_runs_a_cell_whose_scores_are_cut_as_the_message_says(
    results, undisturbed, rho_sweep
):
    cell = a_trained_cell(results)
    os.truncate(results.path("scores", cell), 200)
    said = rho_sweep("analyze", results.folder)
    assert said.code == 2
    assert f"scores/{cell}.arrow" in said.err
    results.path("scores", cell).unlink()  # delete it and launch again, says the message
    again = rho_sweep("launch", "sweep.yaml", "--inline", "--results", results.folder)
    assert again.code == 0
    assert "3 of 3 cells scored, 2 were done before" in again.out
    assert f"seed=2: scores/{cell}.arrow is missing; the cell is run anew" in again.err
    assert compare(results, undisturbed).same == 3
    assert json.loads(rho_sweep("analyze", results.folder, "--json").out)["arms"][-1]["n"] == 2


@pytest.mark.parametrize("name", ["scores/{}.arrow", "adapters/{}/adapters.safetensors"])
def test_a_launch_alone_mends_a_cell_that_lacks_a_file(results, undisturbed, rho_sweep, name):
    cell = a_trained_cell(results)
    os.truncate(results.folder / name.format(cell), 200)
    said = rho_sweep("status", results.folder)
    assert "2 of 3 cells scored, 1 incomplete" in said.out
    assert name.format(cell) in said.out
    assert "1 cells are open; launch the sweep again to go on" in said.out
    rho_sweep("launch", "sweep.yaml", "--inline", "--results", results.folder)
    assert compare(results, undisturbed).same == 3
    assert "3 of 3 cells scored;" in rho_sweep("status", results.folder).out


def test_analyze_names_a_cell_that_has_a_row_and_no_scores(results, rho_sweep):
    cell = a_trained_cell(results)
    results.path("scores", cell).unlink()
    said = rho_sweep("analyze", results.folder)
    assert f"incomplete {cell}: scores/{cell}.arrow is missing; launch again" in said.err
