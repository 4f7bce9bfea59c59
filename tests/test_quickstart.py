"""The quickstart as a newcomer runs it: real Ray, the shipped model, every cell."""

import json
import subprocess
import sys

import pytest

from orchestrator.results.store import Store
from tests.golden.make import FILE, scores

TOLERANCE = 1e-3
"""nat/token; another BLAS or chip rounds otherwise, and training carries it on."""


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "quickstart"
    tool = [sys.executable, "-m", "orchestrator"]
    command = [*tool, "launch", "quickstart", "--results", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def means(folder, behavior):
    """(condition, weight) -> mean rho over seeds on the train split."""
    tool = [sys.executable, "-m", "orchestrator", "analyze", str(folder), "--json"]
    found = json.loads(subprocess.run(tool, capture_output=True, text=True, check=True).stdout)
    assert found["unscored"] == []
    return {
        (a["condition"], a["rho_weight"]): a["mean"]
        for a in found["arms"]
        if (a["behavior"], a["split"]) == (behavior, "train")
    }


@pytest.mark.slow
@pytest.mark.parametrize("behavior", ["toxicity", "factual"])
def test_rho_rises_with_the_weight_and_shuffled_pairs_do_not_raise_it(quickstart, behavior):
    rho = means(quickstart, behavior)
    rising = [rho["sft-only", None], *(rho["rho-guided", w] for w in (0.1, 0.2, 0.5))]
    assert rising == sorted(rising)
    gain = rising[-1] - rising[0]
    assert gain > 0.01
    assert rho["shuffled-pairs", 0.5] - rising[0] < 0.2 * gain


@pytest.mark.slow
def test_every_score_is_the_golden_one(quickstart):
    golden = json.loads(FILE.read_text())
    found = scores(Store(quickstart))
    assert found.keys() == golden.keys()
    for key, value in golden.items():
        assert found[key] == pytest.approx(value, abs=TOLERANCE), key
