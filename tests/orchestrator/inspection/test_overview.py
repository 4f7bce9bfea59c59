"""`rho-sweep results`: one line a sweep, also for what is damaged or foreign."""

import json

from orchestrator.results.store import Store
from tasks.contract.cell import Status
from tests.builders import a_failure, a_result, launched

SWEEP = """\
name: s
model: m
grid: {condition: [rho-guided], rho_weight: [0.1, 0.2], margin: [0.1], seed: [1, 2]}
analysis:
  contrasts:
    - id: one
      claim: the weight matters
      kind: mean_diff
      a: {condition: rho-guided, rho_weight: 0.1, margin: 0.1}
      b: {condition: rho-guided, rho_weight: 0.2, margin: 0.1}
      behaviors: [bias]
"""


def test_every_sweep_has_a_line_whatever_state_it_is_in(tmp_path, rho_sweep):
    store, expansion = launched(tmp_path / "results/begun", SWEEP)
    ok, diverged, failed, *_ = expansion.all
    store.commit(a_result(ok), attempts=1, ray=None)
    store.commit(a_result(diverged, status=Status.DIVERGED), attempts=1, ray=None)
    store.commit_failure(a_failure(failed), attempts=2, ray=None)
    launched(tmp_path / "results/fresh", SWEEP.replace("name: s", "name: t"))
    broken, _ = launched(tmp_path / "results/torn", SWEEP.replace("name: s", "name: u"))
    (broken.folder / "sweep.yaml").write_text("cells: [")
    (tmp_path / "results/.DS_Store").write_text("x")
    (tmp_path / "results/notes").mkdir()
    lines = rho_sweep("results", "results").out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(
        "results/begun: 1 of 5 cells scored, 2 failed, 1 registered claim, last "
    )
    assert lines[1] == "results/fresh: 0 of 5 cells scored, 1 registered claim"
    assert lines[2].startswith("results/torn: results/torn/sweep.yaml: cannot be read (")
    found = json.loads(rho_sweep("results", "--json").out)
    assert [one["ok"] for one in found] == [1, 0, 0]
    assert found[0]["last"].endswith("+00:00")


def test_a_line_reads_the_cells_once_and_no_answers(tmp_path, rho_sweep, monkeypatch):
    store, expansion = launched(tmp_path / "results/s", SWEEP)
    store.commit(a_result(expansion.all[0]), attempts=1, ray=None)
    read, whole = [], Store.read
    monkeypatch.setattr(Store, "read", lambda self, table: read.append(table) or whole(self, table))
    assert "1 of 5 cells scored" in rho_sweep("results").out
    assert read == ["cells"]


def test_a_folder_without_results_says_so(tmp_path, rho_sweep):
    (tmp_path / "empty").mkdir()
    assert rho_sweep("results", "empty").out == "empty: no results yet\n"
    ran = rho_sweep("results", "nowhere")
    assert (ran.code, ran.err.split(";")[0]) == (2, "error: nowhere: no such folder")
