"""Small twins of the presets of open questions: from launch to verdict and report, for real."""

import json

import pytest

from tasks.starter import PROBES

SMALL = ["model=tiny", "data.sft=starter", "train.epochs=1", "train.max_length=64"]
SMALL += ["analysis.population=new_seeds"]  # two seeds do not speak for both
SMALL += ["probes.pack=starter", "probes.heldout=0.25", "train.grad_accumulation=1"]
TWINS = {
    "mixture": [
        "data.size=20",
        "grid.seed=[1, 2]",
        "grid.data.refusal_fraction=[0.0, 0.2, 0.4]",
        "stress={prompts: [one.jsonl], max_tokens: 4}",
    ],
    "sycophancy": [
        "data.size=12",
        "grids.0.seed=[1, 2]",
        "grids.1.seed=[1, 2]",
        "grids.1.rho_weight=[0.2, 2.0]",
    ],
    "margin": [
        "data.size=12",
        "data.trap_fraction=0",
        "grid.seed=[1, 2]",
        "grid.margin=[0.0, 0.1, 0.5]",
    ],
    "competitors": [
        "data.size=8",
        "grids.0.seed=[1, 2]",
        "grids.1.seed=[1, 2]",
        "probes.pack=few.jsonl",
    ],
}
"""Preset -> what makes it small beside `SMALL`."""
NO_EPOCHS = {"sycophancy"}
"""Their epochs are an axis of the grid."""
FEW = 8
"""Pairs of each behaviour in `few.jsonl`, for a preset of many cells."""


@pytest.mark.slow
@pytest.mark.parametrize("preset", TWINS)
def test_a_twin_runs_from_launch_to_verdict_and_report(preset, tmp_path, rho_sweep):
    given = [s for s in SMALL if not (preset in NO_EPOCHS and s.startswith("train.epochs"))]
    sets = [word for text in (*given, *TWINS[preset]) for word in ("--set", text)]

    def run(*words: str) -> str:
        ran = rho_sweep(*words)
        assert ran.code == 0, ran.err
        return ran.out

    prompt = {"id": "1", "text": "Hello", "intent": "benign", "category": "c"}
    (tmp_path / "one.jsonl").write_text(json.dumps(prompt))
    lines = PROBES.read_text().splitlines()
    few = [line for line in lines if int(json.loads(line)["id"].rpartition("-")[2]) <= FEW]
    (tmp_path / "few.jsonl").write_text("\n".join(few))
    run("launch", preset, "--inline", *sets)
    found = json.loads(run("analyze", f"results/{preset}", "--json"))
    assert found["unscored"] == []
    asked = {c["id"] for c in found["contrasts"]["contrasts"]}
    tested = {row["contrast_id"] for row in found["inference"] if row["verdict"] != "not_testable"}
    assert tested == asked
    run("report", f"results/{preset}", "--markdown")
