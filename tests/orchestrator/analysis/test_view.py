"""A table as people see it: what tells rows apart is at the left, and no number is shown as 0."""

import pytest

from orchestrator.analysis.tables.columns import data, signed, words
from orchestrator.analysis.tables.view import View, estimate_text

COLUMNS = (words("Comparison", "pair"), signed("diff", "diff"), words("split", "split"))


def view(columns, *splits: str) -> View:
    rows = tuple({"pair": "a vs b", "diff": 0.1, "split": split} for split in splits)
    return View(key="T", name="t", title="t", columns=columns, rows=rows)


@pytest.mark.parametrize(
    ("splits", "shown"),
    [
        (("train", "heldout"), ["Comparison", "split", "diff"]),
        (("train", "train"), ["Comparison", "diff", "split"]),
        ((), ["Comparison", "diff", "split"]),
    ],
)
def test_a_split_that_tells_rows_apart_stands_with_their_names(splits, shown):
    assert [c.label for c in view(COLUMNS, *splits).shown] == shown


def test_files_keep_the_order_of_columns_and_what_is_not_shown_stays_so():
    hidden = (*COLUMNS[:2], *data(COLUMNS[2]))
    assert view(COLUMNS, "train", "heldout").fields == ("pair", "diff", "split")
    assert [c.label for c in view(hidden, "train", "heldout").shown] == ["Comparison", "diff"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0204, "+0.020"),
        (-0.11949, "-0.119"),
        (0.00042, "+0.0004"),
        (-3.1e-6, "-0.000003"),
        (0.0, "+0.000"),
        (1e-12, "+0.000000000"),
    ],
)
def test_a_small_difference_is_not_shown_as_none(value, text):
    assert estimate_text(value, ratio=False) == text
