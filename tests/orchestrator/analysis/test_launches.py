"""Scores that follow the order of the launch are said, whatever the verdicts."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from orchestrator.analysis.analyze import analyze
from orchestrator.results.attempts import Attempt
from orchestrator.results.store import Store
from tests.builders import filled
from tests.orchestrator.analysis.asking import keyed

START = datetime(2026, 1, 1, tzinfo=UTC)


def launched(folder, drift: float, hosts: tuple[str, ...] = ("a",), slow: float = 0.0) -> Store:
    """Two arms of 12 seeds that ran in turn, each cell 20 s after the one before."""
    rng, store = np.random.default_rng(3), filled(folder)
    for place in range(24):
        name, seed = ("sft-only", "rho-guided")[place % 2], place // 2
        host = hosts[(place // 2) % len(hosts)]
        rho = drift * place + slow * (host == "b") + 0.01 * float(rng.normal())
        cell = keyed(name, rho + 0.5 * (place % 2), seed)
        began = START + timedelta(seconds=20 * place)
        attempt = Attempt(cell=cell.spec.cell_id, number=1, host=host, started_at=began)
        store.write_attempt(attempt.row("ok", None, began + timedelta(seconds=19)))
        store.commit(cell, attempts=1, ray=None)
    return store


@pytest.mark.slow
def test_a_drifting_machine_is_said(tmp_path):
    (text, *_) = analyze([launched(tmp_path / "r", 0.01)]).warnings
    assert text.startswith("factual (train): scores drift with the order of the launch (rho 0.9")
    assert analyze([launched(tmp_path / "s", 0.0)]).warnings == ()


def test_a_host_with_scores_of_its_own_is_said(tmp_path):
    found = analyze([launched(tmp_path / "r", 0.0, ("a", "b"), slow=0.05)]).warnings
    assert any("scores differ between hosts" in text for text in found)


def test_without_a_journal_nothing_is_said(tmp_path):
    cells = [keyed("sft-only", 0.1 * s, s) for s in range(12)]
    assert analyze([filled(tmp_path / "r", *cells)]).warnings == ()
