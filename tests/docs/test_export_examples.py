"""The examples of docs/export.md, run as they stand, agree with `analyze`."""

import re
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from orchestrator import open_results
from orchestrator.analysis.analyze import analyze
from orchestrator.inspection.export import export
from tasks.contract.cell import Point
from tests import ROOT
from tests.builders import a_failure, a_result, a_spec, filled

DOCS = ROOT / "docs/export.md"
BLOCKS = re.findall(r"## (\w+)[^#]*?```python\n(.*?)```", DOCS.read_text(), re.DOTALL)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Results with a missing score, a failed cell, unlike seeds, and moments before the end."""
    monkeypatch.chdir(tmp_path)
    cells = [a_result(a_spec("baseline"), {("factual", "train"): 0.25})]
    for seed, rho in enumerate((1.0, 2.0, None, 6.0)):
        spec = a_spec("rho-guided", seed=seed)
        earlier = Point(step=1, scores=a_result(spec, {("factual", "train"): 100.0}).scores)
        end = a_result(spec, {("factual", "train"): rho})
        cells.append(replace(end, points=(earlier,)))
    store = filled(Path("results/quickstart"), *cells, a_failure(a_spec(seed=9)))
    for kind in ("parquet", "csv"):
        export(store, kind, store.folder / "export")
    return store


@pytest.mark.slow
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


NAMES = ("NA", "null", "007", "1e5", "true", "-inf", "2026-11-26", "None", "0x10")


@pytest.fixture
def spelled(tmp_path, monkeypatch):
    """Cells whose ids look like numbers, and behaviours whose names look like other things."""
    monkeypatch.chdir(tmp_path)
    specs = (a_spec("rho-guided", seed=seed) for seed in range(100_000))
    number = re.compile(r"[0-9]+(e[0-9]+)?")
    alike = list(islice((s for s in specs if number.fullmatch(s.cell_id)), 2))
    scores = {(name, "train"): 1.0 for name in NAMES}
    store = filled(Path("results/quickstart"), *(a_result(s, scores) for s in alike))
    for kind in ("parquet", "csv"):
        export(store, kind, store.folder / "export")
    return {spec.cell_id for spec in alike}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["DuckDB", "Polars", "pandas", "CSV"])
def test_ids_and_names_come_back_as_they_were_stored(spelled, name):
    names: dict[str, object] = {}
    exec(dict(BLOCKS)[name], names)
    if name == "DuckDB":
        duckdb = names["duckdb"]
        found = duckdb.sql("select * from 'results/quickstart/export/scores.parquet'").fetchall()
        ids, behaviors = {row[0] for row in found}, {row[1] for row in found}
    else:
        ids, behaviors = set(names["scores"]["cell_id"]), set(names["scores"]["behavior"])
    assert ids == spelled
    assert behaviors == set(NAMES)


def test_a_notebook_gets_them_as_they_were_stored_too(spelled):
    scores = open_results("results/quickstart").scores()
    assert set(scores["cell_id"].to_pylist()) == spelled
    assert set(scores["behavior"].to_pylist()) == set(NAMES)
