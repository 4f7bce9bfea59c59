"""The tables' schema follows the records, whole, and stays as results on disk have it."""

import subprocess
import sys
import textwrap
from dataclasses import dataclass
from typing import Annotated

import pytest

from orchestrator.results.schema import TABLES, to_arrow
from tasks.contract.cell import Machine, Measurements, ProbeScoreRow, ScoreRow, StepRow
from tasks.contract.columns import Column, columns_of
from tasks.contract.generation import Answer
from tests import ROOT

OF_RECORDS = [
    ("cells", Measurements),
    ("cells", Machine),
    ("steps", StepRow),
    ("scores", ScoreRow),
    ("probe_scores", ProbeScoreRow),
    ("generations", Answer),
]


@pytest.mark.parametrize(("table", "record"), OF_RECORDS)
def test_every_field_of_a_record_has_its_column_once(table, record):
    names = [column.name or name for name, (_, column) in columns_of(record).items()]
    assert all(TABLES[table].names.count(name) == 1 for name in names)


def test_a_field_that_is_no_column_is_an_error_that_names_it():
    @dataclass
    class Measured:
        seen: Annotated[int, Column(unit="text")]
        lost: float

    with pytest.raises(TypeError, match=r"Measured\.lost has no column"):
        columns_of(Measured)


def test_a_value_without_a_column_is_an_error_and_is_not_dropped():
    with pytest.raises(ValueError, match="judgements has no column for lost"):
        to_arrow("judgements", [{"generation_id": "a", "lost": 1}])


HALF_DECLARED = {
    "a column that is there already": (
        """
        from dataclasses import make_dataclass
        from typing import Annotated
        from tasks.contract import cell
        from tasks.contract.columns import Column
        new = [("wall_s", Annotated[float | None, Column(unit="s")], None)]
        known = (cell.Measurements,)
        cell.Measurements = make_dataclass("Measurements", new, bases=known, frozen=True)
        import orchestrator.results.schema
        """,
        "the table cells has the column wall_s twice",
    ),
    "a loss without a formula": (
        """
        from enum import StrEnum
        from tasks.contract import conditions
        known = {one.name: one.value for one in conditions.PairLoss}
        conditions.PairLoss = StrEnum("PairLoss", known | {"NEW": "new"})
        import tasks.passes.losses
        """,
        "no formula of the loss of pairs new",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("code", "said"), HALF_DECLARED.values(), ids=HALF_DECLARED)
def test_what_is_declared_by_half_stops_the_import(code, said):
    command = [sys.executable, "-c", textwrap.dedent(code)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert f"TypeError: {said}" in ran.stderr
