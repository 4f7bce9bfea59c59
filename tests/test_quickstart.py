"""The quickstart as a newcomer runs it: real Ray, the shipped model, every cell."""

import json
import subprocess
import sys
from functools import cache

import pytest

from orchestrator.cli.show.claims import BOTH_SPLITS
from orchestrator.results.store import Store
from tests.golden.make import FILE, scores

TOLERANCE = 1e-3
"""nat/token; another BLAS or chip rounds otherwise, and training carries it on."""


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "quickstart"
    tool = [sys.executable, "-m", "orchestrator"]
    command = [*tool, "launch", "quickstart", "--results", str(folder)]
    command += ["--set", "track.tensorboard=runs"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@cache
def analyzed(folder):
    """What `analyze --json` prints."""
    tool = [sys.executable, "-m", "orchestrator", "analyze", str(folder), "--json"]
    return json.loads(subprocess.run(tool, capture_output=True, text=True, check=True).stdout)


def means(folder, behavior):
    """(condition, weight) -> mean rho over seeds on the train split."""
    found = analyzed(folder)
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


@pytest.mark.slow
def test_the_first_screen_has_claims_that_are_supported_some_that_are_open_and_says_why(quickstart):
    tool = [sys.executable, "-m", "orchestrator", "analyze", str(quickstart)]
    done = subprocess.run(tool, capture_output=True, text=True, check=True)
    said, verdicts = " ".join(done.stdout.split()), analyzed(quickstart)["inference"]
    assert said.startswith("claims: ")
    assert " ".join(BOTH_SPLITS.split()) in said
    assert "warning" not in done.stdout + done.stderr
    found = {(r["contrast_id"], r["behavior"]): r for r in verdicts}
    for behavior, gain in (("factual", 0.047), ("toxicity", 0.092)):
        assert found["rho-vs-shuffled-seen", behavior]["verdict"] == "supported"
        assert found["rho-vs-shuffled-seen", behavior]["estimate"] == pytest.approx(gain, abs=2e-3)
        for open_ in ("rho-vs-sft", "rho-vs-shuffled"):
            assert found[open_, behavior]["verdict"] == "inconclusive"
    assert found["dose-trend-seen", "toxicity"]["verdict"] == "supported"


@pytest.mark.slow
def test_every_cell_is_a_run_of_the_tracker(quickstart):
    runs = list((quickstart / "track/tensorboard/runs/quickstart").iterdir())
    assert len(runs) == len(Store(quickstart).rows("cells")) == 31
    assert all(any(run.glob("events.*")) for run in runs)
