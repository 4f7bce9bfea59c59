"""docs/tables.md says of every column what the schema says."""

import re

import pytest

from orchestrator.results.schema import KEYS, TABLES
from tests import ROOT

TEXT = (ROOT / "docs" / "tables.md").read_text()
PARTS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE))


def test_every_table_has_its_part_and_no_other():
    assert list(PARTS) == list(TABLES)


@pytest.mark.parametrize("table", TABLES)
def test_columns_types_units_and_key_are_those_of_the_schema(table):
    lines = [x for x in PARTS[table].splitlines() if x.startswith("|")][2:]
    found = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    expected = [
        (
            column.name,
            f"{column.type}{'' if column.nullable else ' not null'}",
            (column.metadata or {}).get(b"unit", b"").decode(),
        )
        for column in TABLES[table]
    ]
    assert found == expected
    assert f"Key: {', '.join(KEYS[table])}." in PARTS[table]
