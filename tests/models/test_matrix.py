"""Every layout of model goes the whole way, and docs/models.md says what it showed."""

import mlx_lm
import pytest

from tasks.model.model import names_matched
from tasks.sources.model_files import projections_of
from tests.models.matrix import HEAD, PARITY, documented, run
from tests.models.zoo import LAYOUTS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_planned_trained_scored_and_asked(layout, tmp_path):
    """If the line differs: python -m tests.models.matrix."""
    seen = run(LAYOUTS[layout], tmp_path)
    assert seen.parity < PARITY
    assert seen.answers == 2 * 65
    assert seen.row(layout) == documented()[layout]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_plan_counts_the_matrices_of_a_name_as_the_node_finds_them(layout, tmp_path):
    found = projections_of(LAYOUTS[layout](tmp_path))
    model = mlx_lm.load(str(tmp_path))[0]
    matched, others = names_matched(model, found.linear.keys() | found.experts.keys())
    assert {k: n for k, n in matched.items() if n} == found.linear
    assert others == found.experts


def test_the_table_has_every_layout_and_no_other():
    assert list(documented())[2:] == list(LAYOUTS)
    assert HEAD in documented().values()
