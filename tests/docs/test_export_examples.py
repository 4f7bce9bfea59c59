"""The examples of docs/export.md, run as they stand, agree with `analyze`."""

import re
from pathlib import Path

import pytest

from orchestrator.analysis.analyze import analyze
from orchestrator.inspection.export import export
from tests import ROOT
from tests.builders import a_failure, a_result, a_spec, filled

DOCS = ROOT / "docs/export.md"
BLOCKS = re.findall(r"## (\w+)[^#]*?```python\n(.*?)```", DOCS.read_text(), re.DOTALL)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Results with a missing score, a failed cell, and seeds that differ."""
    monkeypatch.chdir(tmp_path)
    cells = [a_result(a_spec("baseline"), {("factual", "train"): 0.25})]
    for seed, rho in enumerate((1.0, 2.0, None, 6.0)):
        cells.append(a_result(a_spec("rho-guided", seed=seed), {("factual", "train"): rho}))
    store = filled(Path("results/quickstart"), *cells, a_failure(a_spec(seed=9)))
    for kind in ("parquet", "csv"):
        export(store, kind, store.folder / "export")
    return store


@pytest.mark.parametrize("name", ["DuckDB", "Polars", "pandas"])
def test_an_example_prints_the_means_that_analyze_prints(results, name, capsys):
    exec(dict(BLOCKS)[name], {})
    printed = capsys.readouterr().out
    arm = next(a for a in analyze([results]).arms if a.condition == "rho-guided")
    assert (arm.n, arm.mean, round(arm.sd, 4)) == (3, 3.0, 2.6458)
    line = next(x for x in printed.splitlines() if "rho-guided" in x)
    assert re.search(r"\b3\b.*\b3\.0+\b.*\b2\.645", line)


def test_units_are_in_the_parquet_fields_and_beside_the_csv(results, capsys):
    exec(dict(BLOCKS)["The"], {})
    assert capsys.readouterr().out == "nat/token\n"
    assert "scores,rho,nat/token" in (results.folder / "export/units.csv").read_text()
