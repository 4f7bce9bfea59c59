"""Every layout of model goes the whole way, and docs/models.md says what it showed."""

import pytest

from tests.models.matrix import HEAD, PARITY, documented, run
from tests.models.zoo import LAYOUTS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_planned_trained_scored_and_asked(layout, tmp_path):
    """If the line differs: python -m tests.models.matrix."""
    seen = run(layout, tmp_path)
    assert seen.parity < PARITY
    assert seen.answers == 2 * 65
    assert seen.row(layout) == documented()[layout]


def test_the_table_has_every_layout_and_no_other():
    assert list(documented())[2:] == list(LAYOUTS)
    assert HEAD in documented().values()
