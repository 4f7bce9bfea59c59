"""Tables in docs/ say what the declarations in the code say."""

import pytest

from tests.docs.tables import DOCS, expected


@pytest.mark.parametrize("name", expected())
def test_derived_tables_are_those_of_the_code(name):
    """If this fails: python -m tests.docs.tables."""
    assert (DOCS / name).read_text() == expected()[name]
