"""Preset `duration` in small, from launch to verdicts and report."""

import json
from collections import Counter

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.results.store import Store
from tasks.data.probe_packs import load_pack

SMALL = {
    "model": "tiny",
    "data": "{sft: starter, size: 16}",
    "probes.train": "[factual, toxicity, bias]",
    "probes.evaluate": "[factual, toxicity, bias, refusal]",
    "grids.0.seed": "[1, 2, 3]",
    "grids.1.seed": "[1, 2, 3]",
    "train.grad_accumulation": "2",
    "train.pairs_per_step": "3",
    "train.learning_rate": "2e-3",
}
STEPS = (1, 2, 4, 8, 12, None)
"""After 0.25, 0.5, 1, 2, 3 and 4 epochs of 8 micro-steps."""
PAIRS = 12
"""Of each behaviour: three of them held out, as a claim about new pairs needs."""


def rho_sweep(*words):
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 0, (words, done.output, done.exception)
    return done.stdout


@pytest.mark.slow
def test_the_preset_runs_small_from_launch_to_verdicts_and_report(tmp_path):
    folder, pack = tmp_path / "r", tmp_path / "pack.jsonl"
    lines = [
        json.dumps({k: getattr(p, k) for k in ("id", "behavior", "positive", "negative")})
        for p in load_pack("starter")
        if int(p.id.rpartition("-")[2]) <= PAIRS
    ]
    pack.write_text("\n".join(lines))
    small = SMALL | {"probes.pack": str(pack)}
    settings = [word for k, v in small.items() for word in ("--set", f"{k}={v}")]
    rho_sweep("launch", "duration", "--inline", "--results", folder, *settings)
    store = Store(folder)
    cells = {r["cell_id"]: r for r in store.rows("cells")}
    trained = [c for c, r in cells.items() if r["seed"] is not None]
    assert len(trained) == 6
    rows = Counter((r["cell_id"], r["step"]) for r in store.rows("scores"))
    assert {step for cell, step in rows if cell in trained} == {*STEPS}
    assert {step for cell, step in rows if cell not in trained} == {None}
    assert len({*rows.values()}) == 1  # the same behaviours and splits at every moment
    for cell in trained:
        kept = {p.parent.name for p in (folder / "adapters").glob(f"{cell}.*/*.safetensors")}
        assert kept == {f"{cell}.{step}" for step in (4, 8, 12)}
    rho_sweep("check", folder)
    found = json.loads(rho_sweep("analyze", folder, "--json"))
    asked = {(r["contrast_id"], r["status"], r["n_pairs"]) for r in found["inference"]}
    names = ("rises", "saturation", "reversal", "refusal-erodes", "advantage-grows")
    assert asked == {(name, "ok", 3) for name in names}
    assert all(r["registered"] and r["verdict"] for r in found["inference"])
    assert {a["n"] for a in found["arms"] if a["condition"] != "baseline"} == {3}
    rho_sweep("report", folder)
    text = (folder / "report.html").read_text()
    assert "Learning curve" in text
    assert "optimizer step" in text
