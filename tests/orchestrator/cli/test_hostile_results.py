"""A results folder of another person: damaged or hostile records are one message or none."""

import pytest

from tests.builders import a_result, launched

SWEEP = """
name: s
model: m
grid: {condition: [rho-guided], rho_weight: [0.1], margin: [0.1], seed: [1, 2]}
"""
RECORDS = {
    "deep": b"[" * 20_000,
    "huge number": b"1" * 5_000,
    "binary": b"\xff\x00" * 100,
    "a list": b"[1]",
    "other keys": b"{}",
}


@pytest.mark.parametrize("content", RECORDS.values(), ids=RECORDS)
@pytest.mark.parametrize("record", ["live.json", "stress.json", "sweep.yaml"])
def test_a_record_that_is_none_never_ends_status_with_a_traceback(
    tmp_path, rho_sweep, record, content
):
    store, expansion = launched(tmp_path / "s", SWEEP)
    store.commit(a_result(expansion.all[0]), attempts=1, ray=None)
    (store.folder / record).write_bytes(content)
    said = rho_sweep("status", store.folder)
    assert said.code == 0 or (said.code == 2 and f"{record}: cannot be read" in said.err)
