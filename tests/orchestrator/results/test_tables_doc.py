"""docs/tables.md has every table, and says what its key is. Its columns: tests/docs."""

import re

import pytest

from orchestrator.results.schema import KEYS, TABLES
from tests import ROOT

TEXT = (ROOT / "docs" / "tables.md").read_text()
PARTS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE))


def test_every_table_has_its_part_and_no_other():
    assert list(PARTS) == list(TABLES)


@pytest.mark.parametrize("table", TABLES)
def test_the_key_of_a_table_is_that_of_the_schema(table):
    assert f"Key: {', '.join(KEYS[table])}." in PARTS[table]
