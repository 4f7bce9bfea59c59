"""`plan`, `launch` and `open_results`: what the command line says, as tables and figures."""

import re

import pytest

import orchestrator
from orchestrator.analysis.analyze import analyze
from orchestrator.errors import UserError
from orchestrator.results.schema import TABLES
from orchestrator.results.store import Store
from tasks.contract.cell import Condition
from tests.builders import a_failure, a_result, launched

SWEEP = """
name: s
model: toy
grids:
  - {condition: [sft-only], seed: [1, 2, 3, 4]}
  - {condition: [rho-guided], rho_weight: [0.2, 0.5], margin: [0.1], seed: [1, 2, 3, 4]}
data: {sft: starter, size: 10}
probes: {pack: toy}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    store, expansion = launched(tmp_path_factory.mktemp("notebook") / "s", SWEEP)
    for spec in expansion.all:
        if spec.seed == 4:
            store.commit_failure(a_failure(spec), attempts=1, ray=None)
        else:
            rho = (spec.seed or 0) ** 2 / 10
            guided = spec.condition is Condition.RHO_GUIDED
            scores = {(b, "train"): rho * (1 + guided) for b in ("factual", "bias")}
            store.commit(a_result(spec, scores), attempts=1, ray=None)
    return store.folder


def test_tables_have_every_row_and_unit_of_the_store(folder):
    results = orchestrator.open_results(folder)
    for name in TABLES:
        assert results.table(name).equals(Store(folder).read(name), check_metadata=True)
    assert results.cells().num_rows == 13
    assert results.scores().schema.field("rho").metadata[b"unit"] == b"nat/token"
    assert repr(results).endswith("10 ok, 3 failed")


def test_claims_are_the_verdicts_of_analyze(folder):
    found = analyze([Store(folder)])
    claims = orchestrator.open_results(folder).claims()
    assert claims["verdict"].to_pylist() == [str(i.verdict) for i in found.inference]
    assert claims.num_rows > 0


def test_a_table_of_the_analysis_goes_by_key_or_name(folder):
    results = orchestrator.open_results(folder)
    assert results.table("T5").equals(results.table("effects"))
    with pytest.raises(UserError, match="no table 'efects'; did you mean \"effects\""):
        results.table("efects")
    with pytest.raises(UserError, match="no table stress: "):
        results.table("stress")


def test_figures_are_drawn_in_colours_and_hold_their_numbers(folder):
    results = orchestrator.open_results(folder)
    assert "rho_weight" in results.figures
    figure = results.figure("rho_weight")
    drawn = {line.get_color() for axes in figure.axes for line in axes.get_lines()}
    assert drawn
    assert not any(str(colour).startswith("#0101") for colour in drawn)
    with pytest.raises(UserError, match="no figure refusals: "):
        results.figure("refusals")


def test_a_plan_reads_as_the_command_prints_it(tmp_path, rho_sweep):
    said = rho_sweep("plan", "quickstart", "--results", str(tmp_path / "q")).out
    found = str(orchestrator.plan("quickstart", results=tmp_path / "q"))
    free = re.compile(r"\S+ GiB free")  # of a moment
    assert free.sub("", found) == free.sub("", said.rstrip("\n"))


def test_what_it_does_not_offer_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'lunch'"):
        orchestrator.lunch  # noqa: B018
    with pytest.raises(UserError, match="no results here"):
        orchestrator.open_results("/no/such")
