"""The tables' schema follows the records, whole, and stays as results on disk have it."""

from dataclasses import dataclass
from typing import Annotated

import pytest

from orchestrator.results.schema import TABLES, to_arrow
from tasks.contract.cell import Machine, Measurements, ProbeScoreRow, ScoreRow, StepRow
from tasks.contract.columns import Column, columns_of
from tasks.contract.generation import Answer

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
