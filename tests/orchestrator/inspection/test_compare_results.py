"""Two results, cell by cell."""

import json

import pytest

from orchestrator.inspection.compare_results import Comparison, compare
from tasks.contract.cell import Status
from tests.builders import a_failure, a_result, a_spec, filled

TRAIN = ("factual", "train")


def counts(found: Comparison) -> tuple[int, int, int, int]:
    return found.same, found.different, found.only_left, found.only_right


def test_results_are_the_same_whatever_host_time_and_attempts_were(tmp_path):
    a = filled(tmp_path / "a", a_result(a_spec(seed=1)), a_result(a_spec("baseline")))
    b = filled(tmp_path / "b")
    for spec in (a_spec("baseline"), a_spec(seed=1)):
        b.commit(a_result(spec), attempts=7, ray="9")
    found = compare(a, b)
    assert counts(found) == (2, 0, 0, 0)
    assert found.max_difference == 0.0
    assert found.differing == {}


@pytest.mark.parametrize(
    ("other", "parts", "largest"),
    [
        (a_result(a_spec(), {TRAIN: 0.5 + 1e-9}), ["scores", "probe_scores"], 1e-9),
        (a_result(a_spec(), {TRAIN: -1.5}), ["scores", "probe_scores"], 2.0),
        (a_result(a_spec(), {TRAIN: None}), ["scores", "probe_scores"], 0.0),
        (a_result(a_spec(), {}), ["scores", "probe_scores"], 0.0),
        (a_result(a_spec(), {TRAIN: 0.5}, weights=b"v"), ["adapter"], 0.0),
        (
            a_result(a_spec(), status=Status.DIVERGED),
            ["status", "adapter", "scores", "probe_scores"],
            0.0,
        ),
    ],
)
def test_any_difference_in_scores_adapter_or_status_counts(tmp_path, other, parts, largest):
    a = filled(tmp_path / "a", a_result(a_spec(), {TRAIN: 0.5}))
    b = filled(tmp_path / "b", other)
    for found in (compare(a, b), compare(b, a)):
        assert counts(found) == (0, 1, 0, 0)
        assert found.differing == {a_spec().cell_id: parts}
        assert found.max_difference == pytest.approx(largest)


def test_cells_of_one_side_are_counted_there(tmp_path):
    a = filled(tmp_path / "a", *(a_result(a_spec(seed=s)) for s in (1, 2, 3)))
    b = filled(tmp_path / "b", *(a_result(a_spec(seed=s)) for s in (3, 4)))
    assert counts(compare(a, b)) == (1, 0, 2, 1)
    assert counts(compare(b, a)) == (1, 0, 1, 2)


def test_a_failed_cell_is_no_result(tmp_path):
    a = filled(tmp_path / "a", a_result(a_spec()))
    b = filled(tmp_path / "b", a_failure(a_spec()))
    assert counts(compare(a, b)) == (0, 0, 1, 0)


def test_nothing_in_common_has_no_largest_difference(tmp_path):
    found = compare(filled(tmp_path / "a"), filled(tmp_path / "b", a_result(a_spec())))
    assert counts(found) == (0, 0, 0, 1)
    assert found.max_difference is None
    body = json.loads(found.to_json())
    assert body["max_difference"] is None
    assert {k: body[k] for k in ("same", "different", "only_left", "only_right")} == {
        "same": 0,
        "different": 0,
        "only_left": 0,
        "only_right": 1,
    }
